"""Helper of the checks that read with the blocking client, as the API and the console do."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from redis import Redis
from redis.exceptions import RedisError

from bellhop.clock import Seconds
from bellhop.settings import Settings
from bellhop.store.blocking_client import blocking

TIMEOUT_S = Seconds(2.0)
"""For connecting, and for each answer: one node of a cluster may give none."""
Answer = TypeVar("Answer")


async def read_redis(settings: Settings, read: Callable[[Redis], Answer]) -> Answer | None:
    """Return what `read` returns. If Redis does not answer, return None: the check of Redis has reported that."""
    try:
        return await asyncio.to_thread(_read, settings.redis_url, read)
    except RedisError:
        return None


def _read(redis_url: str, read: Callable[[Redis], Answer]) -> Answer:
    # The check of Redis has compared the number of partitions. The node that has the stored one may be away.
    with blocking(redis_url, timeout_s=TIMEOUT_S, any_count=True) as redis:
        return read(redis)
