"""Redis away: wait, and ask again."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

RETRY_S = (0.05, 1.0)
"""First and longest pause before Redis is asked again."""

T = TypeVar("T")


async def until_redis_answers(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask, and ask again while Redis is away. `ask` must be harmless to repeat."""
    pause, longest = RETRY_S
    while True:
        try:
            return await ask()
        except (RedisConnectionError, RedisTimeoutError):
            await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - spreads load, hides nothing
            pause = min(pause * 2, longest)
