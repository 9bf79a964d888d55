"""The HTTP/2 connections to one host: opened when needed, kept open, and replaced before a push needs them."""

import asyncio
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context
from urllib.parse import urlsplit

from aiohappyeyeballs import SocketFactoryType, start_connection

from bellhop.backoff import pause_s
from bellhop.clock import Seconds
from bellhop.domain.outcomes import Outcome
from worker.providers.http2.connection_log import NO_LOG, ConnectionLog
from worker.providers.http2.connection_policy import ConnectionPolicy
from worker.providers.http2.http2_connection import Http2Connection, retrieve_error
from worker.providers.http2.http2_stream import UnsentError
from worker.providers.http2.proxy_tunnel import open_tunnel
from worker.providers.openssl_words import openssl_words

DEFAULT_POLICY = ConnectionPolicy()
SUSPICIOUS_S = 0.2
"""`suspect` a connection if a request got no answer in at least this time. A shorter wait says nothing about it."""
AVOID = frozenset({Outcome.UNAVAILABLE, Outcome.UNSENT, Outcome.UNKNOWN})
"""`avoid` a connection after these outcomes: the next request should take another one."""
SHUTDOWN_TIMEOUT_S = 1.0
"""How long the TLS shutdown of a closed connection may take."""


class Http2Pool:
    """At most `max_connections` usable connections to the host of `url`. Connections that drain do not count."""

    def __init__(
        self,
        url: str,
        tls: Callable[[], ssl.SSLContext],
        proxy: str = "",
        max_connections: int = 2,
        policy: ConnectionPolicy = DEFAULT_POLICY,
        connection_log: ConnectionLog = NO_LOG,
        make_socket: SocketFactoryType | None = None,
    ) -> None:
        """`make_socket` raises OSError for an address that must not be connected to. It is not used behind a proxy."""
        parts = urlsplit(url)
        self.host, self.port = parts.hostname or "", parts.port or 443
        self.authority = parts.netloc
        self._tls, self._policy, self._log = tls, policy, connection_log
        self._proxy, self._make_socket = urlsplit(proxy) if proxy else None, make_socket
        self._max_connections = max_connections
        self._connections: list[Http2Connection] = []
        self._connecting: asyncio.Task[None] | None = None
        self._failed_connects = 0
        self._closed = False

    async def pick(self) -> Http2Connection:
        """Return the connection for the next push. Raises UnsentError if there is none and none can be opened."""
        while (best := self._best()) is None:
            await self._connected()
        if len(self._usable()) >= self._max_connections:
            return best
        avoided = self._avoided(best)
        if best.load < self._policy.spread_at and not avoided:
            return best
        opening = self._connect()
        if best.load >= self._policy.pile_at or avoided:
            await asyncio.wait([opening], timeout=self._policy.patience_s)
        return self._best() or best

    @property
    def usable(self) -> bool:
        """Whether a connection can take a request now."""
        return any(connection.usable for connection in self._connections)

    async def until_usable(self) -> None:
        """Wait for a usable connection: connect again and again until there is one."""
        while not self.usable and not self._closed:
            with suppress(UnsentError):
                await self._connected()

    def avoid(self, connection: Http2Connection) -> None:
        """Prefer other connections for a while: a push failed on this one. Replace it if every push on it fails."""
        connection.failed_at_s = asyncio.get_running_loop().time()
        connection.failures += 1
        lived_s = connection.failed_at_s - connection.opened_at_s
        if connection.failures >= self._policy.max_failures and lived_s > self._policy.min_life_s:
            connection.retire()

    def suspect(self, connection: Http2Connection, waited_s: Seconds) -> None:
        """Doubt a connection that failed, or gave no answer for `waited_s`, and all that were quiet for as long.

        The network may have dropped them all: the next push must not be lost on another of them.
        """
        quiet_since_s = asyncio.get_running_loop().time() - waited_s
        quiet = [other for other in self._usable() if other is not connection and other.heard_at_s < quiet_since_s]
        for doubted in (connection, *quiet):
            if not doubted.lost:
                doubted.suspect()

    async def warm(self) -> None:
        """Open a connection ahead of the first push. Raises UnsentError if that fails."""
        if not self._usable():
            await self._connected()

    def retire(self) -> None:
        """Take no more requests. Connections close when what is in flight on them is answered."""
        self._closed = True
        if self._connecting is not None:
            self._connecting.cancel()
        for connection in self._connections:
            connection.retire()

    async def close(self) -> None:
        """Let what is in flight finish, then close."""
        self.retire()
        if self._connecting is not None:
            await asyncio.wait([self._connecting])
        for connection in list(self._connections):
            await connection.closed.wait()

    def _usable(self) -> list[Http2Connection]:
        return [connection for connection in self._connections if connection.usable]

    def _best(self) -> Http2Connection | None:
        def order(connection: Http2Connection) -> tuple[bool, bool, int]:
            return self._avoided(connection), connection.full, connection.load

        return min(self._usable(), key=order, default=None)

    def _avoided(self, connection: Http2Connection) -> bool:
        return asyncio.get_running_loop().time() - connection.failed_at_s < self._policy.avoid_s

    def _changed(self, connection: Http2Connection) -> None:
        """Adjust to a connection that has become usable or unusable: close one too many, or open the next one."""
        usable = self._usable()
        if len(usable) > self._max_connections:
            min(usable, key=lambda usable_connection: usable_connection.load).retire()
        if connection.usable:
            return
        lived_s = asyncio.get_running_loop().time() - connection.opened_at_s
        if lived_s < self._policy.min_life_s:
            self._failed_connects = max(self._failed_connects, 1)
        elif not (self._closed or usable or connection.idle):
            self._connect()

    async def _connected(self) -> None:
        """Wait until a connection is open. Raises UnsentError, also if the pool is retired meanwhile.

        A push that waits here must fail then, and not be cancelled with the task that connects.
        """
        connecting = self._connect()
        await asyncio.wait([connecting])  # if this waiting is cancelled, the task goes on for others
        if connecting.cancelled():
            raise UnsentError("closed")
        connecting.result()

    def _connect(self) -> asyncio.Task[None]:
        """Open a connection, unless one is being opened already."""
        if self._connecting is None or self._connecting.done():
            # Without a context of its own, the task would copy that of the push, and the webhook id of that push would
            # be in every log line of the connection.
            self._connecting = asyncio.create_task(self._open(), context=Context())
            self._connecting.add_done_callback(retrieve_error)  # it is logged already
        return self._connecting

    async def _open(self) -> None:
        if self._closed:
            raise UnsentError("closed")
        if self._failed_connects:
            await asyncio.sleep(self._pause_s())
        try:
            async with asyncio.timeout(self._policy.connect_timeout_s):
                connection = await self._establish()
        except (OSError, UnicodeError, UnsentError) as error:  # gaierror is an OSError, but not for an impossible name
            self._failed_connects += 1
            self._log.failed(self.host, str(error) or type(error).__name__)
            raise UnsentError(f"cannot connect: {type(error).__name__}{openssl_words(error)}") from error
        self._failed_connects = 0
        self._log.opened(self.host)
        self._connections = [known for known in self._connections if not known.closed.is_set()] + [connection]
        self._changed(connection)

    def _pause_s(self) -> Seconds:
        without_jitter = (1.0, 1.0)
        policy = self._policy
        return pause_s(self._failed_connects - 1, policy.first_pause_s, policy.longest_pause_s, without_jitter)

    async def _establish(self) -> Http2Connection:
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: Http2Connection(self._changed, self._policy, self._log),
            sock=await self._open_socket(),
            server_hostname=self.host,
            ssl=self._tls(),
            ssl_handshake_timeout=self._policy.connect_timeout_s,
            ssl_shutdown_timeout=SHUTDOWN_TIMEOUT_S,
        )
        try:
            await connection.ready
        except BaseException:
            connection.abort("no HTTP/2 settings")
            raise
        return connection

    async def _open_socket(self) -> socket.socket:
        if self._proxy:
            return await open_tunnel(self._proxy, self.host, self.port)
        # The name is resolved again for each connection, as Apple asks.
        addresses = await asyncio.get_running_loop().getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        return await start_connection(
            addresses, happy_eyeballs_delay=self._policy.happy_eyeballs_s, socket_factory=self._make_socket
        )
