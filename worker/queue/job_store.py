"""What one worker records about its jobs, in RQ's own data model.

Each step is one Lua call. Every step but `take_jobs` may be repeated until Redis answers: a job that has run is never
run again because its bookkeeping was lost. The steps write RQ's own keys, so that `rq info`, `rq requeue` and
dashboards can read them. RQ itself needs 20 round trips for the same.
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
from bellhop.store.keys import inflight_key, rq_queue_key
from bellhop.store.retry import until_redis_answers
from bellhop.store.scripts import Command

log = structlog.get_logger()

REFUSED_PAUSE_S = 1.0


class StartedJob(NamedTuple):
    """A job that is now this worker's to run."""

    id: bytes
    began: bytes
    """When this run of it began, as RQ writes a moment: its name among the job's runs."""
    data: bytes
    timeout_s: Seconds | None
    lost_workers: int
    """How many workers died while they ran it."""

    @classmethod
    def of(cls, answer: list[Any]) -> "StartedJob":
        """Read what begin.lua says of one."""
        job_id, began, data, timeout, lost_workers = answer
        return cls(job_id, began, data, timeout_s(timeout), int(lost_workers))


class JobStore:
    """Records what one worker does with its jobs. Every method repeats itself until Redis has answered."""

    def __init__(self, store: Store, worker: str) -> None:
        self.store, self.worker = store, worker

    async def start(self, queue: str, job_id: bytes) -> StartedJob | None:
        """Begin a job that is on the in-flight list; None when it is not to be run."""
        answer = await self._record(queue_scripts.begin_job(queue, self.worker, job_id))
        return StartedJob.of(answer) if answer else None

    async def pop(self, store: Store, queue: str, most: int, wait_s: Seconds) -> list[StartedJob]:
        """Take up to `most` jobs from the queue onto the in-flight list and begin them, in one round trip.

        Waits for the first. Alone of all methods it makes a single attempt: it raises as `store` does, and there may be
        jobs on the list then.
        """
        pop = ("BLMOVE", rq_queue_key(queue), inflight_key(queue, self.worker), "LEFT", "RIGHT", wait_s)
        _, answer = await store.together(pop, queue_scripts.take_jobs(queue, self.worker, most))
        return [StartedJob.of(one) for one in answer]

    async def finish(self, queue: str, job: StartedJob, last: Sequence[Command] = ()) -> bool:
        """Do what is `last` to do and mark the job finished; False when it was given to another worker meanwhile."""
        step = queue_scripts.finish_job(queue, self.worker, job.id, job.began, keep_s=RESULT_TTL_S)
        return bool(await self._record(*last, step))

    async def fail(
        self, queue: str, job: StartedJob, reason: str, verdict: Literal["failed", "stopped", "retry"]
    ) -> str | None:
        """Record a failure, or queue the job again if it may be retried; its status now, None if it was not ours."""
        step = queue_scripts.fail_job(
            queue, self.worker, job.id, job.began, verdict=verdict, reason=reason, keep_s=FAILURE_TTL_S
        )
        status = await self._record(step)
        return status.decode() if status is not None else None

    async def hand_back(self, queue: str, *jobs: StartedJob) -> None:
        """Give jobs back unfinished, to the front of their queue."""
        if jobs:  # the first comes last, and so to the very front
            await self._record(
                *(queue_scripts.hand_back_job(queue, self.worker, job.id, job.began) for job in reversed(jobs))
            )

    async def _record(self, *steps: Command) -> Any:
        """Take the steps together until Redis has taken them; the answer of the last."""
        while True:
            try:
                return (await until_redis_answers(lambda: self.store.together(*steps)))[-1]
            except ResponseError as error:
                # Out of memory, read-only, …: an operator's to mend. Giving up would run the job again.
                await refused(steps[-1].script, error)


async def refused(step: str, error: RedisError) -> None:
    """Log what Redis said instead of taking a step, and pause before it is asked again."""
    log.error("redis_refuses", step=step, error=type(error).__name__, text=str(error)[:200])
    await asyncio.sleep(REFUSED_PAUSE_S)
