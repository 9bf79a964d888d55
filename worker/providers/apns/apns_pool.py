"""The connections to one of Apple's hosts: opened when needed, kept warm, replaced before they are missed."""

import asyncio
import socket
import ssl
from contextvars import Context
from urllib.parse import urlsplit

import structlog
from aiohappyeyeballs import start_connection

from bellhop.backoff import pause_s
from worker.providers.apns.aioapns_adapter import ApnsConnection
from worker.providers.apns.apns_proxy import open_tunnel
from worker.providers.apns.apns_stream import UnsentError

CONNECT_TIMEOUT_S = 3.0
HAPPY_EYEBALLS_S = 0.25
"""How long one of Apple's addresses is waited for before the next is tried beside it (RFC 8305)."""
SPREAD_AT = 10
"""Requests in hand on the least busy connection at which another one is opened: Apple wants bursts spread."""
PILE_AT = 100
"""And at which a push rather waits for the other one, for PATIENCE_S: about what a flow-control window takes."""
PATIENCE_S = 0.5
AVOID_S = 5.0
"""How long a connection that failed a push comes last."""
MIN_LIFE_S = 10.0
"""A connection that lived shorter is not replaced before a push needs it: Apple may be turning us away."""
MAX_FAILURES = 5
PAUSE_S = (0.1, 1.0, (1.0, 1.0))
"""First and longest pause before another attempt to connect, when the last one failed or did not last; no jitter."""

log = structlog.get_logger()


class ApnsPool:
    """At most `max_connections` usable connections to the host of `url` (those that drain do not count)."""

    def __init__(self, url: str, context: ssl.SSLContext, proxy: str = "", max_connections: int = 2) -> None:
        parts = urlsplit(url)
        self.host, self.port = parts.hostname or "", parts.port or 443
        self.authority = parts.netloc
        self._context = context
        self._proxy = urlsplit(proxy) if proxy else None
        self._max_connections = max_connections
        self._connections: list[ApnsConnection] = []
        self._connecting: asyncio.Task[None] | None = None
        self._failed_connects = 0
        self._closed = False

    async def pick(self) -> ApnsConnection:
        """The connection to use for the next push. Raises UnsentError when there is none and none can be opened."""
        while (best := self._best()) is None:
            await asyncio.shield(self._connect())
        full = sum(connection.usable for connection in self._connections) >= self._max_connections
        if full or (best.load < SPREAD_AT and not self._avoided(best)):
            return best
        opening = self._connect()
        if best.load >= PILE_AT or self._avoided(best):
            await asyncio.wait([opening], timeout=PATIENCE_S)
        return self._best() or best

    def avoid(self, connection: ApnsConnection) -> None:
        """A push failed on `connection`: prefer others for a while. Replace it when it does nothing but fail."""
        connection.failed_at = asyncio.get_running_loop().time()
        connection.failures += 1
        if connection.failures >= MAX_FAILURES and connection.failed_at - connection.opened_at > MIN_LIFE_S:
            connection.retire()

    async def warm(self) -> None:
        """Open a connection ahead of the first push. Raises UnsentError when that fails."""
        if not any(connection.usable for connection in self._connections):
            await asyncio.shield(self._connect())

    async def close(self) -> None:
        """Let what is in flight finish, then close."""
        self._closed = True
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.wait([self._connecting])
        for connection in self._connections:
            connection.retire()
        for connection in list(self._connections):
            await connection.closed.wait()

    def _best(self) -> ApnsConnection | None:
        usable = (connection for connection in self._connections if connection.usable)
        return min(usable, key=lambda connection: (self._avoided(connection), connection.load), default=None)

    def _avoided(self, connection: ApnsConnection) -> bool:
        return asyncio.get_running_loop().time() - connection.failed_at < AVOID_S

    def _changed(self, connection: ApnsConnection) -> None:
        """`connection` has become usable, or is so no more: close what is too many, replace at once what is missed."""
        usable = [c for c in self._connections if c.usable]
        if len(usable) > self._max_connections:
            min(usable, key=lambda connection: connection.load).retire()
        if connection.usable:
            return
        lived_s = asyncio.get_running_loop().time() - connection.opened_at
        if lived_s < MIN_LIFE_S:
            self._failed_connects = max(self._failed_connects, 1)
        elif not self._closed and not usable:
            self._connect()

    def _connect(self) -> asyncio.Task[None]:
        """Open a connection, unless that is under way already."""
        if self._connecting is None or self._connecting.done():
            # In no push's context: its webhook's id would be in every log line of the connection.
            self._connecting = asyncio.create_task(self._open(), context=Context())
            # Nobody waits for a connection opened in advance: take its failure, which is logged, notice of.
            self._connecting.add_done_callback(lambda task: task.cancelled() or task.exception())
        return self._connecting

    async def _open(self) -> None:
        if self._closed:
            raise UnsentError("closed")
        if self._failed_connects:
            await asyncio.sleep(pause_s(self._failed_connects - 1, *PAUSE_S))
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                connection = await self._establish()
        except asyncio.CancelledError:
            if self._closed:  # for those who wait for this connection, being closed is a failure, not their end
                raise UnsentError("closed") from None
            raise
        except (OSError, UnsentError) as error:  # TimeoutError, gaierror and SSLError are OSErrors
            self._failed_connects += 1
            log.warning("apns_connect_failed", host=self.host, error=str(error) or type(error).__name__)
            raise UnsentError(f"cannot connect: {type(error).__name__}") from error
        self._failed_connects = 0
        log.info("apns_connected", host=self.host)
        self._connections = [c for c in self._connections if not c.closed.is_set()] + [connection]
        self._changed(connection)

    async def _establish(self) -> ApnsConnection:
        loop = asyncio.get_running_loop()
        if self._proxy:
            connected = await open_tunnel(self._proxy, self.host, self.port)
        else:
            # The name is resolved anew for each connection, as Apple asks.
            addresses = await loop.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
            connected = await start_connection(addresses, happy_eyeballs_delay=HAPPY_EYEBALLS_S)
        _, connection = await loop.create_connection(
            lambda: ApnsConnection(self._changed),
            sock=connected,
            server_hostname=self.host,
            ssl=self._context,
            ssl_handshake_timeout=CONNECT_TIMEOUT_S,
            ssl_shutdown_timeout=1.0,
        )
        try:
            await connection.ready
        except BaseException:
            connection.abort("no HTTP/2 settings")
            raise
        return connection
