"""The worker's way to Redis: asynchronous, with short timeouts, and nothing that is sent twice behind anybody's back.

redis-py's defaults are turned off that hurt here: it repeats every command up to ten times, so a lost answer to a pop
or a push runs it twice, and a hung server holds the caller for a minute. Connecting stays its business, with TLS and
Sentinel; the commands go through one connection that all callers share (bellhop/store/shared_connection.py).
"""

import asyncio
import contextlib
import time
from collections.abc import Sequence
from typing import Any, Self

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import Connection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, RedisError

from bellhop.store import scripts
from bellhop.store.blocking_client import DEMOTED, DOUBT_S, LATE_S, LOOK_S, names_another, parse
from bellhop.store.scripts import Argument, Command
from bellhop.store.shared_connection import SharedConnection

BLOCKING = frozenset({"BLMOVE"})
"""Commands that are meant to take long when there is nothing. What they bring late is doubted like anything else: a
server that hung hands out what it was sent in vain."""


class Store:
    """A connection to Redis; made without I/O, connected when first used and again whenever it was lost.

    Every call makes one attempt and raises redis.exceptions.ConnectionError (refused, lost), TimeoutError (no answer in
    time; not a ConnectionError) or ResponseError (Redis's own words). After the first two the command may or may not
    have taken effect: repeat only what is idempotent. A call may be cancelled at any time.
    """

    def __init__(self, pool: BlockingConnectionPool) -> None:
        self._sentinels = pool if isinstance(pool, _PrimaryPool) else None
        self._timeout_s: float = pool.connection_kwargs["socket_timeout"]
        self._pipe: SharedConnection | None = None
        self._opening = asyncio.Lock()
        self._doubt_until = 0.0
        self.client: Redis = Redis.from_pool(pool)
        """redis-py's client underneath, for pub/sub and INFO. It does not notice when its server becomes a replica."""

    @classmethod
    def from_url(cls, url: str, *, connections: int = 16, timeout_s: float = 2.0) -> Self:
        """Prepare a connection, and up to `connections` for `client`; the URLs are those of `redis_clients`.

        `timeout_s` bounds connecting, and waiting for an answer. A blocking command holds up those behind it: it wants
        a Store of its own, whose `timeout_s` is longer than the command blocks.
        """
        address = parse(url)
        options: dict[str, Any] = {
            **address.server,
            "max_connections": connections,
            "timeout": timeout_s,
            "socket_timeout": timeout_s,
            "socket_connect_timeout": timeout_s,
            "retry": Retry(NoBackoff(), 0),
            "protocol": 2,
            "driver_info": None,
        }
        if not address.sentinels:
            over_tcp = SSLConnection if address.tls else Connection
            kind = UnixDomainSocketConnection if "path" in address.server else over_tcp
            return cls(BlockingConnectionPool(connection_class=kind, **options))
        once = {**address.sentinel, "retry": Retry(NoBackoff(), 0)}
        manager = Sentinel(address.sentinels, sentinel_kwargs=once)  # type: ignore[no-untyped-call]
        return cls(_PrimaryPool(address.service, manager, ssl=address.tls, **options))  # type: ignore[no-untyped-call]

    async def call(self, *command: Argument) -> Any:
        """Run one command; strings come back as bytes, HGETALL's pairs as a dict, the rest as Redis puts it."""
        (answer,) = await self.together(command)
        return dict(zip(answer[::2], answer[1::2], strict=True)) if command[0] == "HGETALL" else answer

    async def script(self, name: str, keys: Sequence[str], args: Sequence[Argument]) -> Any:
        """Run lua/<name>.lua atomically; its answer comes back in bytes, integers, lists and None."""
        (answer,) = await self.together(Command(name, keys, args))
        return answer

    async def together(self, *commands: Command | tuple[Argument, ...]) -> list[Any]:
        """Run commands and scripts one after the other, in a single round trip; returns their answers.

        Raises for the first that failed; the others have run all the same.
        """
        if self._sentinels is not None:
            await self._sentinels.look()
        pipe = self._open_pipe() or await self._open()
        asked_at = time.monotonic()
        asked = [pipe.ask(scripts.by_digest(one) if isinstance(one, Command) else one) for one in commands]
        answers = [await answer for answer in asked]
        for number, one in enumerate(commands):
            if isinstance(one, Command) and isinstance(answers[number], NoScriptError):
                # A new or restarted server: it has run nothing of this script.
                answers[number] = await pipe.ask(scripts.by_source(one))
        if self._sentinels is not None:
            waited = commands[0][0] in BLOCKING and not any(answers)
            if time.monotonic() - asked_at > LATE_S and not waited:
                pipe.in_doubt, self._doubt_until = True, time.monotonic() + DOUBT_S
            await self._believe(pipe, self._sentinels)
        for answer in answers:
            if isinstance(answer, RedisError):
                raise answer
        return answers

    async def load_scripts(self) -> None:
        """Have Redis know every script, so that no first ring waits while it reads them."""
        await asyncio.gather(*(self.call("SCRIPT", "LOAD", scripts.source(name)) for name in scripts.names()))

    async def close(self) -> None:
        """Close the connections."""
        if self._pipe is not None:
            await self._pipe.close()
        await self.client.aclose()

    async def _believe(self, pipe: SharedConnection, sentinels: "_PrimaryPool") -> None:
        # All that a server answers when it wakes up is in doubt, also what it was asked just now.
        if pipe.in_doubt:
            async with self._opening:
                if pipe.in_doubt and pipe.usable and await sentinels.has_moved(pipe.server):
                    await pipe.close()
            if not pipe.usable:
                raise RedisConnectionError(DEMOTED)
            pipe.in_doubt = False

    def _open_pipe(self) -> SharedConnection | None:
        pipe = self._pipe
        if pipe is None or not pipe.usable or (self._sentinels is not None and self._sentinels.has_left(pipe.server)):
            return None
        return pipe

    async def _open(self) -> SharedConnection:
        async with self._opening:
            if pipe := self._open_pipe():  # somebody else was quicker
                return pipe
            if self._pipe is not None:
                await self._pipe.close()
            self._pipe = SharedConnection(self._timeout_s)
            await self._pipe.open(self.client.connection_pool.make_connection())  # type: ignore[no-untyped-call]
            if self._sentinels is not None and time.monotonic() < self._doubt_until:
                self._pipe.in_doubt = True
            return self._pipe


