"""Repeat a call to Redis while Redis is away or refuses to write."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from bellhop.backoff import pause_s
from bellhop.store.redis_internals import code_of

RETRY_S = (0.05, 1.0)
"""First and longest pause before the next try, in seconds."""
TEMPORARY = frozenset({"OOM", "READONLY", "MISCONF", "NOREPLICAS", "MASTERDOWN", "LOADING", "CLUSTERDOWN", "BUSY"})
"""The codes of errors that are not our mistake: Redis or its disk is full, Redis is loading or runs a long script, or
the primary or the replicas are gone."""

T = TypeVar("T")


async def until_redis_answers(request: Callable[[], Awaitable[T]]) -> T:
    """Call `request` until Redis answers. It may run several times, so it must be safe to repeat."""
    attempt = 0
    while True:
        try:
            return await request()
        except RedisError as error:
            if not is_away(error):
                raise
            await asyncio.sleep(pause_s(attempt, *RETRY_S))
            attempt += 1


def is_away(error: RedisError) -> bool:
    """Return whether an error is an outage. An outage ends by itself, or an operator ends it; it is not our mistake."""
    if isinstance(error, ResponseError):
        return code_of(error) in TEMPORARY
    return isinstance(error, (RedisConnectionError, RedisTimeoutError))
