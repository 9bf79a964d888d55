"""The HTTP server of one process: its connections, and where each request is answered.

The application is a WSGI application. Views that never block run on the event loop's thread, in a LoopGreenlet: while
one waits for Redis, the loop serves other requests. All other views run in threads. A view runs only after its request
has arrived whole.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog

from bellhop.clock import Seconds
from webhook.live_reader import LiveReader, offer_streams, reader_of
from webhook.loop_greenlet import LoopGreenlets
from webhook.server.arrivals import Arrivals, RequestLimits
from webhook.server.fair_thread import FairThread, Work
from webhook.server.http_connection import HttpConnection
from webhook.server.http_request import FAILED, WHOLE_BODY, HttpRequest, HttpResponse, run_wsgi, wsgi_environ
from webhook.server.live_refusal import stream_refusal
from webhook.server.live_streams import LiveStreams
from webhook.server.webhook_bodies import WebhookBodies, verified_bytes
from webhook.verified_request import ANSWER_AFTER_S, SIGNATURE, VERIFIED

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

log = structlog.get_logger()

CHECK_S = 0.5
"""How often the time limits of connections are checked."""
LAST_REQUESTS_S = 0.2
"""How long a stopping process reads requests from its connections. If it closed them at once, requests that are on
their way would be lost."""
MAX_DELAYED = 64
"""How many answers may wait on purpose. While an answer waits, its connection is not closed to make room for others."""
STOP_TIMEOUT_S = Seconds(10)
"""How long a stopping process may take for its open requests; every request is shorter."""


class RequestServer:
    """Answers requests by `app`: on the event loop those that `on_loop` chooses, the others in `threads` threads."""

    def __init__(
        self,
        app: "WSGIApplication",
        limits: RequestLimits,
        threads: int,
        on_loop: Callable[[HttpRequest], bool],
        bodies: WebhookBodies | None = None,
        streams: LiveStreams | None = None,
    ) -> None:
        self.arrivals = Arrivals(limits)
        self.stopping = False
        self._all_closed = asyncio.Event()
        self.date = formatdate(usegmt=True)
        self._app, self._on_loop = app, on_loop
        self._bodies, self._streams = bodies, streams
        self._inflating = FairThread(limits.total_bytes // 2, limits.total_bytes // 4)
        self._delayed = 0
        self._paused: deque[HttpConnection] = deque()
        """The connections on which a large body arrives. They take turns."""
        self._greenlets = LoopGreenlets()
        self._pool = ThreadPoolExecutor(threads, "answer")
        self._loop = asyncio.get_running_loop()
        self._connections: set[HttpConnection] = set()
        self._waiting: dict[HttpConnection, None] = {}
        """The connections that wait for their client. The one that has waited longest comes first."""

    def connection(self) -> HttpConnection:
        """Make the protocol of a new connection."""
        return HttpConnection(self)

    def opened(self, connection: HttpConnection) -> None:
        """Count a new connection. If there are too many, close the one that has waited longest for its client.

        A connection whose request is being answered is never closed. If all others are busy, the new one is closed.
        Live streams have a limit of their own.
        """
        self._connections.add(connection)
        self._waiting[connection] = None
        open_streams = self._streams.open_streams if self._streams else 0
        if len(self._connections) - open_streams > self.arrivals.limits.connections:
            oldest = next(iter(self._waiting))
            self.closed(oldest)
            oldest.abort()

    def closed(self, connection: HttpConnection) -> None:
        """Forget a connection."""
        self._connections.discard(connection)
        self._waiting.pop(connection, None)
        self._note_all_closed()

    def waits_for(self, connection: HttpConnection) -> None:
        """Note that a request was answered: now the connection waits for its client."""
        if connection in self._connections:
            self._waiting[connection] = None

    def paused(self, connection: HttpConnection) -> None:
        """Let a connection go on with its large body when its turn comes: one in each turn of the event loop."""
        self._paused.append(connection)
        if len(self._paused) == 1:
            self._loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        self._paused.popleft().go_on()
        if self._paused:
            self._loop.call_soon(self._go_on)

    def is_webhook(self, request: HttpRequest) -> bool:
        """Return whether the body may have a webhook's size."""
        return self._bodies is not None and self._bodies.is_webhook(request)

    def client_of(self, request: HttpRequest, peer: str) -> str:
        """Return the name of the client who sends the request."""
        return self._bodies.client_of(request, peer) if self._bodies else peer

    def begin_large_body(self, request: HttpRequest) -> None:
        """Note that a body that may be large begins to arrive."""
        if self._bodies and self._bodies.is_webhook(request):
            request.signature = self._bodies.begin_signature(request)

    def refuses(self, request: HttpRequest) -> bool:
        """Return whether a webhook is refused by its headers alone."""
        if self._bodies and self._bodies.is_webhook(request):
            request.refused = self._bodies.refusal_by_headers(request)
        return request.refused is not None

    def serve(self, connection: HttpConnection, request: HttpRequest) -> None:
        """Answer a whole request."""
        self._waiting.pop(connection, None)
        if self._bodies and request.signature and not request.cut:
            request.refused = self._bodies.refusal_by_signature(request)
        if request.refused:
            request.body.clear()  # so the body is not copied: that may take 10 ms
        environ = wsgi_environ(request, connection.client, connection.local)
        if self._streams:
            offer_streams(environ)
        if request.refused:
            environ[VERIFIED] = request.refused
        elif request.signature:
            environ[SIGNATURE] = request.signature
        if self._bodies and self._bodies.must_inflate(request, connection.client[0]):
            self._inflate(self._bodies, connection, request, environ)
        else:
            request.body.clear()  # the application has a copy
            self._answer(connection, request, environ)

    def _inflate(
        self, bodies: WebhookBodies, connection: HttpConnection, request: HttpRequest, environ: dict[str, Any]
    ) -> None:
        """Inflate the body when it is the client's turn, then answer."""

        def done() -> None:
            self.arrivals.grow(request, verified_bytes(environ))
            self._answer(connection, request, environ)

        client, body = self.client_of(request, connection.client[0]), environ[WHOLE_BODY]
        request.body.clear()
        work = Work(request.size, partial(bodies.verify, environ, body, client), done)
        if not self._inflating.add(client, work, last=bodies.failed_often(client, environ)):
            bodies.refuse_busy(environ)
            self._answer(connection, request, environ)

    def _answer(self, connection: HttpConnection, request: HttpRequest, environ: dict[str, Any]) -> None:
        def answer(response: HttpResponse) -> None:
            if self._streams and (reader := reader_of(environ)):
                client = environ.get("REMOTE_ADDR", "")  # the app has replaced the proxy's address
                self._begin_stream(self._streams, reader, connection, request, response, client)
            else:
                self._answer_after(environ.get(ANSWER_AFTER_S, 0.0), connection, request, response)

        if self._on_loop(request):
            self._greenlets.run(lambda: answer(self._run(environ)))
        else:
            answered = self._loop.run_in_executor(self._pool, self._run, environ)
            answered.add_done_callback(lambda done: answer(done.result()))

    def _begin_stream(
        self,
        streams: LiveStreams,
        reader: LiveReader,
        connection: HttpConnection,
        request: HttpRequest,
        response: HttpResponse,
        client: str,
    ) -> None:
        """Go on with a response whose view has let the reader in, unless too many streams are open."""
        if response.status[:3] != "200":
            connection.answer(request, response)  # an error after the view
        elif refused := streams.refusal(reader):
            connection.answer(request, stream_refusal(refused, response.headers, client))
        elif connection.begin_stream(request, response, lambda end: streams.forget(stream, end)):
            stream = streams.open(reader, connection)

    def _answer_after(
        self, wait_s: float, connection: HttpConnection, request: HttpRequest, response: HttpResponse
    ) -> None:
        """Answer, after a pause if the view wants one. If too many answers wait, answer now and close."""
        if not wait_s:
            connection.answer(request, response)
        elif self._delayed < MAX_DELAYED:
            self._delayed += 1
            self._loop.call_later(wait_s, self._answer_delayed, connection, request, response)
        else:
            request.keep_alive = False
            connection.answer(request, response)

    def _answer_delayed(self, connection: HttpConnection, request: HttpRequest, response: HttpResponse) -> None:
        self._delayed -= 1
        connection.answer(request, response)

    async def keep_time(self) -> None:
        """Check the time limits of all connections, and update the date of the responses."""
        while True:
            await asyncio.sleep(CHECK_S)
            self.date = formatdate(usegmt=True)
            if self._streams:
                self._streams.keep_time()
            now_s = self._loop.time()
            for connection in list(self._connections):
                if connection.expires_at < now_s:
                    connection.expire()

    async def stop(self) -> None:
        """Answer what arrives in the next moment, or has begun to arrive, and close everything."""
        self.stopping = True
        if self._streams:
            await self._streams.stop()
        if self._connections:
            await asyncio.sleep(LAST_REQUESTS_S)
        for connection in list(self._connections):
            if connection.idle:
                connection.close()
        self._note_all_closed()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await self._all_closed.wait()

    def _note_all_closed(self) -> None:
        if self.stopping and not self._connections:
            self._all_closed.set()

    def _run(self, environ: dict[str, Any]) -> HttpResponse:
        try:
            return run_wsgi(self._app, environ)
        except Exception as error:
            log.exception("unexpected_error", error=type(error).__name__)
            return FAILED
