"""The worker's way to Redis: asynchronous, with short timeouts, and nothing that is sent twice behind anybody's back.

It is redis.asyncio with the defaults turned off that hurt here: redis-py 8 repeats every command up to ten times, so a
lost answer to a pop or a push runs it twice, and a hung server holds the caller for a minute. A hand-written pipelining
client needs 0.005 ms of CPU for a script call where redis.asyncio needs 0.07 to 0.09 ms; but RQ's bookkeeping is three
calls for a job, 0.25 ms of the 0.6 ms it may cost, so TLS, Sentinel and cancellation stay the library's business.
"""

import hashlib
from collections.abc import Sequence
from functools import cache
from typing import Any, Self

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError

from worker import scripts

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
        """Prepare up to `connections` connections to redis://, rediss:// (TLS) or unix://, with user, password and db.

        `timeout_s` bounds each of: waiting for a free connection, connecting, and waiting for an answer. A blocking
        command wants a Store of its own, whose `timeout_s` is longer than the command blocks.
        """
        return cls(
            BlockingConnectionPool.from_url(
                url,
                max_connections=connections,
                timeout=timeout_s,
                socket_timeout=timeout_s,
                socket_connect_timeout=timeout_s,
                retry=Retry(NoBackoff(), 0),
                protocol=2,
            )
        )

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


@cache
def _sha1(name: str) -> str:
    return hashlib.sha1(scripts.source(name).encode(), usedforsecurity=False).hexdigest()
