"""A worker's lease: while it exists, the jobs that the worker took are its own. Workers take over from dead workers.

The lease is the key bellhop:worker:<name>. RQ's own recovery takes minutes (its heartbeats last 90 s, its maintenance
runs every 600 s), and gives back only jobs with retries.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from redis.exceptions import RedisError

from bellhop.clock import Seconds
from bellhop.store import queue_scripts
from bellhop.store.async_client import Store
from bellhop.store.keys import WORKERS, rq_worker_key
from bellhop.store.refusals import advice_on
from worker.queue.process_place import is_alive, process_place

log = structlog.get_logger()

REGISTRATION_TTL_S = 60
"""How long `rq info` shows a worker that died."""


@dataclass(frozen=True, slots=True)
class LeaseTimes:
    """How long a lease lasts, and when no worker is presumed dead."""

    lease_ms: int = 3000
    """How long a lease lasts after it was renewed."""
    silence_ms: int = 1500
    """If no worker renewed its lease for longer than this, Redis was away, or all workers were. Then none is presumed
    dead. This, the pause between two renewals and a late renewal together are shorter than `lease_ms`: no lease ends in
    a silence that is too short to be noticed."""


DEFAULT_TIMES = LeaseTimes()


class Lease:
    """The lease of one process. `renew` it every half second."""

    def __init__(
        self,
        redis_url: str,
        name: str,
        queues: Sequence[str],
        describe: Callable[[], dict[str, Any]],
        times: LeaseTimes = DEFAULT_TIMES,
        *,
        others: Sequence[str] = (),
    ) -> None:
        """`describe` returns the fields of RQ's worker hash. `others`: queues that only other workers serve."""
        self.store = Store.from_url(redis_url, connections=1, timeout_s=Seconds(1.0))
        self.name = name
        self.suspended = False
        """Whether `rq suspend` is in force."""
        self.last_failed = False
        """Whether the last renewal failed."""
        self._queues, self._all_queues = list(queues), [*queues, *others]
        self._describe, self._times = describe, times
        self._valid_until = 0.0

    @property
    def healthy(self) -> bool:
        """Whether no other worker can presume this one dead yet. Required before a job is taken."""
        return time.monotonic() < self._valid_until

    async def renew(self) -> bool:
        """Renew the lease. True if it had ended, or is new: other workers may have taken this worker's jobs.

        A failure is logged once, and changes nothing: `healthy` becomes false by itself when the lease ends.
        """
        sent_at = time.monotonic()
        command = queue_scripts.renew_lease(
            self.name,
            self._queues,
            self._describe() | {"place": process_place()},
            lease_ms=self._times.lease_ms,
            silence_ms=self._times.silence_ms,
            registration_s=REGISTRATION_TTL_S,
        )
        try:
            lapsed, suspended = await self.store.script(*command)
        except RedisError as error:
            if not self.last_failed:
                log.warning("lease_not_renewed", worker=self.name, error=type(error).__name__, advice=advice_on(error))
            self.last_failed = True
            return False
        if self.last_failed:
            log.info("lease_renewed", worker=self.name)
        # The renewal that found the lease ended may have lost its answer. This one then finds a valid lease. Comparing
        # with the clock of this process finds it out all the same.
        lapsed = lapsed or not self.healthy
        self.last_failed, self.suspended = False, bool(suspended)
        self._valid_until = sent_at + self._times.lease_ms / 1000
        return bool(lapsed)

    async def reap_workers(self) -> None:
        """Give back the jobs of all workers whose lease has ended. Raises as the store does."""
        times = self._times
        command = queue_scripts.reap_workers(self._all_queues, lease_ms=times.lease_ms, silence_ms=times.silence_ms)
        dead = await self.store.script(*command)
        for name, jobs in zip(dead[::2], dead[1::2], strict=True):
            log.warning("worker_died", worker=name.decode(), jobs_given_back=jobs)

    async def remove_dead_neighbours(self) -> None:
        """Give back the jobs of dead workers that ran beside this one, before their lease ends.

        A neighbour ran on the same machine in the same pid namespace, so its pid shows whether it lives. Raises as the
        store does.
        """
        here = process_place()
        for name in await self.store.call("SMEMBERS", WORKERS) if here else ():
            place, pid, queues = await self.store.call("HMGET", rq_worker_key(name.decode()), "place", "pid", "queues")
            if place == here.encode() and name != self.name.encode() and not is_alive(int(pid or 0)):
                served = (queues or b"").decode().split(",")
                await self.store.script(*queue_scripts.remove_worker(name, served, died=True))
                log.warning("worker_died", worker=name.decode(), jobs_given_back="at once")

    async def release(self) -> None:
        """Give back the jobs that are left, then the lease. If Redis is away, the lease ends by itself."""
        try:
            await self.store.script(*queue_scripts.remove_worker(self.name, self._queues, died=False))
        except RedisError as error:
            log.warning("left_without_goodbye", worker=self.name, error=type(error).__name__)
        self._valid_until = 0.0
        await self.store.close()
