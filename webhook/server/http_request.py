"""An HTTP request and a response, and their form in WSGI (PEP 3333)."""

import io
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote_to_bytes

from webhook.security_headers import HEADERS

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

    from webhook.intake.signature import RefusedWebhook, RunningSignature

Headers = list[tuple[str, str]]
Write = Callable[[bytes], object]

WITHOUT_BODY = ("204", "304")
"""Statuses of responses that have no body and do not name its length (RFC 9110, section 8.6)."""


WHOLE_BODY = "bellhop.body"
"""The WSGI variable that holds the bytes of a body that is whole. A view that reads it needs no stream."""


class HttpResponse(NamedTuple):
    """A complete response."""

    status: str
    """Code and reason, such as "200 OK"."""
    headers: Headers
    body: bytes


@dataclass(eq=False, slots=True)
class HttpRequest:
    """A request, filled while it arrives."""

    target: bytes = b""
    """Path and query."""
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    """Names are in lower case."""
    body: bytearray = field(default_factory=bytearray)
    """The part that has arrived. Not a list of chunks: a chunk of two bytes would take 40 bytes of memory."""
    size: int = 0
    """Bytes of the body so far."""
    head_bytes: int = 0
    method: str = ""
    version: str = ""
    keep_alive: bool = False
    cut: bool = False
    """Whether the body is too large, and the rest of it is missing."""
    max_body: int = 0
    """How large the body may be; the rest of a larger one is not read."""
    client: str = ""
    """The client's name, once it is needed."""
    signature: "RunningSignature | None" = None
    """Of a large webhook: it grows with the body."""
    refused: "RefusedWebhook | None" = None
    """Why a webhook is refused, if that is known before the view runs."""


def refusal(status: HTTPStatus, sentence: str) -> HttpResponse:
    """Make a response of the server itself, for a request that the application does not see."""
    return HttpResponse(
        f"{status.value} {status.phrase}",
        [("Content-Type", "application/json"), *HEADERS.items()],
        b'{"error":"%s"}\n' % sentence.encode(),
    )


FAILED = refusal(HTTPStatus.SERVICE_UNAVAILABLE, "Internal server error. Try again.")


def encode_head(status: str, headers: Headers, date: str) -> bytes:
    """Write the head of a response whose body is not known yet. The connection is closed after the response."""
    known = [(name, value) for name, value in headers if name.lower() != "content-length"]
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in known)]
    return "\r\n".join([*lines, f"Date: {date}", "Connection: close", "\r\n"]).encode("latin-1", "replace")


def encode(response: HttpResponse, date: str, *, keep_alive: bool, with_body: bool) -> bytes:
    """Write a response as HTTP/1.1. The response to HEAD has no body, but names its length."""
    head = _head(response.status, tuple(response.headers), len(response.body), date, keep_alive=keep_alive)
    return head + response.body if with_body else head


@lru_cache(maxsize=64)
def _head(status: str, headers: tuple[tuple[str, str], ...], length: int, date: str, *, keep_alive: bool) -> bytes:
    """Write the head of a response. Most answers to webhooks of one second have the same."""
    lines = [f"HTTP/1.1 {status}"]
    lines += [f"{name}: {value}" for name, value in headers]
    names = {name.lower() for name, _ in headers}
    if "content-length" not in names and status[:3] not in WITHOUT_BODY:
        lines.append(f"Content-Length: {length}")
    lines.append(f"Date: {date}")
    if not keep_alive:
        lines.append("Connection: close")
    head = "\r\n".join(lines) + "\r\n\r\n"
    # A character that HTTP cannot carry becomes "?": the client must get its answer all the same.
    return head.encode("latin-1", "replace")


def run_wsgi(app: "WSGIApplication", environ: dict[str, Any]) -> HttpResponse:
    """Run the application with a request."""
    started: list[tuple[str, Headers]] = []

    def start_response(status: str, headers: Headers, _: object = None, /) -> Write:
        started.append((status, headers))
        return _drop

    chunks = app(environ, start_response)
    try:
        body = b"".join(chunks)
    finally:
        if close := getattr(chunks, "close", None):
            close()
    return HttpResponse(*started[-1], body)


def _drop(part: bytes) -> None:
    """Do nothing: no part of the application uses WSGI's write()."""


def wsgi_environ(request: HttpRequest, client: tuple[str, int], server: tuple[str, int]) -> dict[str, Any]:
    """Return the request as PEP 3333 defines it."""
    path, _, query = request.target.partition(b"?")
    body = bytes(request.body)
    environ = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": (unquote_to_bytes(path) if b"%" in path else path).decode("latin-1"),
        "QUERY_STRING": query.decode("latin-1"),
        "REQUEST_URI": request.target.decode("latin-1"),  # the path before it is decoded, as other servers call it
        "SERVER_NAME": server[0],
        "SERVER_PORT": str(server[1]),
        "SERVER_PROTOCOL": f"HTTP/{request.version}",
        "REMOTE_ADDR": client[0],
        "REMOTE_PORT": str(client[1]),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    if not request.cut:
        environ[WHOLE_BODY] = body
    for name, value in request.headers:
        key = _variable(name)
        if key:
            text = value.decode("latin-1")
            environ[key] = f"{environ[key]},{text}" if key in environ else text
    return environ


@lru_cache(maxsize=256)
def _variable(header: bytes) -> str:
    """Return the name of a header in WSGI; empty if the header is dropped.

    A header with an underscore is dropped: WSGI would take a client's X_Forwarded_For for the X-Forwarded-For that only
    proxies may set. Transfer-Encoding is dropped because the body is no longer chunked.
    """
    if b"_" in header or header == b"transfer-encoding":
        return ""
    key = header.decode("latin-1").upper().replace("-", "_")
    return key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"
