"""Keeps the tasks beside the jobs running."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

import structlog
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from bellhop.queue.rq_job import reason_of

log = structlog.get_logger()

RESTART_PAUSE_S = 1.0


async def keep_running(run: Callable[[], Awaitable[None]]) -> None:
    """Run a coroutine function until it returns; run it again after it raised."""
    while True:
        try:
            return await run()
        except (RedisConnectionError, RedisTimeoutError):
            pass  # the lease logs that Redis is away
        except Exception as error:
            log.error("background_failed", background=_name(run), reason=reason_of(error))
        await asyncio.sleep(RESTART_PAUSE_S)


def _name(run: Callable[[], Awaitable[None]]) -> str:
    function = run.func if isinstance(run, partial) else run
    return getattr(function, "__qualname__", "?")
