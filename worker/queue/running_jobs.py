"""The jobs that one worker runs in a partition: each begins, runs and ends exactly once in this process."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Literal

import structlog

from bellhop.clock import Seconds
from bellhop.queue.names import FAILURE_TTL_S, FOREIGN_FAILURE_TTL_S
from bellhop.queue.rq_job import ForeignJobError, JobError, PermanentError, read_job_data, reason_of
from bellhop.store.scripts import Command
from worker.queue.concurrency_limit import ConcurrencyLimit, limit_of_job
from worker.queue.isolation import Isolation, alone_s
from worker.queue.job_store import JobStore, StartedJob

log = structlog.get_logger()


Handler = Callable[[dict[str, Any]], Awaitable[Sequence[Command] | None]]
"""Runs a job with this payload. It returns the writes that are still to be done, in one packet with the job's end.

It waits by itself while Redis is away (`until_redis_answers`), since what it raises fails the job. If its worker dies,
it runs again from the start.
"""

ran_before: ContextVar[bool] = ContextVar("ran_before", default=False)
"""In a handler: whether the job may have run before. That run may have done any part of the job."""
MAX_SUSPICIONS = 5
"""A job that is suspected of the deaths of this many workers fails. If it has a deadline, it fails only after that."""
MAX_LOST_WORKERS = 10
"""A job that this many workers ran when they died fails in the same way, even if it is suspected of fewer deaths."""
LONG_S = Seconds(0.5)
"""A run that takes longer than this is shown in RQ's records."""
MAX_REFUSED = 1000
"""How many pairs of a queue and a reason a worker remembers, to log each of them once."""


class InterruptReason(Enum):
    """Why a running job is interrupted."""

    STOPPED = auto()
    """RQ's stop-job command: the job ends as stopped."""
    SHUTDOWN = auto()
    """This worker ends: the job goes back to its queue."""
    TOOK_TOO_LONG = auto()
    """The job's timeout is over: it fails."""
    TAKEN_OVER = auto()
    """This worker had no lease for a while, and another worker has the job now."""


@dataclass(slots=True)
class RunningJob:
    """A job in memory."""

    queue: str
    task: asyncio.Task[None]
    tenant: str = ""
    """Whose job it is, if tenants take turns."""
    started: StartedJob | None = None
    """The job, since its handler began."""
    in_handler: bool = False
    """Whether its handler runs. Only then may the job be cancelled, not while its begin or end is recorded."""
    since_s: float = 0.0
    """When its handler began, in seconds of the monotonic clock."""
    shown: bool = False
    """Whether RQ's records of this run were written, or are being written."""
    interrupted: InterruptReason | None = None


