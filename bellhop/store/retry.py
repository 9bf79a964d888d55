"""Redis away, or up but refusing to write: wait, and ask again."""

import asyncio
import itertools
import re
from collections.abc import Awaitable, Callable
from typing import TypeVar

from redis._parsers import BaseParser
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from bellhop.backoff import pause_s

RETRY_S = (0.05, 1.0)
"""First and longest pause before Redis is asked again."""
PASSING = frozenset({"OOM", "READONLY", "MISCONF", "NOREPLICAS", "MASTERDOWN", "LOADING", "CLUSTERDOWN", "BUSY"})
"""What Redis says while it is full, has a full disk, has just lost its primary or its replicas, or runs a long script
of somebody's."""
ENDED_A_SCRIPT = re.compile(r"^(?:ERR )?Error running script .*: -([A-Z]+ .*)$", re.DOTALL)
"""How Redis before 7.0 passes on what a command within a script was told; later ones say just that."""

T = TypeVar("T")


async def until_redis_answers(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask, and ask again while Redis is away. `ask` must be harmless to repeat."""
    for attempt in itertools.count():
        try:
            return await ask()
        except RedisError as error:
            if not is_away(error):
                raise
            await asyncio.sleep(pause_s(attempt, *RETRY_S))
    raise AssertionError  # the loop has no end


def is_away(error: RedisError) -> bool:
    """Tell an outage, that ends by itself or by an operator's hand, from a mistake of ours."""
    if isinstance(error, ResponseError):
        return (error.status_code or str(error).partition(" ")[0]) in PASSING
    return isinstance(error, (RedisConnectionError, RedisTimeoutError))


def parse_error(text: str) -> Exception:
    """Read an error that Redis answers with, also one that ended a script."""
    found = ENDED_A_SCRIPT.match(text)
    error: Exception = BaseParser.parse_error(found[1] if found else text)  # type: ignore[no-untyped-call]
    return error
