"""Waiting for a Redis that is away, or that refuses to write, and trying again."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from bellhop.backoff import pause_s

RETRY_S = (0.05, 1.0)
"""First and longest pause before the next try, in seconds."""
PASSING = frozenset({"OOM", "READONLY", "MISCONF", "NOREPLICAS", "MASTERDOWN", "LOADING", "CLUSTERDOWN", "BUSY"})
"""The errors of a Redis that is full, has a full disk, has just lost its primary or its replicas, or runs a long
script."""

T = TypeVar("T")


async def until_redis_answers(ask: Callable[[], Awaitable[T]]) -> T:
    """Call `ask` until Redis answers. `ask` may run several times, so it must be safe to repeat."""
    attempt = 0
    while True:
        try:
            return await ask()
        except RedisError as error:
            if not is_away(error):
                raise
            await asyncio.sleep(pause_s(attempt, *RETRY_S))
            attempt += 1


def is_away(error: RedisError) -> bool:
    """Whether an error is an outage, which ends by itself or by an operator's work, and not a mistake of ours."""
    if isinstance(error, ResponseError):
        return (error.status_code or str(error).partition(" ")[0]) in PASSING
    return isinstance(error, (RedisConnectionError, RedisTimeoutError))
