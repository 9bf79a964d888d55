"""The requests of one process that are arriving or being answered, and their limits.

Limits: the size and the time of one body, the number of bodies that are arriving, and the bytes of all bodies in
memory. If one of the last two is exceeded, the request whose body began to arrive first is dropped: if there are too
many bodies, of all clients; if there are too many bytes, of the client who sends the most. Normal clients send a body
within milliseconds, so the client of that request has stalled.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Protocol

from bellhop.clock import Seconds
from webhook.server.http_request import HttpRequest


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """Limits for the requests of one process."""

    head_bytes: int
    """Size of the first line and the headers."""
    head_s: Seconds
    """How long they may take, and how long a connection may be idle."""
    body_bytes: int
    body_s: Seconds
    arriving: int
    """How many bodies may be arriving at the same time."""
    total_bytes: int
    """Size of all bodies together."""
    connections: int
    webhook_bytes: int = 0
    """Size of a webhook's body. It may be larger than `body_bytes`."""


class RequestSender(Protocol):
    """The connection on which a request arrives."""

    def drop(self) -> None:
        """Answer that the body takes too long, and close the connection."""

    def client_of(self, request: HttpRequest) -> str:
        """Return the name of the client who sends the request."""


class Arrivals:
    """Counts the bodies of one process that are arriving or being answered."""

    def __init__(self, limits: RequestLimits) -> None:
        self.limits = limits
        self._arriving: dict[HttpRequest, RequestSender] = {}  # in the order in which they began
        self._total_bytes = 0

    def begin(self, request: HttpRequest, sender: RequestSender) -> None:
        """Note that a request's body begins to arrive."""
        self._arriving[request] = sender
        self._drop_stalled()

    def add(self, request: HttpRequest, chunk: bytes) -> None:
        """Keep a part of a body."""
        request.body += chunk
        if request.signature:
            request.signature.update(chunk)
        request.size += len(chunk)
        self._total_bytes += len(chunk)
        self._drop_stalled()

    def grow(self, request: HttpRequest, size: int) -> None:
        """Count `size` more bytes of a request that is being answered: its inflated body."""
        if request.size:  # else the client has left
            request.size += size
            self._total_bytes += size
            self._drop_stalled()

    def complete(self, request: HttpRequest) -> None:
        """Note that a request is whole. Its bytes count until `end`."""
        self._arriving.pop(request, None)

    def end(self, request: HttpRequest) -> None:
        """Forget a request that was answered or dropped."""
        self._arriving.pop(request, None)
        self._total_bytes -= request.size
        request.size = 0
        request.body.clear()

    def _drop_stalled(self) -> None:
        while len(self._arriving) > self.limits.arriving:
            self._drop(next(iter(self._arriving)))
        while self._arriving and self._total_bytes > self.limits.total_bytes:
            self._drop(self._oldest_of_largest_client())

    def _drop(self, request: HttpRequest) -> None:
        sender = self._arriving[request]
        self.end(request)
        sender.drop()

    def _oldest_of_largest_client(self) -> HttpRequest:
        sizes: Counter[str] = Counter()
        clients = {request: sender.client_of(request) for request, sender in self._arriving.items()}
        for request, client in clients.items():
            sizes[client] += request.size
        largest = max(sizes, key=sizes.__getitem__)
        return next(request for request, client in clients.items() if client == largest)
