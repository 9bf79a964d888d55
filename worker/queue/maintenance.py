"""What a worker does beside its jobs: it renews its lease, and compares the jobs in memory with those on its in-flight
lists. In its turn, it takes over from dead workers and queues scheduled jobs."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence

import structlog
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from bellhop.clock import Seconds
from bellhop.store import queue_scripts
from bellhop.store.async_client import Store
from bellhop.store.keys import inflight_key, raw_rq_job_key
from worker.queue.dead_workers import Neighbours
from worker.queue.lease import Lease
from worker.queue.running_jobs import InterruptReason, RunningJobs, id_for_log

log = structlog.get_logger()

EVERY_S = Seconds(0.5)
RENEW_AGAIN_S = 0.1
"""Pause after a renewal of the lease failed."""
SCHEDULED_AT_ONCE = 100
"""How many scheduled jobs of each queue one script queues."""


class Maintenance:
    """The regular work of one worker for its own jobs."""

    def __init__(self, lease: Lease, jobs: RunningJobs, queues: Sequence[str]) -> None:
        """`queues`: what this worker serves."""
        self._lease, self._jobs, self._queues = lease, jobs, queues
        self._lapsed = False
        """Whether the lease ended since `_stop_lost_jobs` last ran."""

    async def run(self) -> None:
        """Repeat the work until cancelled."""
        while True:
            await self.once()
            await asyncio.sleep(RENEW_AGAIN_S if self._lease.last_failed else EVERY_S)

    async def once(self) -> None:
        """Renew the lease, compare the jobs, end those that are overdue, and show RQ those that take long."""
        self._jobs.end_overdue()
        self._lapsed = await self._lease.renew() or self._lapsed
        with contextlib.suppress(RedisError):  # the lease logs that Redis is away
            if self._lease.may_have_jobs:
                await self._adopt_jobs()
                await self._jobs.show_long_runs()
            if self._lapsed:
                await self._stop_lost_jobs()
                self._lapsed = False

    async def _adopt_jobs(self) -> None:
        reads = [("LRANGE", inflight_key(queue, self._lease.name), 0, -1) for queue in self._queues]
        for queue, job_ids in zip(self._queues, await self._lease.store.together(*reads), strict=True):
            self._jobs.adopt(queue, job_ids)

    async def _stop_lost_jobs(self) -> None:
        """Stop the jobs that another worker took over while this worker had no lease.

        A job that Redis does not know any more goes on: no other worker can have it.
        """
        job_ids = list(self._jobs.jobs)
        reads = [("HMGET", raw_rq_job_key(job_id), "status", "worker_name") for job_id in job_ids]
        for job_id, (status, owner) in zip(job_ids, await self._lease.store.together(*reads), strict=True):
            if status is not None and (status, owner) != (b"started", self._lease.name.encode()):
                log.warning("job_was_given_away", job=id_for_log(job_id))
                self._jobs.interrupt(job_id, InterruptReason.TAKEN_OVER)


async def look_after_neighbours(lease: Lease, others: Sequence[Store] = ()) -> None:
    """Remove dead neighbours, again and again, when it is this worker's turn. `others`: of the other partitions."""
    neighbours = Neighbours(lease.store, lease.name, others)
    while True:
        await lease.neighbours_turn.wait()
        lease.neighbours_turn.clear()
        await neighbours.remove_dead()


async def enqueue_scheduled(store: Store, queues: Sequence[str], *, in_turn: bool = False) -> None:
    """Queue all scheduled jobs whose time has come. `in_turn`: jobs of several tenants may wait."""
    while await store.script(*queue_scripts.enqueue_scheduled(queues, limit=SCHEDULED_AT_ONCE, in_turn=in_turn)):
        pass  # more are due


async def work_when_due(due: asyncio.Event, work: Callable[[], Awaitable[None]]) -> None:
    """Do the work again and again, each time after `due` was set."""
    while True:
        await due.wait()
        due.clear()
        with contextlib.suppress(RedisConnectionError, RedisTimeoutError):  # the lease logs that Redis is away
            await work()


async def repeat_in_turn(lease: Lease, every_s: Seconds, work: Callable[[], Awaitable[None]]) -> None:
    """Repeat what one worker does for all in a partition, while it is this worker's turn."""
    while True:
        again_at_s = time.monotonic() + every_s
        if lease.has_turn:
            with contextlib.suppress(RedisConnectionError, RedisTimeoutError):  # the lease logs that Redis is away
                await work()
            await asyncio.sleep(again_at_s - time.monotonic())
        else:
            await asyncio.sleep(min(every_s, EVERY_S))
