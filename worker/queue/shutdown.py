"""How a worker ends: its jobs get a grace, what is left goes back to the queue, and all tasks are cancelled."""

import asyncio
import time
from collections.abc import Sequence
from itertools import chain

import structlog

from bellhop.clock import Seconds
from worker.queue.running_jobs import RunningJobs

log = structlog.get_logger()

CANCEL_AGAIN_S = 0.1


async def drain(
    parts: Sequence[RunningJobs], second_signal: asyncio.Event, *, worker: str, grace_s: Seconds, wind_up_s: Seconds
) -> None:
    """Let the running jobs end within `grace_s`, or until the second signal. Then hand the others back."""
    tasks = tasks_of(parts)
    if not tasks:
        return
    log.info("draining", worker=worker, jobs=len(tasks), grace_s=grace_s)
    all_ended = asyncio.ensure_future(asyncio.wait(tasks))
    hurried = asyncio.create_task(second_signal.wait())
    await asyncio.wait([all_ended, hurried], timeout=grace_s, return_when=asyncio.FIRST_COMPLETED)
    if not all_ended.done():
        log.warning("handing_back", worker=worker, jobs=len(tasks_of(parts)))
        for jobs in parts:
            jobs.hand_back()
        await asyncio.wait([all_ended], timeout=wind_up_s)
    for task in (all_ended, hurried):
        task.cancel()


def tasks_of(parts: Sequence[RunningJobs]) -> list[asyncio.Task[None]]:
    """Return the tasks of all running jobs."""
    return list(chain.from_iterable(jobs.tasks for jobs in parts))


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
