"""What a worker does every half second beside its jobs: it renews its lease, takes over from dead workers, and compares
the jobs in memory with those on its in-flight lists."""

import asyncio
import contextlib
from collections.abc import Iterable

import structlog
from redis.exceptions import RedisError

from bellhop.store import queue_scripts
from bellhop.store.keys import inflight_key, raw_rq_job_key
from worker.queue.lease import Lease
from worker.queue.running_jobs import InterruptReason, RunningJobs, id_for_log

log = structlog.get_logger()

EVERY_S = 0.5
RENEW_AGAIN_S = 0.1
"""Pause after a renewal of the lease failed."""


class Maintenance:
    """The regular work of one worker."""

    def __init__(self, lease: Lease, jobs: RunningJobs, queues: Iterable[str], others: Iterable[str] = ()) -> None:
        """`queues`: what this worker serves; `others`: queues of this installation that only other workers serve."""
        self._lease, self._jobs, self._queues, self._others = lease, jobs, list(queues), list(others)
        self._lapsed = False
        """Whether the lease ended since `_stop_lost_jobs` last ran."""

    async def run(self) -> None:
        """Repeat the work until cancelled."""
        while True:
            self._lapsed = await self._lease.renew() or self._lapsed
            with contextlib.suppress(RedisError):  # the lease logs that Redis is away
                await self._look_after_jobs()
            await asyncio.sleep(RENEW_AGAIN_S if self._lease.last_failed else EVERY_S)

    async def _look_after_jobs(self) -> None:
        await self._lease.remove_dead_neighbours()
        await self._lease.store.script(*queue_scripts.enqueue_scheduled([*self._queues, *self._others]))
        await self._lease.reap_workers()
        for queue in self._queues:
            job_ids = await self._lease.store.call("LRANGE", inflight_key(queue, self._lease.name), 0, -1)
            self._jobs.adopt(queue, job_ids)
        if self._lapsed:
            await self._stop_lost_jobs()
            self._lapsed = False

    async def _stop_lost_jobs(self) -> None:
        """Stop the jobs that another worker took over while this worker had no lease.

        A job that Redis does not know any more goes on: no other worker can have it.
        """
        for job_id in list(self._jobs.jobs):
            status, owner = await self._lease.store.call("HMGET", raw_rq_job_key(job_id), "status", "worker_name")
            if status is not None and (status, owner) != (b"started", self._lease.name.encode()):
                log.warning("job_was_given_away", job=id_for_log(job_id))
                self._jobs.interrupt(job_id, InterruptReason.TAKEN_OVER)
