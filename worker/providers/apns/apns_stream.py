"""One request to Apple on its way, and the two ways in which it can get no answer."""

import asyncio
import math
from collections.abc import Iterable

from worker.providers.apns.apns_answers import Response

MAX_RESPONSE_BYTES = 4096


class UnsentError(Exception):
    """Apple has not seen the request, or says that it did nothing with it: it may be repeated at once."""


class DelayedError(UnsentError):
    """It did not leave in the time it had for that."""


class UnknownError(Exception):
    """The connection failed after the request left: Apple may or may not have acted on it."""


class ApnsStream:
    """One request and what has come back for it. `future` gets a Response, UnsentError or UnknownError."""

    __slots__ = (
        "apns_id",
        "body",
        "future",
        "header_block",
        "id",
        "not_after",
        "response_body",
        "retry_after",
        "status",
    )

    def __init__(
        self, header_block: bytes, body: bytes, future: asyncio.Future[Response], not_after: float = math.inf
    ) -> None:
        self.header_block, self.body, self.future, self.not_after = header_block, body, future, not_after
        """`not_after`: loop time in seconds; it does not leave later."""
        self.id = 0
        """0 until it is on the wire."""
        self.status, self.response_body, self.apns_id, self.retry_after = 0, b"", "", ""

    def read_headers(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Take what matters of the response headers."""
        for name, value in headers:
            if name == b":status":
                self.status = int(value) if value.isdigit() else 0
            elif name == b"apns-id":
                self.apns_id = value.decode("ascii", "replace").lower()
            elif name == b"retry-after":
                self.retry_after = value.decode("ascii", "replace")

    def read_body(self, data: bytes) -> None:
        """Take the next part of the response body, up to a limit."""
        self.response_body += data[: MAX_RESPONSE_BYTES - len(self.response_body)]

    def answer(self) -> None:
        """Hand the response over."""
        if not self.future.done():
            self.future.set_result(Response(self.status, self.response_body, self.apns_id, self.retry_after))

    def fail(self, error: Exception) -> None:
        """Hand a failure over."""
        if not self.future.done():
            self.future.set_exception(error)
            self.future.exception()  # a caller that was cancelled at the same moment will not look
