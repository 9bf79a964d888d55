"""What one worker records about its jobs, in RQ's own data model: one Lua script for each step.

Every step except a take is repeated until Redis answers. So a job that has run never runs again because the record
of its end was lost. The scripts write RQ's own keys, so `rq info`, `rq requeue` and dashboards can read them. RQ itself
needs 20 round trips for the same.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import structlog
from redis.exceptions import RedisError, ResponseError

from bellhop.clock import Seconds
from bellhop.queue.names import FAILURE_TTL_S, RESULT_TTL_S
from bellhop.queue.rq_job import timeout_s
from bellhop.store import queue_scripts
from bellhop.store.async_client import Store
from bellhop.store.keys import inflight_key, rq_queue_key, turns_key
from bellhop.store.redis_clock import RedisClock
from bellhop.store.retry import until_redis_answers
from bellhop.store.scripts import Command

log = structlog.get_logger()

REFUSED_PAUSE_S = 1.0
"""Pause before a step that Redis refused is repeated."""

SHOWN_AT_ONCE = 100
"""Runs that one script shows, so that other commands are not delayed for long."""


class StartedJob(NamedTuple):
    """A job that this worker has begun, and must end; or a suspect, which must begin alone."""

    id: bytes
    began: bytes
    """When this run began, in RQ's form. It tells this run from other runs of the same job."""
    data: bytes
    """The job's call, as RQ stores it."""
    timeout_s: Seconds | None
    """None: no limit."""
    lost_workers: int
    """How many workers died while they ran the job."""
    suspicions: int = 0
    """How many of these deaths the job is suspected of: it ran alone, or had newly begun."""
    late: bool = True
    """Whether the job's deadline has passed, or it has none."""
    begun: bool = True
    """False for a suspect that has not begun yet."""
    tenant: str = ""
    """Whose job it is, if tenants take turns."""
    ran_before: bool = False
    """Whether an earlier run has begun, or may have."""

    @classmethod
    def read(cls, answer: list[Any]) -> "StartedJob":
        """Read what lib/begin.lua answers for one job."""
        job_id, began, data, timeout, lost_workers, suspicions, late, begun, tenant, ran_before = answer
        counts = (lost_workers, suspicions, bool(late), bool(begun))
        return cls(job_id, began, data, timeout_s(timeout), *counts, tenant.decode(errors="replace"), bool(ran_before))


class TakenJobs(NamedTuple):
    """What one take has taken."""

    jobs: list[StartedJob]
    more: bool = False
    """Whether more jobs wait, as far as the take has looked."""


