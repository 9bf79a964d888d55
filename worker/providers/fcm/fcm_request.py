"""One request to FCM: whether its body was written, and the result if no answer comes."""

import asyncio
import ssl

import aiohttp
from aiohttp.abc import AbstractStreamWriter

from bellhop.clock import Seconds
from bellhop.domain.outcomes import AttemptResult, Outcome
from worker.providers.openssl_words import openssl_words


class FcmPayload(aiohttp.BytesPayload):
    """A request body that records whether it was written: from then on Google may have the push.

    After the loop time `not_after_s` it is not written.
    """

    def __init__(self, body: bytes, not_after_s: Seconds) -> None:
        super().__init__(body, content_type="application/json")
        self._not_after_s = not_after_s
        self.written = self.late = False

    def check_time(self) -> None:
        """Raise ConnectionAbortedError if it is too late to write the request."""
        if asyncio.get_running_loop().time() > self._not_after_s:
            self.late = True
            raise ConnectionAbortedError("too late")

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        """Write headers and body together. A closed connection raises before any byte has left."""
        self.check_time()
        await super().write_with_length(writer, content_length)
        self.written = True


def result_without_answer(error: Exception, payload: FcmPayload | None) -> AttemptResult:
    """Return the result of a request that failed with `error`. `payload` is None if there was no access token yet."""
    if payload is None:
        return AttemptResult(Outcome.UNSENT, reason="TOKEN_ENDPOINT")
    if payload.late:
        return AttemptResult(Outcome.DELAYED)
    if payload.written:
        reason = "TIMEOUT" if isinstance(error, TimeoutError) else "CONNECTION_LOST"
        return AttemptResult(Outcome.UNKNOWN, reason=reason)
    word = "CERTIFICATE" if isinstance(error, ssl.CertificateError) else "CONNECT"
    return AttemptResult(Outcome.UNSENT, reason=word + openssl_words(error))
