"""Takes jobs of one queue from one partition, and starts them."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence

from redis.exceptions import RedisError

from bellhop.clock import Seconds
from bellhop.store.async_client import Store
from bellhop.store.retry import is_away
from worker.queue.job_store import TakenJobs, log_refusal_and_pause
from worker.queue.partition_worker import PartitionWorker

TAKE_WAIT_S = Seconds(1.5)
"""How long one take waits for a job. It is short because a take is never interrupted, also not at the end or by `rq
suspend`: an interrupted take may have moved a job to the in-flight list."""
TAKEN_AT_ONCE = 4
"""Jobs that one take takes if that many are queued: they share its cost, and delay each other by some milliseconds."""
TAKE_AGAIN_S = Seconds(0.05)
"""How long one take waits, or the pause after it, while a tenant may begin no further job here: BLMOVE does not see the
jobs in its list."""
SHORT_PAUSE_S = 0.1

NOTHING = TakenJobs([])
Take = Callable[[int, Sequence[str]], Awaitable[TakenJobs]]
"""Takes so many jobs at most, none of these tenants."""


class JobTaker:
    """Takes jobs of one queue while this worker is not `stopping`."""

    def __init__(
        self, part: PartitionWorker, queue: str, stopping: asyncio.Event, *, in_turn: bool, wind_up_s: Seconds
    ) -> None:
        self._part, self._queue, self._stopping = part, queue, stopping
        self._limit, self._isolation = part.jobs.limits[queue], part.jobs.isolation
        self._in_turn, self._wind_up_s = in_turn, wind_up_s
        # If tenants take turns, a take must know what the takes from other partitions have begun.
        self._taking = self._limit.taking if in_turn else asyncio.Lock()

    async def keep_taking(self, store: Store) -> None:
        """Wait for jobs, take them and start them, until this worker stops. A take blocks the store's connection."""

        def take(most: int, not_of: Sequence[str]) -> Awaitable[TakenJobs]:
            wait_s = TAKE_AGAIN_S if not_of else TAKE_WAIT_S
            return self._part.job_store.take_jobs(
                store, self._queue, most, wait_s, in_turn=self._in_turn, not_of=not_of
            )

        while not self._stopping.is_set():
            most = await self._limit.acquire(TAKEN_AT_ONCE)
            await self._isolation.wait_until_over()
            if self._part.may_take:
                await self._take(most, take)
            else:
                await asyncio.sleep(SHORT_PAUSE_S)
                self._limit.release(most)

    async def take_waiting(self) -> bool:
        """Take jobs that wait in the queue, and start them. Returns whether more wait, for another take or worker."""

        def take(most: int, not_of: Sequence[str]) -> Awaitable[TakenJobs]:
            return self._part.job_store.take_waiting_jobs(self._queue, most, in_turn=self._in_turn, not_of=not_of)

        async with self._taking:
            if self._stopping.is_set() or not self._part.may_take:
                return False
            if self._limit.full or not self._isolation.is_over:
                return True
            return await self._take(await self._limit.acquire(TAKEN_AT_ONCE), take)

    async def until_ready(self) -> None:
        """Wait until there is room for a job, and no suspect runs alone."""
        await self._limit.wait_for_place()
        await self._isolation.wait_until_over()

    @property
    def again_s(self) -> Seconds:
        """When to take again if more jobs wait: perhaps they are only of tenants that may begin none here."""
        return TAKE_AGAIN_S if self._limit.tenants_with_share else Seconds(0.0)

    @property
    def is_taking(self) -> bool:
        """Whether `take_waiting` is under way."""
        return self._taking.locked()

    async def _take(self, places: int, take: Take) -> bool:
        """Take up to as many jobs as there are `places`, and start them. Returns whether more wait."""
        jobs, more = await self._answered(places, take)
        self._limit.release(places - len(jobs))
        if self._stopping.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._part.job_store.hand_back(self._queue, *jobs), self._wind_up_s)
        else:
            for job in jobs:
                self._part.jobs.start(self._queue, job.id, job)
        return more

    async def _answered(self, most: int, take: Take) -> TakenJobs:
        """Take up to `most` jobs, or none, after a pause, if Redis does not answer."""
        if self._stopping.is_set():
            return NOTHING
        adopted = self._part.jobs.adopted[self._queue]
        adopted.clear()
        try:
            jobs, more = await take(most, self._limit.tenants_with_share)
        except RedisError as error:
            # Redis may not have noticed yet that the connection is lost. Until its BLMOVE ends, it can still move a job
            # to our list. No job is lost: maintenance adopts it, or the worker's end waits and gives it back.
            self._part.may_receive_jobs_until_s = time.monotonic() + TAKE_WAIT_S
            if is_away(error):  # the lease logs that
                await asyncio.sleep(SHORT_PAUSE_S)
            else:
                await log_refusal_and_pause("queue/take_jobs", error)
            return NOTHING
        return TakenJobs([job for job in jobs if job.id not in adopted], more)
