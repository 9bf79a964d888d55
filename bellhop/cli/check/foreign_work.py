"""`bellhop check`: workers of other applications that take our jobs, and their jobs in our queues."""

import asyncio
from collections.abc import AsyncIterator, Iterator

from redis.exceptions import RedisError

from bellhop.cli.check.finding import Finding, Level
from bellhop.clock import Seconds
from bellhop.queue.foreign import ForeignWork, read_foreign_work
from bellhop.settings import Settings
from bellhop.store.blocking_client import blocking

TIMEOUT_S = Seconds(10.0)


async def findings(settings: Settings) -> AsyncIterator[Finding]:
    """Check that our queues are ours alone, as Redis shows them."""
    try:
        work = await asyncio.to_thread(_read, settings.redis_url)
    except RedisError:
        return  # reported already
    for finding in _findings(work):
        yield finding


def _read(redis_url: str) -> ForeignWork:
    with blocking(redis_url, timeout_s=TIMEOUT_S) as redis:
        return read_foreign_work(redis)


def _findings(work: ForeignWork) -> Iterator[Finding]:
    for queue, worker in work.workers:
        sentence = f"{worker} is not a worker of Bellhop and cannot run its jobs: stop it, or let it serve other queues"
        yield Finding(Level.PROBLEM, f"queue {queue}", sentence)
    for (queue, worker), jobs in work.taken.items():
        taken = f"{worker}, which is not a worker of Bellhop, took {jobs} of its jobs in the last hour"
        yield Finding(Level.WARNING, f"queue {queue}", f"{taken}; they were queued again")
    for queue, jobs in work.jobs.items():
        sentence = f"{jobs} failed jobs in it are not Bellhop's: let the other application use a queue of its own"
        yield Finding(Level.WARNING, f"queue {queue}", sentence)