class RunningJobs:
    """The jobs in memory of one partition, by id.

    An id is bytes, because anything may be pushed onto a queue. The worker has one limit for each queue, and one
    isolation: all its partitions share them.
    """

    def __init__(
        self,
        job_store: JobStore,
        limits: Mapping[str, ConcurrencyLimit],
        isolation: Isolation,
        find_handler: Callable[[str], Handler | None],
    ) -> None:
        self._job_store, self._find_handler = job_store, find_handler
        self.limits, self.isolation = limits, isolation
        self.jobs: dict[bytes, RunningJob] = {}
        self.adopted: dict[str, set[bytes]] = {queue: set() for queue in limits}
        """By queue, the jobs that were adopted since the last take began: its answer may still come and name them."""
        self._shutting_down = False
        self._adopting = True
        self._refused: set[tuple[str, str]] = set()
        """Queues and reasons for which another application's job was logged."""

    @property
    def tasks(self) -> list[asyncio.Task[None]]:
        """The tasks of all running jobs."""
        return [running.task for running in self.jobs.values()]

    def start(self, queue: str, job_id: bytes, started: StartedJob | None = None) -> None:
        """Run a job that is on the worker's in-flight list and counted by its queue's limit.

        `started`: what the take answered. Without it, and if it is a suspect, the job begins here.
        """
        if job_id in self.jobs:
            # Queued twice, queued again by its own retry, or adopted already. A job must not run twice at the same
            # time. The id stays on the list, so `adopt` finds it when this run has ended.
            self.limits[queue].release()
            return
        if started is not None and not started.begun:
            self.isolation.announce(job_id)
        task = asyncio.create_task(self._run(queue, job_id, started))
        tenant = started.tenant if started is not None else ""
        self.jobs[job_id] = RunningJob(queue, task, tenant)
        self.limits[queue].note_begin(tenant)
        task.add_done_callback(lambda task: self._remove(queue, job_id, task))

    def adopt(self, queue: str, job_ids: Sequence[bytes]) -> None:
        """Run the jobs of the in-flight list that are not in memory: the answer to taking them was lost, or is late.

        They run in the order of the list, and may exceed the limit: new jobs take every free place, so these would
        otherwise wait behind everything that was queued later.
        """
        for job_id in job_ids if self._adopting else ():
            if job_id not in self.jobs:
                self.adopted[queue].add(job_id)
                self.limits[queue].take()
                self.start(queue, job_id)

    def interrupt(self, job_id: bytes, reason: InterruptReason) -> None:
        """Cancel a job if it is in its handler. Otherwise it is just beginning or ending, and needs no cancelling."""
        running = self.jobs.get(job_id)
        if running is not None and running.in_handler and running.interrupted is None:
            running.interrupted = reason
            running.task.cancel()

    def end_overdue(self) -> None:
        """Interrupt the jobs whose timeout is over. It is minutes long, so a look from time to time is enough."""
        now_s = time.monotonic()
        for job_id, running in list(self.jobs.items()):
            timeout_s = running.started.timeout_s if running.started is not None else None
            if timeout_s is not None and now_s - running.since_s > timeout_s:
                self.interrupt(job_id, InterruptReason.TOOK_TOO_LONG)

    async def show_long_runs(self) -> None:
        """Let RQ's tools see the runs that take long. Most jobs end before anybody could look at them."""
        now_s = time.monotonic()
        runs: dict[str, list[tuple[StartedJob, Seconds]]] = {}
        for running in self.jobs.values():
            run_s = Seconds(now_s - running.since_s)
            if running.started is not None and run_s > LONG_S and not running.shown:
                running.shown = True
                runs.setdefault(running.queue, []).append((running.started, run_s))
        for queue, of_queue in runs.items():
            await self._job_store.show_runs(queue, of_queue)

    def stop_adopting(self) -> None:
        """Adopt no more jobs: this worker takes no new ones."""
        self._adopting = False

    def hand_back(self) -> None:
        """Interrupt every job. Jobs that are just beginning do not run."""
        self._shutting_down = True
        for job_id in reversed(list(self.jobs)):  # each goes to the front of its queue: the oldest ends up first
            self.interrupt(job_id, InterruptReason.SHUTDOWN)

    async def _run(self, queue: str, job_id: bytes, started: StartedJob | None) -> None:
        if started is None and (started := await self._job_store.begin_job(queue, job_id)) is None:
            return
        if not started.begun:
            await self._run_alone(queue, started)
        else:
            await self.isolation.wait_until_over()
            await self._run_begun(queue, started)

    async def _run_alone(self, queue: str, suspect: StartedJob) -> None:
        """Run a suspect when no other job has newly begun. No other begins until it ends, or has run for `alone_s`."""
        longest_s = alone_s(suspect.suspicions)
        timer = None
        try:
            await self.isolation.begin(suspect.id)
            if newly_begun := self.isolation.begun_within(longest_s):
                await asyncio.wait(newly_begun, timeout=longest_s)
            started = await self._job_store.begin_job(queue, suspect.id, alone=True)
            if started is not None:
                timer = asyncio.get_running_loop().call_later(longest_s, self.isolation.end, suspect.id)
                await self._run_begun(queue, started)
        finally:
            if timer is not None:
                timer.cancel()
            self.isolation.end(suspect.id)

    async def _run_begun(self, queue: str, started: StartedJob) -> None:
        running = self.jobs[started.id]
        limit_of_job.set(self.limits[queue])
        try:
            last_writes = await self._handle(started, running)
        except asyncio.CancelledError:
            await self._end_interrupted(queue, started, running.interrupted)
        except Exception as error:
            await self._fail(queue, started, error)
        else:
            if not await self._job_store.finish(queue, started, last_writes, shown=running.shown):
                log.warning("job_was_given_away", job=id_for_log(started.id), queue=queue)

    async def _handle(self, started: StartedJob, running: RunningJob) -> Sequence[Command]:
        if reason := _why_given_up(started):
            raise PermanentError(reason)
        name, payload = read_job_data(started.data)
        if (handler := self._find_handler(name)) is None:
            raise ForeignJobError(f"there is no job of the name {name[:100]!r}")
        if self._shutting_down:
            running.interrupted = InterruptReason.SHUTDOWN
            raise asyncio.CancelledError
        running.started, running.in_handler, running.since_s = started, True, time.monotonic()
        self.isolation.note_begin(running.task, running.since_s)
        ran_before.set(started.ran_before)
        try:
            return await handler(payload) or ()
        finally:
            running.in_handler = False
            self.isolation.note_end(running.task)

    async def _end_interrupted(self, queue: str, job: StartedJob, reason: InterruptReason | None) -> None:
        if reason is InterruptReason.STOPPED:
            await self._job_store.fail(queue, job, "stopped by the stop-job command", "stopped")
        elif reason is InterruptReason.TOOK_TOO_LONG:
            await self._fail(queue, job, JobError(f"the job took longer than {job.timeout_s:.0f} s"))
        elif reason is None:
            await self._fail(queue, job, JobError("the job was cancelled from within"))
        else:
            await self._job_store.hand_back(queue, job)

    async def _fail(self, queue: str, job: StartedJob, error: Exception) -> None:
        reason = reason_of(error)
        verdict: Literal["failed", "retry"] = "failed" if isinstance(error, PermanentError) else "retry"
        foreign = isinstance(error, ForeignJobError)
        keep_s = FOREIGN_FAILURE_TTL_S if foreign else FAILURE_TTL_S
        status = await self._job_store.fail(queue, job, reason, verdict, keep_s)
        if foreign and (queue, reason) not in self._refused and len(self._refused) < MAX_REFUSED:
            self._refused.add((queue, reason))
            log.error("foreign_job", job=id_for_log(job.id), queue=queue, reason=reason)
        if status in ("scheduled", "queued"):
            log.warning("job_retried", job=id_for_log(job.id), queue=queue, reason=reason)
        else:
            log.error("job_failed", job=id_for_log(job.id), queue=queue, reason=reason, status=status)

    def _remove(self, queue: str, job_id: bytes, task: asyncio.Task[None]) -> None:
        self.limits[queue].note_end(self.jobs.pop(job_id).tenant)
        self.limits[queue].release()
        if not task.cancelled() and (error := task.exception()):
            log.error("bookkeeping_failed", job=id_for_log(job_id), queue=queue, reason=reason_of(error))


def id_for_log(job_id: bytes) -> str:
    """Make a job id fit for a log line."""
    return job_id.decode(errors="replace")[:100]


def _why_given_up(job: StartedJob) -> str:
    """Return why a job must fail without being run; empty if it may run. A job that still has time may always run."""
    if job.late and job.suspicions >= MAX_SUSPICIONS:
        return f"{job.suspicions} workers died right after they began this job, or while they ran it alone"
    if job.late and job.lost_workers >= MAX_LOST_WORKERS:
        return f"{job.lost_workers} workers died while they ran this job"
    return ""
