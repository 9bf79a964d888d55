"""`bellhop check`: workers of other applications that take our jobs, and their jobs in our queues."""

from collections.abc import AsyncIterator, Iterator

from bellhop.cli.check.finding import Finding, Level
from bellhop.cli.check.reading import read_redis
from bellhop.queue.foreign import ForeignWork, read_foreign_work
from bellhop.settings import Settings


async def findings(settings: Settings) -> AsyncIterator[Finding]:
    """Check that our queues are ours alone, as Redis shows them."""
    work = await read_redis(settings, read_foreign_work)
    if work is None:
        return
    for finding in _findings(work):
        yield finding


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
