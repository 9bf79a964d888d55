"""One server of Redis, for event loops: short time-outs, and no command is repeated by itself.

Some of redis-py's defaults are turned off: redis-py would repeat every command up to ten times, so a pop whose answer
was lost would run twice. It would also wait a minute for a server that hangs. redis-py still opens the connection, with
TLS and Sentinel. All callers share that connection (bellhop/store/shared_connection.py).
"""

import asyncio
import contextlib
import time
from typing import Any, Self

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, RedisError

from bellhop.clock import Seconds
from bellhop.store import scripts
from bellhop.store.async_client import Store
from bellhop.store.homes import ALONE, Partition
from bellhop.store.redis_internals import new_connection
from bellhop.store.redis_url import PLAIN, RedisAddress
from bellhop.store.scripts import AnyCommand, Command, RawCommand
from bellhop.store.sentinel import DEMOTED, PrimaryDoubt, names_another
from bellhop.store.shared_connection import SharedConnection

BLOCKING = frozenset({"BLMOVE"})
"""Commands that block on an empty queue. A late empty reply is normal. A late reply with a job puts the server in
doubt: a server that hung may answer a request of long ago with a job."""


class SingleServer(Store):
    """A connection to one Redis; made without I/O, connected when first used, and again whenever it was lost.

    `Store` says what its members do.
    """

    partitions = ALONE
    """The only partition."""

    def __init__(self, pool: BlockingConnectionPool) -> None:
        self._sentinels = pool if isinstance(pool, _AsyncPrimaryPool) else None
        self._timeout_s: Seconds = pool.connection_kwargs["socket_timeout"]
        self._connection: SharedConnection | None = None
        self._opening, self._attempt = asyncio.Lock(), 0
        self._doubt = PrimaryDoubt()
        self.times_opened = 0
        """How often the connection was opened."""
        self.client = Redis.from_pool(pool)

    @classmethod
    def of(cls, address: RedisAddress, *, connections: int, timeout_s: Seconds) -> Self:
        """Prepare a connection to a server, or to Sentinel's primary. `client` opens up to `connections`."""
        options: dict[str, Any] = {
            **address.server,
            "max_connections": connections,
            "timeout": timeout_s,
            "socket_timeout": timeout_s,
            "socket_connect_timeout": timeout_s,
            "retry": Retry(NoBackoff(), 0),
            **PLAIN,
        }
        if not address.sentinels:
            kind: Any = address.connection_class(Connection, SSLConnection, UnixDomainSocketConnection)
            return cls(BlockingConnectionPool(connection_class=kind, **options))
        once = {**address.sentinel, "retry": Retry(NoBackoff(), 0)}
        manager = Sentinel(address.sentinels, sentinel_kwargs=once)  # type: ignore[no-untyped-call]
        return cls(_AsyncPrimaryPool(address.service, manager, ssl=address.tls, **options))

    def at(self, partition: Partition) -> Self:
        """Return this store: its keys are in the only partition."""
        return self

    def ask(self, command: Command, *behind: RawCommand) -> "list[asyncio.Future[Any]] | None":
        """Send a script, and commands after it, on the open connection, without a task.

        The result of each future is the answer, or a RedisError; the last is done last. None if no
        connection is open, or with Sentinels: then only `together` knows whether the answers count.
        """
        if self._sentinels is not None or self._connection is None or not self._connection.usable:
            return None
        return [self._connection.ask(part) for part in (scripts.by_digest(command), *behind)]

    async def together(self, *commands: AnyCommand, in_order: bool = True, raises: bool = True) -> list[Any]:
        """Run commands and scripts one after the other, in a single round trip; returns their answers.

        Raises the error of the first that failed; the others have run all the same. Unless it `raises`, the error of
        each command that failed is its answer.
        """
        if not commands:
            return []
        if self._sentinels is not None:
            await self._sentinels.look_up_primary()
        connection = self._usable() or await self._open()
        sent_at = Seconds(time.monotonic())
        futures = [
            connection.ask(scripts.by_digest(command) if isinstance(command, Command) else command)
            for command in commands
        ]
        answers = [await future for future in futures]
        for number, answer in enumerate(answers):
            if isinstance(answer, NoScriptError) and isinstance(command := commands[number], Command):
                # A new or restarted server. It has done nothing of this script.
                answers[number] = await connection.ask(scripts.by_source(command))
        if self._sentinels is not None:
            empty_wait = commands[0][0] in BLOCKING and not any(answers)
            if not empty_wait and self._doubt.note_answer(sent_at, Seconds(time.monotonic())):
                connection.in_doubt = True
            await self._confirm(connection, self._sentinels)
        if raises:
            for answer in answers:
                if isinstance(answer, RedisError):
                    raise answer
        return answers

    @property
    def connection(self) -> int | None:
        """The number of the open connection; None if none is open."""
        return self.times_opened if self._usable() else None

    def server_of_key(self, key: str) -> None:
        """Return None: this server has each key."""

    @property
    def behind_s(self) -> float:
        """How long the oldest command without an answer has waited, in seconds."""
        return self._connection.behind_s if self._connection else 0.0

    def new_connection(self) -> AbstractConnection:
        """Make a connection, not connected yet, for messages of channels."""
        return new_connection(self.client)

    async def load_scripts(self) -> None:
        """Load every script into this server."""
        await self.together(*(("SCRIPT", "LOAD", scripts.source(name)) for name in scripts.names()))

    async def close(self) -> None:
        """Close the connections."""
        if self._connection is not None:
            await self._connection.close()
        await self.client.aclose()

    async def _confirm(self, connection: SharedConnection, sentinels: "_AsyncPrimaryPool") -> None:
        """Raise ConnectionError if the server is in doubt and the Sentinels name another primary.

        When a server that hung continues, all of its answers are in doubt, also those to the latest commands.
        """
        if connection.in_doubt:
            async with self._opening:
                if connection.in_doubt and connection.usable and await sentinels.has_moved(connection.server):
                    await connection.close()
            if not connection.usable:
                raise RedisConnectionError(DEMOTED)
            connection.in_doubt = False

    def _usable(self) -> SharedConnection | None:
        connection = self._connection
        if connection is None or not connection.usable:
            return None
        demoted = self._sentinels is not None and self._sentinels.is_not_primary(connection.server)
        return None if demoted else connection

    async def _open(self) -> SharedConnection:
        attempt = self._attempt
        async with self._opening:
            if connection := self._usable():  # another caller opened it meanwhile
                return connection
            # Another caller has just tried. If each caller tried too, the last one would wait until all have tried.
            if self._attempt != attempt:
                raise RedisConnectionError("the connection could not be opened")
            self._attempt += 1
            opened = new_connection(self.client)  # raises TypeError if the URL has an unknown option
            if self._connection is not None:
                await self._connection.close()
            self._connection = SharedConnection(self._timeout_s)
            await self._connection.open(opened)
            self.times_opened += 1
            if self._sentinels is not None and self._doubt.is_in_doubt(Seconds(time.monotonic())):
                self._connection.in_doubt = True
            return self._connection