class _PrimaryPool(SentinelConnectionPool, BlockingConnectionPool):
    """Connections to the primary that Sentinel names; see `redis_clients`. Whoever finds none free waits."""

    _look_at = 0.0

    async def look(self) -> None:
        """Ask for the primary, unless that was done a moment ago."""
        if time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + LOOK_S
            with contextlib.suppress(RedisError):
                await self.get_master_address()  # type: ignore[no-untyped-call]

    async def has_moved(self, server: tuple[str, int]) -> bool:
        """Ask every Sentinel whether another server is the primary."""
        sentinels = self.sentinel_manager.sentinels
        asking = (sentinel.sentinel_get_master_addr_by_name(self.service_name) for sentinel in sentinels)
        answers = await asyncio.gather(*asking, return_exceptions=True)
        return names_another([one for one in answers if not isinstance(one, BaseException)], server)

    def has_left(self, server: tuple[str, int]) -> bool:
        """Tell whether another server is the primary now."""
        return self.master_address not in (None, server)

    async def get_connection(self, *args: Any, **kwargs: Any) -> Any:
        await self.look()
        return await super().get_connection(*args, **kwargs)  # type: ignore[no-untyped-call]

    async def release(self, connection: Any) -> None:
        if (connection.host, connection.port) != self.master_address:
            await connection.disconnect()
        await super().release(connection)

    async def aclose(self) -> None:
        await super().aclose()
        for sentinel in self.sentinel_manager.sentinels:
            await sentinel.aclose()