class JobStore:
    """Records what one worker does with its jobs."""

    def __init__(self, store: Store, worker: str, clock: RedisClock | None = None) -> None:
        self._store, self._worker, self._clock = store, worker, clock or RedisClock()
        self._finished = 0

    def counts(self) -> dict[str, int]:
        """Return the fields of RQ's worker hash that count jobs. Failed jobs are counted by their script."""
        return {"successful_job_count": self._finished}

    async def take_jobs(
        self,
        store: Store,
        queue: str,
        most: int,
        wait_s: Seconds,
        *,
        in_turn: bool = False,
        not_of: Sequence[str] = (),
    ) -> TakenJobs:
        """Move up to `most` jobs from the queue to the in-flight list and begin them, in one round trip.

        Waits for the first job up to `wait_s`. `in_turn`: jobs of several tenants may wait. `not_of`: tenants that may
        begin no job now. This is the only step that is not repeated: it raises as `store` does,
        and then there may be jobs on the in-flight list all the same.
        """
        move = ("BLMOVE", rq_queue_key(queue), inflight_key(queue, self._worker), "LEFT", "RIGHT", wait_s)
        take = queue_scripts.take_jobs(queue, self._worker, most, in_turn=in_turn, not_of=not_of)
        _, answers = await store.together(move, take)
        return TakenJobs([StartedJob.read(answer) for answer in answers])

    async def take_waiting_jobs(
        self, queue: str, most: int, *, in_turn: bool = False, not_of: Sequence[str] = ()
    ) -> TakenJobs:
        """Do the same with jobs that are in the queue, and see whether more are there. It does not wait for a job."""
        move = ("LMOVE", rq_queue_key(queue), inflight_key(queue, self._worker), "LEFT", "RIGHT")
        take = queue_scripts.take_jobs(queue, self._worker, most, in_turn=in_turn, not_of=not_of)
        lists = [rq_queue_key(queue), turns_key(queue)] if in_turn else [rq_queue_key(queue)]
        _, answers, more = await self._store.together(move, take, ("EXISTS", *lists))
        return TakenJobs([StartedJob.read(answer) for answer in answers], more=bool(more))

    async def begin_job(self, queue: str, job_id: bytes, *, alone: bool = False) -> StartedJob | None:
        """Begin a job that is on the in-flight list; a suspect only if it runs alone. None if it must not run."""
        answer = await self._record(queue_scripts.begin_job(queue, self._worker, job_id, alone=alone))
        return StartedJob.read(answer) if answer else None

    async def show_runs(self, queue: str, runs: Sequence[tuple[StartedJob, Seconds]]) -> None:
        """Let RQ's tools see runs that take long: the job, and how long it has run. Raises as the store does."""
        for first in range(0, len(runs), SHOWN_AT_ONCE):
            part = [(job.id, job.began, run_s) for job, run_s in runs[first : first + SHOWN_AT_ONCE]]
            await self._store.script(*queue_scripts.show_runs(queue, self._worker, part))

    async def finish(
        self, queue: str, job: StartedJob, last_writes: Sequence[Command] = (), *, shown: bool = False
    ) -> bool:
        """Run `last_writes` and mark the job finished, in one packet. False if another worker has the job now.

        `shown`: `show_runs` was called for this run.
        """
        step = queue_scripts.finish_job(
            queue, self._worker, job.id, job.began, keep_s=RESULT_TTL_S, now=self._clock.now(), shown=shown
        )
        finished = bool(await self._record(*last_writes, step))
        if finished:
            self._finished += 1
        return finished

    async def fail(
        self,
        queue: str,
        job: StartedJob,
        reason: str,
        verdict: Literal["failed", "stopped", "retry"],
        keep_s: int = FAILURE_TTL_S,
    ) -> str | None:
        """Record a failure, or queue the job again if it has retries left.

        `keep_s`: how long a failed job is kept if the job does not say it.
        Returns the job's status now, or None if another worker has the job.
        """
        step = queue_scripts.fail_job(
            queue, self._worker, job.id, job.began, verdict=verdict, reason=reason, keep_s=keep_s
        )
        status = await self._record(step)
        return status.decode() if status is not None else None

    async def hand_back(self, queue: str, *jobs: StartedJob) -> None:
        """Put unfinished jobs back at the front of their queue, in the same order."""
        if jobs:  # each goes to the front, so the first job is put there last
            await self._record(
                *(queue_scripts.hand_back_job(queue, self._worker, job.id, job.began) for job in reversed(jobs))
            )

    async def _record(self, *steps: Command) -> Any:
        """Run the steps in one packet until Redis has run them; returns the answer of the last."""
        while True:
            try:
                return (await until_redis_answers(lambda: self._store.together(*steps)))[-1]
            except ResponseError as error:
                # Redis refuses the step (permissions, a wrong type) until an operator repairs that. Without the repeat
                # the job would run again.
                await log_refusal_and_pause(steps[-1].script, error)


async def log_refusal_and_pause(step: str, error: RedisError) -> None:
    """Log that Redis refused a step, and pause before it is repeated."""
    log.error("redis_refuses", step=step, error=type(error).__name__, text=str(error)[:200])
    await asyncio.sleep(REFUSED_PAUSE_S)