class _AsyncPrimaryPool(SentinelConnectionPool, BlockingConnectionPool):
    """Connections to the primary that Sentinel names. A caller waits while none is free."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[no-untyped-call]
        self._doubt = PrimaryDoubt()

    async def look_up_primary(self) -> None:
        """Look up the primary at the Sentinels, at most once in LOOKUP_S."""
        if self._doubt.lookup_is_due(Seconds(time.monotonic())):
            with contextlib.suppress(RedisError):
                await self.get_master_address()  # type: ignore[no-untyped-call]

    async def has_moved(self, server: tuple[str, int]) -> bool:
        """Ask every Sentinel whether another server is the primary."""
        sentinels = self.sentinel_manager.sentinels
        asking = (sentinel.sentinel_get_master_addr_by_name(self.service_name) for sentinel in sentinels)
        answers = await asyncio.gather(*asking, return_exceptions=True)
        return names_another([answer for answer in answers if not isinstance(answer, BaseException)], server)

    def is_not_primary(self, server: tuple[str, int]) -> bool:
        """Return whether the last look-up named another server as the primary."""
        return self.master_address not in (None, server)

    async def get_connection(self, *args: Any, **kwargs: Any) -> Any:
        await self.look_up_primary()
        return await super().get_connection(*args, **kwargs)  # type: ignore[no-untyped-call]

    async def release(self, connection: Any) -> None:
        if (connection.host, connection.port) != self.master_address:
            await connection.disconnect()
        await super().release(connection)

    async def aclose(self) -> None:
        await super().aclose()
        for sentinel in self.sentinel_manager.sentinels:
            await sentinel.aclose()
