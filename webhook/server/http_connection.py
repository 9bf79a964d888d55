"""One client's connection: it parses requests, hands over those that are whole, and writes one response at a time.

A live stream (live_streams.py) is the last response of its connection: its parts are written as they become known.

llhttp (in httptools) parses strictly: a request whose length two readers could understand differently is refused with
400. A client may send further requests before the first is answered. They are answered in order. While one is being
answered, nothing more is parsed.
"""

import asyncio
import math
import socket
from collections import deque
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, cast

import structlog
from httptools import HttpParserCallbackError, HttpParserError, HttpParserUpgrade, HttpRequestParser, parse_url

from bellhop.clock import Seconds
from webhook.refused_webhooks import count_refused
from webhook.server.http_request import FAILED, HttpRequest, HttpResponse, encode, encode_head, refusal

if TYPE_CHECKING:
    from webhook.server.request_server import RequestServer

log = structlog.get_logger()

PIECE = 16_384
"""Bytes that are parsed at once."""
MAX_AT_ONCE = 65_536
"""The signature of a larger body is made while it arrives, and not at its end."""
MAX_AHEAD = 16
"""How many requests of one piece may wait until those before them are answered. The connection is closed after the last
of them."""
LINGER_S = Seconds(2.0)
"""How long further input of a refused client is read and dropped. If the connection were closed at once, the client
might not get the response."""
MAX_BEHIND = 131_072
"""How many bytes of a stream may wait in this process for a client that reads slowly. A snapshot has up to 80 KB."""
UNREAD_BYTES = 32_768
"""How many more may wait in the kernel. By itself it would keep megabytes for each client."""
GONE_MS = 30_000
"""How long the kernel waits until a client that vanished confirms what it was sent."""

