"""A worker's lease: while it exists, the jobs that the worker took are its own.

The lease is the key bellhop:worker:<name>. RQ's own recovery takes minutes (its heartbeats last 90 s, its maintenance
runs every 600 s), and gives back only jobs with retries.
"""

import asyncio
import os
import time
from collections.abc import Callable, Mapping
from typing import Any, get_args

import structlog
from redis.exceptions import RedisError

from bellhop.queue.names import FAILURE_TTL_S
from bellhop.store import queue_scripts
from bellhop.store.async_client import Store
from bellhop.store.queue_scripts import Due, Tended, TendedQueues
from bellhop.store.redis_clock import RedisClock
from bellhop.store.refusals import advice_on
from worker.queue.dead_workers import remove_worker
from worker.queue.lease_times import DEFAULT_TIMES, LeaseTimes
from worker.queue.pid_namespace import is_alive, pid_namespace
from worker.queue.worker_setup import QueueNames

log = structlog.get_logger()

REGISTRATION_TTL_S = 60
"""How long `rq info` shows a worker that died."""
REGISTER_EVERY_S = 20.0
"""How often a worker registers again if nothing has changed."""


class Lease:
    """The lease of one process in one partition. `renew` it every half second."""

    def __init__(
        self,
        store: Store,
        name: str,
        queues: QueueNames,
        describe: Callable[[], dict[str, Any]],
        times: LeaseTimes = DEFAULT_TIMES,
        *,
        counts: Callable[[], dict[str, Any]] = dict,
        in_turn: bool = False,
        tells_waiting: bool = False,
        sees_neighbours: bool = True,
        partition: str = "",
        note_redis: Callable[[RedisError | None], None] = lambda _: None,
        clock: RedisClock | None = None,
    ) -> None:
        """`store` must answer, or fail, in a shorter time than a lease lasts.

        `describe` returns the fields of RQ's worker hash, and `counts` those that each renewal writes.
        `in_turn`: jobs of several tenants may wait. `tells_waiting`: each renewal finds out which queues have jobs.
        `sees_neighbours`: this worker may have the turn to look after its neighbours. `partition`: for the log.
        `note_redis` gets the error of each renewal, or None. `clock` is set by each renewal.
        """
        self.store, self.name = store, name
        self._log = log.bind(worker=name, **({"partition": partition} if partition else {}))
        self.suspended = False
        """Whether `rq suspend` is in force."""
        self.last_failed = False
        """Whether the last renewal failed."""
        self._queues = queues
        self._tended = TendedQueues(queues.taken, queues.others, queues.old_served)
        self._describe, self._counts, self._times = describe, counts, times
        self._in_turn, self._tells_waiting, self._sees_neighbours = in_turn, tells_waiting, sees_neighbours
        self._note_redis, self._clock = note_redis, clock or RedisClock()
        self._valid_until = 0.0
        self._registered, self._register_at = "", 0.0
        """The state that `rq info` shows, and when to register again."""
        self._turn = False
        self.may_have_jobs = True
        """Whether there were jobs on this worker's in-flight lists at the last renewal."""
        self.neighbours_turn = asyncio.Event()
        """Set while the neighbours must be looked at."""
        self.due: dict[Due, asyncio.Event] = {what: asyncio.Event() for what in get_args(Due)}
        """What is set must be done now by this worker, for all."""
        self.waiting = {queue: asyncio.Event() for queue in queues.taken}
        """By queue: set while jobs wait in it, as far as a renewal has found out."""

    @property
    def healthy(self) -> bool:
        """Whether no other worker can presume this one dead yet. Required before a job is taken."""
        return time.monotonic() < self._valid_until

    @property
    def has_turn(self) -> bool:
        """Whether this worker does now what one worker does for all. For a moment two workers may."""
        return self._turn and self.healthy

    async def renew(self) -> bool:
        """Renew the lease. True if it had ended, or is new: other workers may have taken this worker's jobs.

        A failure is logged once, and changes nothing: `healthy` becomes false by itself when the lease ends.
        """
        sent_at, namespace = time.monotonic(), pid_namespace()
        fields = self._fields_to_register(sent_at)
        command = queue_scripts.tend(
            self.name,
            self._tended,
            fields | ({"place": namespace} if fields else {}) | self._counts(),
            pid_namespace=namespace if self._sees_neighbours else "",
            pid=os.getpid(),
            lease_ms=self._times.lease_ms,
            silence_ms=self._times.silence_ms,
            turn_ms=self._times.turn_ms,
            registration_s=REGISTRATION_TTL_S if fields else 0,
            kept_s=FAILURE_TTL_S,
            in_turn=self._in_turn,
            tells_waiting=self._tells_waiting,
        )
        try:
            tended = Tended.read(await self.store.script(*command))
        except RedisError as error:
            if not self.last_failed:
                self._log.warning("lease_not_renewed", error=type(error).__name__, advice=advice_on(error))
            self.last_failed = True
            self._note_redis(error)
            return False
        self._note_redis(None)
        self._clock.note(sent_at, time.monotonic(), tended.now)
        if self.last_failed:
            self._log.info("lease_renewed")
        # If the answer to the last renewal was lost, that renewal may have found that the lease had ended. Then this
        # one finds a valid lease. So the clock of this process decides too.
        lapsed = tended.lapsed or not self.healthy
        self.last_failed, self.suspended, self.may_have_jobs = False, tended.suspended, tended.has_jobs
        self._valid_until = sent_at + self._times.lease_ms / 1000
        self._note_registration(fields, sent_at, lapsed=lapsed)
        self._note_work(tended)
        return lapsed

    def _fields_to_register(self, now_s: float) -> dict[str, Any]:
        """Return the fields of RQ's worker hash; none if this state was registered less than REGISTER_EVERY_S ago."""
        fields = self._describe()
        return fields if fields["state"] != self._registered or now_s >= self._register_at else {}

    def _note_registration(self, fields: Mapping[str, Any], now_s: float, *, lapsed: bool) -> None:
        if fields:
            self._registered, self._register_at = fields["state"], now_s + REGISTER_EVERY_S
        elif lapsed:  # another worker may have removed it
            self._register_at = 0.0

    def _note_work(self, tended: Tended) -> None:
        """Note what to do now. If the worker that looks after the neighbours has died, each of them does it."""
        self._turn = tended.turn == self.name
        for what in tended.due:
            self.due[what].set()
        for position in tended.waiting:
            self.waiting[self._tended.taken[position]].set()
        pid = tended.neighbours_turn
        if pid and (pid == os.getpid() or not is_alive(pid)):
            self.neighbours_turn.set()

    async def release(self) -> None:
        """Give back the jobs that are left, then the lease. If Redis is away, the lease ends by itself."""
        try:
            await remove_worker(self.store, self.name, self._queues.served, died=False)
        except RedisError as error:
            self._log.warning("left_without_goodbye", error=type(error).__name__)
        self._valid_until = 0.0
