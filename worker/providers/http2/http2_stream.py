"""One request over HTTP/2, its response, and the errors for a request without an answer."""

import asyncio
import math
from collections.abc import Iterable
from typing import NamedTuple

from bellhop.clock import Seconds

MAX_RESPONSE_BYTES = 4096
STATUS_DIGITS = 3


class Http2Response(NamedTuple):
    """The response to one request."""

    status: int
    body: bytes = b""
    apns_id: str = ""
    """Apple's id of the push; other peers send none."""
    retry_after: str = ""


class NoAnswerError(Exception):
    """A request got no answer."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.fault = object()
        """The same object for all requests that fail with this error: they have one cause."""


class UnsentError(NoAnswerError):
    """The peer has not read the request, or says that it did not act on it. It may be repeated at once."""


class NotHttp2Error(UnsentError):
    """The peer does not speak HTTP/2."""


class DelayedError(UnsentError):
    """The request was not sent, because it could not be sent in time."""


class UnknownError(NoAnswerError):
    """The connection failed after the request was sent: the peer may or may not have acted on it."""


class Http2Stream:
    """One request and its response so far. `future` gets a Http2Response, an UnsentError or an UnknownError."""

    __slots__ = (
        "apns_id",
        "body",
        "future",
        "header_block",
        "id",
        "not_after_s",
        "response_body",
        "retry_after",
        "sent",
        "status",
    )

    def __init__(
        self,
        header_block: bytes,
        body: bytes,
        future: asyncio.Future[Http2Response],
        not_after_s: Seconds = Seconds(math.inf),
    ) -> None:
        self.header_block, self.body, self.future, self.not_after_s = header_block, body, future, not_after_s
        """`not_after_s` is loop time: the request is not sent later."""
        self.id = 0
        """0 until it is sent."""
        self.sent = False
        """Whether all of it is sent: the peer does not act on a part."""
        self.status, self.response_body, self.apns_id, self.retry_after = 0, b"", "", ""

    def read_headers(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Keep the response headers that Bellhop needs."""
        for name, value in headers:
            if name == b":status":
                self.status = int(value) if len(value) == STATUS_DIGITS and value.isdigit() else 0
            elif name == b"apns-id":
                self.apns_id = value.decode("ascii", "replace").lower()
            elif name == b"retry-after":
                self.retry_after = value.decode("ascii", "replace")

    def read_body(self, data: bytes) -> None:
        """Keep the next part of the response body, up to a limit."""
        self.response_body += data[: MAX_RESPONSE_BYTES - len(self.response_body)]

    def answer(self) -> None:
        """Give the response to the waiting caller."""
        if not self.future.done():
            self.future.set_result(Http2Response(self.status, self.response_body, self.apns_id, self.retry_after))

    def fail(self, error: Exception) -> None:
        """Give an error to the waiting caller."""
        if not self.future.done():
            self.future.set_exception(error)
            self.future.exception()  # if the caller was cancelled, nobody else retrieves it, and asyncio would log it
