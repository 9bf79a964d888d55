"""The body of one POST to a provider: whether it was written, and the result if no answer comes."""

import asyncio
import ssl

import aiohttp
from aiohttp.abc import AbstractStreamWriter

from bellhop.clock import Seconds
from bellhop.domain.outcomes import AttemptResult, Outcome
from bellhop.public_address import NotPublicError
from worker.providers.openssl_words import openssl_words

TIMEOUT, CONNECTION_LOST = "TIMEOUT", "CONNECTION_LOST"
"""Why it is not known whether the provider has a push."""


class PostedBody(aiohttp.BytesPayload):
    """A request body that records whether it was written: from then on the provider may have the push.

    After the loop time `not_after_s` it is not written.
    """

    def __init__(self, body: bytes, not_after_s: Seconds, content_type: str = "application/json") -> None:
        super().__init__(body, content_type=content_type)
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

    def result_without_answer(self, error: Exception) -> AttemptResult:
        """Return the result of a request that failed with `error`."""
        if self.late:
            return AttemptResult(Outcome.DELAYED)
        if self.written:
            return AttemptResult(
                Outcome.UNKNOWN, reason=TIMEOUT if isinstance(error, TimeoutError) else CONNECTION_LOST
            )
        return AttemptResult(Outcome.UNSENT, reason=unsent_reason(error))


def unsent_reason(error: BaseException) -> str:
    """Say why there was no connection."""
    inner = getattr(error, "os_error", error)
    if isinstance(inner, NotPublicError):
        return "ADDRESS_NOT_PUBLIC"
    word = "CERTIFICATE" if isinstance(error, ssl.CertificateError) else "CONNECT"
    return word + openssl_words(error)
