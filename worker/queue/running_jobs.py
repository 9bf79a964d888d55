"""The jobs that one worker has in flight: begun, run, interrupted and ended, each exactly once in this process."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

import structlog

from bellhop.queue.rq_job import JobError, PermanentError, read_call, reason_of
from bellhop.store.retry import until_redis_answers
from bellhop.store.scripts import Command
from worker.queue.concurrency_limit import ConcurrencyLimit
from worker.queue.job_store import JobStore, StartedJob

log = structlog.get_logger()


Handler = Callable[[dict[str, Any]], Awaitable[Sequence[Command] | None]]
"""Does a job with this payload. It returns what must still be written, together with the mark that the job is finished.

When it fails because Redis is away, or when its worker dies, it is run again from the start.
"""

MAX_LOST_WORKERS = 3
"""A job that this many workers died with is the likely reason for it, and fails."""


class InterruptReason(Enum):
    """Why a job is interrupted."""

    STOPPED = auto()
    """By rq's stop-job command."""
    ENDING = auto()
    """This worker ends: the job goes back."""
    GIVEN_AWAY = auto()
    """This worker seemed dead for a while, and the job is somebody else's now."""


@dataclass(slots=True)
class RunningJob:
    """A job in memory."""

    task: asyncio.Task[None]
    queue: str
    in_handler: bool = False
    """Where a cancellation does no harm; not in the bookkeeping before and after it."""
    why: InterruptReason | None = None


class RunningJobs:
    """The jobs in memory, by id, and the slots that bound how many of each queue there may be.

    An id is bytes: anything may be pushed onto a queue.
    """

    def __init__(self, ledger: JobStore, concurrency: Mapping[str, int], find: Callable[[str], Handler | None]) -> None:
        self.ledger, self.find = ledger, find
        self.slots = {queue: ConcurrencyLimit(limit) for queue, limit in concurrency.items()}
        self.jobs: dict[bytes, RunningJob] = {}
        self.adopted: dict[str, set[bytes]] = {queue: set() for queue in concurrency}
        """Of each queue, what was adopted since its last pop began, whose answer may yet come and name it again."""
        self.ending = False

    @property
    def tasks(self) -> list[asyncio.Task[None]]:
        """What is still to end."""
        return [running.task for running in self.jobs.values()]

    def begin(self, queue: str, job_id: bytes, started: StartedJob | None = None) -> None:
        """Run a job that is on the worker's in-flight list, in a slot that was acquired for it; `started` if it is."""
        if job_id in self.jobs:  # queued twice, its own retry, or adopted: `adopt` finds it when this run is over
            self.slots[queue].release()
            return
        task = asyncio.create_task(self._run(queue, job_id, started))
        self.jobs[job_id] = RunningJob(task, queue)
        task.add_done_callback(lambda task: self._ended(queue, job_id, task))

    def adopt(self, queue: str, listed: Sequence[bytes]) -> None:
        """Run what is on the in-flight list but not in memory: a pop put it there, and its answer was lost, or is late.

        In the order of the list, and beyond the limit if need be: pops take every slot that is free, so this would wait
        behind all that was queued later.
        """
        for job_id in listed:
            if job_id not in self.jobs:
                self.adopted[queue].add(job_id)
                self.slots[queue].take()
                self.begin(queue, job_id)

    def interrupt(self, job_id: bytes, why: InterruptReason) -> None:
        """Cancel a job if it is in its handler; anywhere else it is about to end by itself."""
        running = self.jobs.get(job_id)
        if running is not None and running.in_handler and running.why is None:
            running.why = why
            running.task.cancel()

    def hand_back(self) -> None:
        """Interrupt every job, and begin none of those that are being begun."""
        self.ending = True
        for job_id in reversed(list(self.jobs)):  # each goes to the front of its queue: the oldest ends up first
            self.interrupt(job_id, InterruptReason.ENDING)

    async def _run(self, queue: str, job_id: bytes, started: StartedJob | None) -> None:
        if started is None and (started := await self.ledger.start(queue, job_id)) is None:
            return
        running = self.jobs[job_id]
        try:
            last = await self._call(started, running)
        except asyncio.CancelledError:
            if running.why in (InterruptReason.ENDING, InterruptReason.GIVEN_AWAY):
                await self.ledger.hand_back(queue, started)
            elif running.why is InterruptReason.STOPPED:
                await self.ledger.fail(queue, started, "stopped by the stop-job command", "stopped")
            else:  # the handler cancelled itself
                await self._fail(queue, started, JobError("the job was cancelled from within"))
        except Exception as error:
            await self._fail(queue, started, error)
        else:
            if not await self.ledger.finish(queue, started, last):
                log.warning("job_was_given_away", job=text(job_id), queue=queue)

    async def _call(self, started: StartedJob, running: RunningJob) -> Sequence[Command]:
        if started.lost_workers >= MAX_LOST_WORKERS:
            raise PermanentError(f"{started.lost_workers} workers died while they ran this job")
        name, payload = read_call(started.data)
        if (handler := self.find(name)) is None:
            raise PermanentError(f"there is no job of the name {name[:100]!r}")
        if self.ending:
            running.why = InterruptReason.ENDING
            raise asyncio.CancelledError
        running.in_handler = True
        try:
            async with asyncio.timeout(started.timeout_s) as limit:
                return await until_redis_answers(lambda: handler(payload)) or ()
        except TimeoutError:
            if limit.expired():
                raise JobError(f"the job took longer than {started.timeout_s:.0f} s") from None
            raise
        finally:
            running.in_handler = False

    async def _fail(self, queue: str, job: StartedJob, error: Exception) -> None:
        reason = reason_of(error)
        verdict = await self.ledger.fail(queue, job, reason, "failed" if isinstance(error, PermanentError) else "retry")
        if verdict in ("scheduled", "queued"):
            log.warning("job_retried", job=text(job.id), queue=queue, reason=reason)
        else:
            log.error("job_failed", job=text(job.id), queue=queue, reason=reason, status=verdict)

    def _ended(self, queue: str, job_id: bytes, task: asyncio.Task[None]) -> None:
        del self.jobs[job_id]
        self.slots[queue].release()
        if not task.cancelled() and (error := task.exception()):
            log.error("bookkeeping_failed", job=text(job_id), queue=queue, reason=reason_of(error))


def text(job_id: bytes) -> str:
    """Make a job id fit for a log line."""
    return job_id.decode(errors="replace")[:100]
