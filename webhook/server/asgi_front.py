"""ASGI -> the WSGI application: a thread is taken only for a request that is here as a whole.

Servers of WSGI with threads take one when the headers are there, and keep it for as long as the body takes.
"""

import asyncio
import io
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote_to_bytes

import structlog

from bellhop.telemetry import metrics
from webhook.server.bodies import Bodies

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

log = structlog.get_logger()

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Front = Callable[[dict[str, Any], Receive, Send], Awaitable[None]]


class FrontResponse(NamedTuple):
    """What goes back."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


TOO_SLOW = FrontResponse(
    408, [(b"content-type", b"application/json"), (b"connection", b"close")], b'{"error":"The body takes too long."}\n'
)
"""Stream posts again what is answered 408."""


def front(app: "WSGIApplication", threads: int, bodies: Bodies) -> Front:
    """Serve `app` with `threads` threads."""
    pool = ThreadPoolExecutor(threads, "answer")

    async def serve(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        try:
            async with bodies.whole(_pieces(scope, receive)) as body:
                answer = await asyncio.get_running_loop().run_in_executor(pool, _answer, app, _environ(scope, body))
        except ConnectionError:
            return
        except TimeoutError:
            metrics.REFUSED.add("too_slow")
            log.warning("request_too_slow", address=scope["client"][0])
            answer = TOO_SLOW
        await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
        await send({"type": "http.response.body", "body": answer.body})

    return serve


async def _pieces(scope: dict[str, Any], receive: Receive) -> AsyncIterator[bytes]:
    """Yield the body as it comes. Raises ConnectionError if the client leaves before its end."""
    headers = dict(scope["headers"])
    left = int(headers.get(b"content-length") or (-1 if b"transfer-encoding" in headers else 0))
    while left:  # below zero there is no saying
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionResetError
        yield message["body"]
        left -= len(message["body"])
        if not message["more_body"]:
            return


def _answer(app: "WSGIApplication", environ: dict[str, Any]) -> FrontResponse:
    started: list[tuple[str, list[tuple[str, str]]]] = []

    def start(status: str, headers: list[tuple[str, str]], _: object = None, /) -> Callable[[bytes], object]:
        started.append((status, headers))
        return lambda _: None  # nothing here is old enough to write

    pieces = app(environ, start)
    try:
        body = b"".join(pieces)
    finally:
        getattr(pieces, "close", lambda: None)()
    status, headers = started[-1]
    return FrontResponse(
        int(status[:3]), [(name.encode("latin-1"), text.encode("latin-1")) for name, text in headers], body
    )


def _environ(scope: dict[str, Any], body: bytes) -> dict[str, Any]:
    """Say the request in the words of PEP 3333."""
    environ: dict[str, Any] = {
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
    for name, value in scope["headers"]:
        # X_Forwarded_For would be taken for X-Forwarded-For, which proxies write; and what was chunked no longer is.
        if b"_" in name or name == b"transfer-encoding":
            continue
        key, text = name.decode("latin-1").upper().replace("-", "_"), value.decode("latin-1")
        key = key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"
        environ[key] = f"{environ[key]},{text}" if key in environ else text
    return environ