BAD_REQUEST = refusal(HTTPStatus.BAD_REQUEST, "This is not a valid request.")
HEAD_TOO_LARGE = refusal(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "The headers are larger than 16 KiB.")
TOO_SLOW = refusal(HTTPStatus.REQUEST_TIMEOUT, "The body takes too long.")
"""Stream repeats an event after a 408."""
WRONG_ENCODING = refusal(HTTPStatus.NOT_IMPLEMENTED, "Transfer-Encoding must be chunked.")
WRONG_VERSION = refusal(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "Use HTTP/1.1.")
OPTIONS_OF_SERVER = HttpResponse("204 No Content", [("Allow", "GET, HEAD, POST, PUT, DELETE, OPTIONS")], b"")
"""The answer to `OPTIONS *` (RFC 9110, section 9.3.7)."""
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class HttpConnection(asyncio.Protocol):
    """A connection of the server `server`."""

    def __init__(self, server: "RequestServer") -> None:
        self._server, self._arrivals, self._limits = server, server.arrivals, server.arrivals.limits
        self._loop = asyncio.get_running_loop()
        self._parser = HttpRequestParser(self)
        self._unparsed = memoryview(b"")
        """A view, because a slice of it copies nothing."""
        self._request: HttpRequest | None = None
        """The request that is arriving."""
        self._in_head = True
        self._bytes_held = 0
        """Bytes parsed since the parser last reported a part of a body or the end of the headers or of a request."""
        self._ready: deque[HttpRequest | HttpResponse] = deque()
        """Whole requests, and refusals, in the order of arrival."""
        self._busy: HttpRequest | None = None
        """The request that is being answered."""
        self._advancing = False
        self._client_reads = True
        self._client_sends = True
        self._deaf = False
        """Whether all further input is dropped."""
        self._lingers = False
        self._stream_lost: Callable[[str], None] | None = None
        """What runs when the connection of a stream is lost; None if no stream is open."""
        self._stream_end = "client"
        """Why the stream ended, for that function."""
        self._chunked = False
        """Whether the stream is written in chunks."""
        self.expires_at = math.inf
        """Until when the server waits for the client, by the loop's clock."""

    @property
    def idle(self) -> bool:
        """Whether no request has begun to arrive."""
        return not (self._busy or self._ready or self._request or self._unparsed)

    def answer(self, request: HttpRequest, response: HttpResponse) -> None:
        """Write the response to the request that was handed over last."""
        self._busy = None
        self._arrivals.end(request)
        if self._in_head:
            self._expect_within(self._limits.head_s)
        more = bool(self._ready or self._unparsed) or (self._client_sends and not self._server.stopping)
        self._write(response, keep_alive=request.keep_alive and more, with_body=request.method != "HEAD")
        self._server.waits_for(self)
        if self._ready or self._unparsed:
            # Not now: this may run in a greenlet, and the greenlet of the next request must not begin inside it.
            self._loop.call_soon(self._advance)
        else:
            self._advance()

    def begin_stream(self, request: HttpRequest, response: HttpResponse, lost: Callable[[str], None]) -> bool:
        """Write the head of a response whose parts follow; returns False if no stream begins.

        `lost` is called when the connection is lost, with the reason. What the client sends from now on is dropped.
        """
        self._forget_requests()
        self._deaf, self._unparsed = True, memoryview(b"")
        if self._transport.is_closing() or not self._client_sends:
            self._transport.abort()
            return False
        self._chunked = request.version == "1.1"
        encoding = [("Transfer-Encoding", "chunked")] if self._chunked else []
        self._transport.write(encode_head(response.status, [*response.headers, *encoding], self._server.date))
        if request.method == "HEAD":
            self._transport.close()
            return False
        self._stream_lost, self._busy, self.expires_at = lost, request, math.inf
        _limit_unread(self._transport.get_extra_info("socket"))
        self._transport.resume_reading()  # else the end of the connection would not be noticed
        return True

    def write_part(self, part: bytes) -> None:
        """Write a part of a stream. A client that has not read the parts before it is dropped."""
        if self._transport.is_closing():
            return
        if self._transport.get_write_buffer_size() > MAX_BEHIND:
            self._stream_end = "slow"
            self._transport.abort()
        else:
            self._transport.write(b"%x\r\n%b\r\n" % (len(part), part) if self._chunked else part)

    def end_stream(self, part: bytes) -> None:
        """Write the last part of a stream, and close the connection soon, whether or not the client reads it."""
        self.write_part(part)
        if not self._transport.is_closing():
            self._transport.write(b"0\r\n\r\n" if self._chunked else b"")
            self._expect_within(LINGER_S)
            self._transport.close()

    def client_of(self, request: HttpRequest) -> str:
        """Return the name of the client who sends the request."""
        return self._server.client_of(request, self.client[0])

    def drop(self) -> None:
        """Refuse the request that is arriving, because its body takes too long."""
        client = self.client_of(self._request) if self._request else self.client[0]
        count_refused("too_slow", client)
        log.warning("request_too_slow", address=client)
        self._refuse(TOO_SLOW)
        self._advance()

    def expire(self) -> None:
        """Refuse the body that takes too long, or close the connection if no body is arriving."""
        self._stream_end = "slow"
        if self._in_head or self._deaf:
            self._transport.abort()
        else:
            self.drop()

    def close(self) -> None:
        """Close the connection once everything is written."""
        self._transport.close()

    def abort(self) -> None:
        """Close the connection now."""
        self._transport.abort()

    # asyncio calls these

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for a request."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's has another class
        self.client = transport.get_extra_info("peername") or ("", 0)
        self.local = transport.get_extra_info("sockname") or ("", 0)
        self._expect_within(self._limits.head_s)
        self._server.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget all requests. If a view still answers a request, its response is dropped."""
        self._deaf = True
        self._forget_requests()
        self._server.closed(self)
        if self._stream_lost:
            self._stream_lost(self._stream_end)

    def data_received(self, data: bytes) -> None:
        """Parse what arrived."""
        if self._stream_lost:
            self._transport.pause_reading()  # nothing may follow the request of a stream: it must not cost us time
        elif not self._deaf:
            self._unparsed = memoryview(bytes(self._unparsed) + data if self._unparsed else data)
            self._advance()
            if self._request and self._request.signature:
                self._transport.pause_reading()
                self._server.paused(self)

    def go_on(self) -> None:
        """Read the next part of a large body."""
        if not self._transport.is_closing():
            self._advance()

    def eof_received(self) -> bool:
        """Keep the connection open for the responses to whole requests; the client sends no more."""
        self._client_sends = False
        if self._stream_lost:
            self._transport.abort()
            return False
        return bool(self._busy or self._ready)

    def pause_writing(self) -> None:
        """Answer no further request until the client has read the responses."""
        self._client_reads = False
        self._expect_within(self._limits.head_s)

    def resume_writing(self) -> None:
        """Continue."""
        self._client_reads = True
        if self._stream_lost:
            self.expires_at = math.inf
        else:
            self._advance()

    # httptools calls these

    def on_message_begin(self) -> None:
        """Begin a request."""
        if not self._deaf:
            self._request = HttpRequest()

    def on_url(self, part: bytes) -> None:
        """Note a part of the request's target."""
        if self._request:
            self._request.target += part
            self._request.head_bytes += len(part)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Note a header. Trailers are dropped."""
        request = self._request
        if request and self._in_head:
            request.headers.append((name.lower(), value))
            request.head_bytes += len(name) + len(value)

    def on_headers_complete(self) -> None:
        """Decide whether and how the body is read."""
        request, parser = self._request, self._parser
        if not request or self._deaf:
            return
        if request.head_bytes > self._limits.head_bytes:
            self._refuse(HEAD_TOO_LARGE)
            return
        request.method, request.version = parser.get_method().decode(), parser.get_http_version()
        if parser.should_upgrade() and request.method != "CONNECT":
            return  # llhttp stops after the headers (see _feed)
        self._in_head, self._bytes_held = False, 0
        headers = dict(request.headers)
        encoding, length = headers.get(b"transfer-encoding"), int(headers.get(b"content-length", 0))
        about_server = request.target == b"*" and request.method == "OPTIONS"
        if not request.target.startswith(b"/") and not about_server:
            request.target = _path_of(request.target)
        request.max_body = self._max_body(request)
        if refused := _refusal(request, encoding):
            self._refuse(refused)
        elif about_server:
            self._refuse(OPTIONS_OF_SERVER)
        elif length > request.max_body:
            self._cut(request)
        elif length or encoding:
            self._expect_within(self._limits.body_s)
            expects = headers.get(b"expect", b"").lower() if request.version == "1.1" else b""
            if expects == b"100-continue" and not (self._busy or self._ready):
                self._transport.write(CONTINUE)
            if encoding or length > MAX_AT_ONCE:
                self._server.begin_large_body(request)
            if length > MAX_AT_ONCE and self._server.refuses(request):
                self._cut(request)
            else:
                self._arrivals.begin(request, self)

    def on_body(self, chunk: bytes) -> None:
        """Keep a part of the body."""
        self._bytes_held = 0
        if self._request and not self._deaf:
            self._arrivals.add(self._request, chunk)
            if self._request and self._request.size > self._request.max_body:
                self._cut(self._request)

    def on_message_complete(self) -> None:
        """Hand the request over when its turn comes."""
        if not self._request or self._deaf or self._in_head:
            return
        may_follow = self._request.version == "1.1" and len(self._ready) < MAX_AHEAD
        keep_alive = self._parser.should_keep_alive() and may_follow
        self._complete(self._request, keep_alive=keep_alive)
        self._deaf = not keep_alive

    # Helpers of the methods above

    def _forget_requests(self) -> None:
        for request in (self._request, self._busy, *self._ready):
            if isinstance(request, HttpRequest):
                self._arrivals.end(request)
        self._request = None
        self._ready.clear()

    def _advance(self) -> None:
        """Parse and answer as far as possible now."""
        if self._advancing:
            return
        self._advancing = True
        while not self._busy and self._client_reads:
            if self._ready:
                self._begin(self._ready.popleft())
            elif self._unparsed and not self._deaf:
                piece, self._unparsed = self._unparsed[:PIECE], self._unparsed[PIECE:]
                self._feed(piece)
            else:
                break
        self._advancing = False
        if not (self._client_sends or self._busy or self._ready):
            self._transport.close()
        if self._transport.is_closing():
            return
        if self._unparsed and not self._deaf:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def _feed(self, piece: memoryview) -> None:
        try:
            self._parser.feed_data(piece)
        except HttpParserUpgrade as upgrade:
            self._ignore_upgrade(bytes(piece[upgrade.args[0] :]))
        except HttpParserCallbackError as error:
            # Our mistake, not the client's. Stream repeats an event after a 503, but not after a 400.
            cause = error.__context__
            log.error("unexpected_error", error=type(cause).__name__, exc_info=cause)
            self._refuse(FAILED)
        except HttpParserError:
            self._refuse(BAD_REQUEST)
        if self._request:
            # The parser reports a header only when it is complete, so what it holds is counted too. After the chunks of
            # a body come headers again; the parser would hold any number of bytes, and copy them for each piece.
            self._bytes_held += len(piece)
            most = self._limits.head_bytes
            if self._request.head_bytes > most or self._bytes_held > most + PIECE:
                self._refuse(HEAD_TOO_LARGE)

    def _ignore_upgrade(self, rest: bytes) -> None:
        """Parse the request again without its Upgrade header: llhttp gives up a request that has one."""
        request, self._request = self._request, None
        if not request or self._deaf:
            return
        lines = [b"%s %s HTTP/%s" % (request.method.encode(), request.target, request.version.encode())]
        lines += [b"%s: %s" % header for header in request.headers if header[0] != b"upgrade"]
        self._unparsed = memoryview(b"\r\n".join(lines) + b"\r\n\r\n" + rest + bytes(self._unparsed))
        self._parser = HttpRequestParser(self)

    def _complete(self, request: HttpRequest, *, keep_alive: bool) -> None:
        self._request = None
        self._in_head, self._bytes_held = True, 0
        self.expires_at = math.inf
        request.keep_alive = keep_alive
        self._arrivals.complete(request)
        self._ready.append(request)

    def _max_body(self, request: HttpRequest) -> int:
        is_webhook = self._limits.webhook_bytes and self._server.is_webhook(request)
        return self._limits.webhook_bytes if is_webhook else self._limits.body_bytes

    def _cut(self, request: HttpRequest) -> None:
        """Hand over a request whose body is too large, without the rest of it; the application refuses it."""
        request.cut = True
        self._complete(request, keep_alive=False)
        self._lingers = self._deaf = True

    def _refuse(self, response: HttpResponse) -> None:
        if self._deaf:
            return
        self._deaf = self._lingers = True
        if self._request:
            self._arrivals.end(self._request)
            self._request = None
        self._ready.append(response)

    def _begin(self, ready: HttpRequest | HttpResponse) -> None:
        if isinstance(ready, HttpResponse):
            self._write(ready, keep_alive=False, with_body=True)
        else:
            self._busy = ready
            self._server.serve(self, ready)

    def _write(self, response: HttpResponse, *, keep_alive: bool, with_body: bool) -> None:
        if self._transport.is_closing():
            return
        self._transport.write(encode(response, self._server.date, keep_alive=keep_alive, with_body=with_body))
        if keep_alive:
            return
        self._deaf = True
        if self._lingers:
            self._expect_within(LINGER_S)
            self._transport.write_eof()
        else:
            self._transport.close()

    def _expect_within(self, time_s: Seconds) -> None:
        self.expires_at = self._loop.time() + time_s


def _limit_unread(sock: socket.socket | None) -> None:
    """Limit what the kernel keeps for a client that does not read, and how long it waits for one that vanished."""
    if sock is not None and sock.family != socket.AF_UNIX:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, UNREAD_BYTES)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, GONE_MS)


def _path_of(target: bytes) -> bytes:
    """Return path and query of a target such as http://host/path?query; empty if it has none."""
    try:
        url = parse_url(target)
    except HttpParserError:
        return b""
    return (url.path or b"/") + (b"?" + url.query if url.query else b"") if url.schema else b""


def _refusal(request: HttpRequest, encoding: bytes | None) -> HttpResponse | None:
    if request.version not in ("1.0", "1.1"):
        return WRONG_VERSION
    if encoding is not None and encoding.lower() != b"chunked":
        return WRONG_ENCODING
    if not request.target or (encoding and request.version == "1.0"):
        return BAD_REQUEST
    return None
