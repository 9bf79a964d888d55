"""The worker's way to Redis: asynchronous, with short timeouts, and nothing that is sent twice behind anybody's back.

It is redis.asyncio with the defaults turned off that hurt here: redis-py 8 repeats every command up to ten times, so a
lost answer to a pop or a push runs it twice, and a hung server holds the caller for a minute. A hand-written pipelining
client needs 0.005 ms of CPU for a script call where redis.asyncio needs 0.07 to 0.09 ms; but RQ's bookkeeping is three
calls for a job, 0.25 ms of the 0.6 ms it may cost, so TLS, Sentinel and cancellation stay the library's business.
"""

import contextlib
import hashlib
import time
from collections.abc import Sequence
from functools import cache
from typing import Any, Self

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import Connection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, ReadOnlyError, RedisError

from worker import scripts
from worker.redis_clients import DEMOTED, LOOK_S, parse

Argument = str | bytes | int | float


class Store:
    """A few connections to Redis; made without I/O, connected when first used and again whenever one was lost.

    Every call makes one attempt and raises redis.exceptions.ConnectionError (refused, lost, out of connections),
    TimeoutError (no answer in time; not a ConnectionError) or ResponseError (Redis's own words). After the first two
    the command may or may not have taken effect: repeat only what is idempotent. A call may be cancelled at any time.
    """

    def __init__(self, pool: BlockingConnectionPool) -> None:
        self.client: Redis = Redis.from_pool(pool)
        """The redis-py client underneath, for what is no single command: pipelines and pub/sub."""

    @classmethod
    def from_url(cls, url: str, *, connections: int = 16, timeout_s: float = 2.0) -> Self:
        """Prepare up to `connections` connections; the URLs are those of `worker.redis_clients`.

        `timeout_s` bounds each of: waiting for a free connection, connecting, and waiting for an answer. A blocking
        command wants a Store of its own, whose `timeout_s` is longer than the command blocks.
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
        }
        if not address.sentinels:
            kind = UnixDomainSocketConnection if "path" in address.server else _Tls if address.tls else _Tcp
            return cls(BlockingConnectionPool(connection_class=kind, **options))
        once = {**address.sentinel, "retry": Retry(NoBackoff(), 0)}
        manager = Sentinel(address.sentinels, sentinel_kwargs=once)  # type: ignore[no-untyped-call]
        return cls(_PrimaryPool(address.service, manager, ssl=address.tls, **options))  # type: ignore[no-untyped-call]

    async def call(self, *command: Argument) -> Any:
        """Run one command; strings come back as bytes, hashes as dicts, the rest as redis-py shapes it."""
        return await self.client.execute_command(*command)  # type: ignore[no-untyped-call]

    async def script(self, name: str, keys: Sequence[str], args: Sequence[Argument]) -> Any:
        """Run lua/<name>.lua atomically; its answer comes back in bytes, integers, lists and None."""
        try:
            return await self.client.evalsha(_sha1(name), len(keys), *keys, *args)
        except NoScriptError:  # a new or restarted server: it has run nothing yet
            return await self.client.eval(scripts.source(name), len(keys), *keys, *args)

    async def close(self) -> None:
        """Close the connections."""
        await self.client.aclose()


class _Tcp(Connection):
    """A connection that is given up when its server stops being a primary; see `worker.redis_clients`."""

    async def read_response(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return await super().read_response(*args, **kwargs)
        except ReadOnlyError:
            await self.disconnect()
            raise RedisConnectionError(DEMOTED) from None


class _Tls(_Tcp, SSLConnection):
    pass


class _PrimaryPool(SentinelConnectionPool, BlockingConnectionPool):
    """Connections to the primary that Sentinel names; see `worker.redis_clients`. Whoever finds none free waits."""

    _look_at = 0.0

    async def get_connection(self, *args: Any, **kwargs: Any) -> Any:
        if time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + LOOK_S
            with contextlib.suppress(RedisError):
                await self.get_master_address()  # type: ignore[no-untyped-call]
        return await super().get_connection(*args, **kwargs)  # type: ignore[no-untyped-call]

    async def release(self, connection: Any) -> None:
        if (connection.host, connection.port) != self.master_address:
            await connection.disconnect()
        await super().release(connection)

    async def aclose(self) -> None:
        await super().aclose()
        for sentinel in self.sentinel_manager.sentinels:
            await sentinel.aclose()


@cache
def _sha1(name: str) -> str:
    return hashlib.sha1(scripts.source(name).encode(), usedforsecurity=False).hexdigest()
