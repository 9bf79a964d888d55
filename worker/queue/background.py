"""Tasks beside the jobs: restarted when they fail, cancelled at the end."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import structlog
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from bellhop.clock import Seconds
from bellhop.queue.rq_job import reason_of

log = structlog.get_logger()

RESTART_PAUSE_S = 1.0
CANCEL_AGAIN_S = 0.1


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


async def cancel_all(tasks: Sequence[asyncio.Task[None]], within_s: Seconds) -> None:
    """Cancel tasks until they have ended, for at most `within_s`.

    One cancellation is not always enough: redis-py, for example, may take it for a failure of its own, and go on.
    """
    give_up = time.monotonic() + within_s
    while pending := [task for task in tasks if not task.done()]:
        if time.monotonic() > give_up:
            log.error("tasks_left_behind", tasks=len(pending))
            return
        for task in pending:
            task.cancel()
        await asyncio.wait(pending, timeout=CANCEL_AGAIN_S)


def _name(run: Callable[[], Awaitable[None]]) -> str:
    function = run.func if isinstance(run, partial) else run
    return getattr(function, "__qualname__", "?")
