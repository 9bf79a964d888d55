"""The HTTP server of one process: its connections, and where each request is answered.

The application is a WSGI application. Views that never block run on the event loop's thread, in a LoopGreenlet: while
one waits for Redis, the loop serves other requests. All other views run in threads. A view runs only after its request
has arrived whole.
"""

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

import structlog

from bellhop.clock import Seconds
from webhook.loop_greenlet import LoopGreenlet
from webhook.server.arrivals import Arrivals, RequestLimits
from webhook.server.http_connection import HttpConnection
from webhook.server.http_request import FAILED, HttpRequest, HttpResponse, run_wsgi, wsgi_environ

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

log = structlog.get_logger()

CHECK_S = 0.5
"""How often the time limits of connections are checked."""
LAST_REQUESTS_S = 0.2
"""How long a stopping process reads requests from its connections. If it closed them at once, requests that are on
their way would be lost."""
STOP_TIMEOUT_S = Seconds(10)
"""How long a stopping process may take for its open requests; every request is shorter."""


class RequestServer:
    """Answers requests by `app`: on the event loop those that `on_loop` chooses, the others in `threads` threads."""

    def __init__(
        self, app: "WSGIApplication", limits: RequestLimits, threads: int, on_loop: Callable[[HttpRequest], bool]
    ) -> None:
        self.arrivals = Arrivals(limits)
        self.stopping = False
        self._all_closed = asyncio.Event()
        self.date = formatdate(usegmt=True)
        self._app, self._on_loop = app, on_loop
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
        """
        self._connections.add(connection)
        self._waiting[connection] = None
        if len(self._connections) > self.arrivals.limits.connections:
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

    def serve(self, connection: HttpConnection, request: HttpRequest) -> None:
        """Answer a whole request."""
        self._waiting.pop(connection, None)
        environ = wsgi_environ(request, connection.client, connection.local)
        on_loop = self._on_loop(request)
        request.body.clear()  # the application has a copy
        if on_loop:
            LoopGreenlet(lambda: connection.answer(request, self._run(environ))).switch()
        else:
            answered = self._loop.run_in_executor(self._pool, self._run, environ)
            answered.add_done_callback(lambda done: connection.answer(request, done.result()))

    async def keep_time(self) -> None:
        """Check the time limits of all connections, and update the date of the responses."""
        while True:
            await asyncio.sleep(CHECK_S)
            self.date = formatdate(usegmt=True)
            now_s = self._loop.time()
            for connection in list(self._connections):
                if connection.expires_at < now_s:
                    connection.expire()

    async def stop(self) -> None:
        """Answer what arrives in the next moment, or has begun to arrive, and close everything."""
        self.stopping = True
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
