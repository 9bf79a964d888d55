"""ASGI -> the WSGI application. A request occupies a thread only after its whole body has arrived.

WSGI servers with threads use one as soon as the headers are there, and keep it while the body arrives.
"""

import asyncio
import io
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote_to_bytes

import structlog

from bellhop.telemetry import metrics
from webhook.server.bodies import Bodies

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

log = structlog.get_logger()

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
AsgiApplication = Callable[[Scope, Receive, Send], Awaitable[None]]

UNKNOWN_LENGTH = -1


class FrontResponse(NamedTuple):
    """A complete response."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


TOO_SLOW = FrontResponse(
    408, [(b"content-type", b"application/json"), (b"connection", b"close")], b'{"error":"The body takes too long."}\n'
)
"""Stream repeats an event after a 408."""


def front(app: "WSGIApplication", threads: int, bodies: Bodies) -> AsgiApplication:
    """Make an ASGI application that runs `app` with `threads` threads."""
    pool = ThreadPoolExecutor(threads, "answer")

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with bodies.whole(_body_chunks(scope, receive)) as body:
                loop = asyncio.get_running_loop()
                response = await loop.run_in_executor(pool, _run_wsgi, app, _environ(scope, body))
        except ConnectionError:
            return
        except TimeoutError:
            metrics.REFUSED.add("too_slow")
            log.warning("request_too_slow", address=scope["client"][0])
            response = TOO_SLOW
        await send({"type": "http.response.start", "status": response.status, "headers": response.headers})
        await send({"type": "http.response.body", "body": response.body})

    return serve


async def _body_chunks(scope: Scope, receive: Receive) -> AsyncIterator[bytes]:
    """Yield the body as it arrives. Raises ConnectionError if the client disconnects before the end."""
    headers = dict(scope["headers"])
    without_length = UNKNOWN_LENGTH if b"transfer-encoding" in headers else 0
    left = int(headers.get(b"content-length") or without_length)
    while left:  # an unknown length stays below zero
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionResetError
        yield message["body"]
        left -= len(message["body"])
        if not message["more_body"]:
            return


def _run_wsgi(app: "WSGIApplication", environ: dict[str, Any]) -> FrontResponse:
    started: list[tuple[str, list[tuple[str, str]]]] = []

    def start_response(status: str, headers: list[tuple[str, str]], _: object = None, /) -> Callable[[bytes], object]:
        started.append((status, headers))
        return lambda _: None  # WSGI's write(), which no part of the application uses

    chunks = app(environ, start_response)
    try:
        body = b"".join(chunks)
    finally:
        getattr(chunks, "close", lambda: None)()
    status, headers = started[-1]
    encoded = [(name.encode("latin-1"), text.encode("latin-1")) for name, text in headers]
    return FrontResponse(int(status[:3]), encoded, body)


def _environ(scope: Scope, body: bytes) -> dict[str, Any]:
    """Write the request as PEP 3333 wants it."""
    return _headers_environ(scope["headers"]) | {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(scope["raw_path"]).decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_NAME": scope["server"][0],
        "SERVER_PORT": str(scope["server"][1]),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "REMOTE_ADDR": scope["client"][0],
        "REMOTE_PORT": str(scope["client"][1]),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope["scheme"],
        "wsgi.input": io.BytesIO(body),
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }


def _headers_environ(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, Any]:
    environ: dict[str, Any] = {}
    for name, value in headers:
        # Underscores: a client's X_Forwarded_For would become the X-Forwarded-For that only proxies may set.
        # Transfer-Encoding: the body is no longer chunked.
        if b"_" in name or name == b"transfer-encoding":
            continue
        key, text = name.decode("latin-1").upper().replace("-", "_"), value.decode("latin-1")
        key = key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"
        environ[key] = f"{environ[key]},{text}" if key in environ else text
    return environ
