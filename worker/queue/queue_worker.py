"""The worker: one process, one event loop, jobs as tasks, connections that stay open between jobs.

RQ's own workers run one job at a time, each in a new process. README.md in this folder describes the whole.
"""

import asyncio
import contextlib
import signal
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any

import structlog
from redis.exceptions import RedisError

from bellhop.clock import Seconds
from bellhop.store.async_client import Store
from bellhop.store.redis_clock import RedisClock
from bellhop.store.redis_url import shown_database
from bellhop.store.retry import is_away
from worker.queue.background import keep_running
from worker.queue.dead_workers import reap_workers
from worker.queue.foreign_workers import ForeignWorkers
from worker.queue.job_store import JobStore, StartedJob, log_refusal_and_pause
from worker.queue.lease import Lease
from worker.queue.maintenance import Maintenance, enqueue_scheduled, look_after_neighbours, repeat_in_turn
from worker.queue.old_queues import OldQueues
from worker.queue.rq_adapter import RqCommand, RqWorkerRecord, unique_worker_name
from worker.queue.running_jobs import Handler, InterruptReason, RunningJobs
from worker.queue.shutdown import cancel_all, drain

log = structlog.get_logger()

TAKE_WAIT_S = Seconds(1.5)
"""How long one take waits for a job. It is short because a take is never interrupted, also not at the end or by `rq
suspend`: an interrupted take may have moved a job to the in-flight list."""
TAKEN_AT_ONCE = 4
"""Jobs that one take takes if that many are queued: they share its cost, and delay each other by some milliseconds."""
TAKE_AGAIN_S = Seconds(0.05)
"""How long one take waits while a tenant may begin no further job here: BLMOVE does not see the jobs in its list."""
SHORT_PAUSE_S = 0.1
ANSWER_S = Seconds(2.0)
"""How long Redis may take to answer."""
TAKE_ANSWER_S = Seconds(3.0)
"""How long Redis may take to answer a take, its wait included."""
PREPARE_S = Seconds(1.0)
"""How long the first job may wait for `prepare`. While it waits, the worker does not count as ready."""
EVERY_S, OFTEN_S = Seconds(0.5), Seconds(0.25)
"""How often the worker whose turn it is does what one worker does for all."""


class QueueWorker:
    """Runs the jobs of several queues with the handlers it is given, each queue with a limit of its own.

    `limits`: by queue, how many jobs run at the same time.
    `handlers`: by the function's name that RQ stores with a job ("worker.jobs.ring"), a coroutine function that takes
    the job's one argument. It may be cancelled at any await (stop-job, the job's timeout, shutdown). If it returns, the
    job has succeeded. If it raises PermanentError, the job fails; after any other exception it is retried as RQ's Retry
    says.
    `name`: no other process may have the same; see `unique_worker_name`.
    `grace_s`: how long running jobs may go on after SIGTERM; `wind_up_s`: how long recording their ends may take then.
    `all_queues`: the queues of all workers of the installation, if other workers serve others.
    `old_names`: what older versions call queues, and their names now. This worker moves jobs of `job_names` from there,
    and takes them back from workers of other applications.
    `in_turn`: whether jobs of several tenants may wait (field `tenant` of a job). They begin in turn, and each tenant
    has its share of the limits.
    `prepare`: this coroutine function runs before the first job is taken. After `PREPARE_S` it goes on beside the jobs.
    `background`: coroutine functions that run beside the jobs; one that raises is logged and started again.
    `by_one_worker`: the same, for coroutine functions that are repeated by one worker at a time of the installation.
    `note_redis`: gets, twice a second, the error of Redis or None.
    `clock`: it is set twice a second, and before the first job.
    """

    def __init__(
        self,
        redis_url: str,
        limits: Mapping[str, int],
        handlers: Mapping[str, Handler],
        *,
        name: str = "",
        grace_s: Seconds = Seconds(20.0),
        wind_up_s: Seconds = Seconds(5.0),
        all_queues: Sequence[str] = (),
        old_names: Mapping[str, str] = MappingProxyType({}),
        job_names: Sequence[str] = (),
        in_turn: bool = False,
        prepare: Callable[[], Awaitable[None]] | None = None,
        background: Sequence[Callable[[], Awaitable[None]]] = (),
        by_one_worker: Sequence[Callable[[], Awaitable[None]]] = (),
        note_redis: Callable[[RedisError | None], None] = lambda _: None,
        clock: RedisClock | None = None,
    ) -> None:
        self.name, clock = name or unique_worker_name(), clock or RedisClock()
        self._redis_url, self._limits = redis_url, dict(limits)
        self._grace_s, self._wind_up_s = grace_s, wind_up_s
        self._prepare, self._background, self._in_turn = prepare, background, in_turn
        self._stopping, self._second_signal = asyncio.Event(), asyncio.Event()
        self._store = Store.from_url(redis_url, timeout_s=ANSWER_S)
        self._job_store = JobStore(self._store, self.name, clock)
        self._jobs = RunningJobs(self._job_store, limits, handlers.get)
        # Web processes of an older version are ready only while a worker serves the queues by their old names.
        served = [*limits, *(old for old, new in old_names.items() if new in limits)]
        others = [queue for queue in all_queues if queue not in limits]
        self._rq_record = RqWorkerRecord(redis_url, self.name, served)
        self._lease = Lease(
            *(redis_url, self.name, served, self._describe),
            counts=self._job_store.counts,
            note_redis=note_redis,
            clock=clock,
        )
        self._maintenance = Maintenance(self._lease, self._jobs, list(limits))
        all_names = [*served, *others, *(old for old in old_names if old not in served)]
        ours = [*limits, *others]
        self._by_one_worker: dict[Callable[[], Awaitable[None]], Seconds] = {
            partial(reap_workers, self._lease.store, all_names): EVERY_S,
            partial(enqueue_scheduled, self._lease.store, ours, in_turn=in_turn): EVERY_S,
            ForeignWorkers(self._store, ours, job_names).take_back: EVERY_S,
            OldQueues(self._store, old_names, job_names).move: OFTEN_S,
            **dict.fromkeys(by_one_worker, OFTEN_S),
        }
        self._may_receive_jobs_until = 0.0

    def work(self) -> None:
        """Run until SIGTERM or SIGINT; a second signal hands the running jobs back at once."""
        asyncio.run(self.run())

    async def run(self) -> None:
        """Do the same as `work` in the running event loop, which must be the main thread's."""
        loop = asyncio.get_running_loop()
        # Not the loop's own handlers: when it closes, it sets the default, which ends the process with another status.
        before = {
            number: signal.signal(number, lambda *_: loop.call_soon_threadsafe(self.stop))
            for number in (signal.SIGTERM, signal.SIGINT)
        }
        tasks: list[Callable[[], Awaitable[None]]] = [
            self._maintenance.run,
            partial(look_after_neighbours, self._lease),
            *(partial(repeat_in_turn, self._lease, every_s, work) for work, every_s in self._by_one_worker.items()),
            self._listen,
            *self._background,
        ]
        background = await self._prepared()
        await keep_running(self._maintenance.once)  # without a lease, the first take would pause
        background += [asyncio.create_task(keep_running(run)) for run in tasks]
        redis = shown_database(self._redis_url)
        log.info("worker_started", worker=self.name, queues=self._limits, redis=redis)
        try:
            await asyncio.gather(*(self._take_from(queue) for queue in self._limits))
            await drain(
                self._jobs, self._second_signal, worker=self.name, grace_s=self._grace_s, wind_up_s=self._wind_up_s
            )
        finally:
            self._jobs.hand_back()
            await cancel_all([*background, *self._jobs.tasks], self._wind_up_s)
            await asyncio.sleep(self._may_receive_jobs_until - time.monotonic())
            await self._lease.release()
            await self._store.close()
            log.info("worker_stopped", worker=self.name)
            for number, handler in before.items():
                signal.signal(number, handler)

    async def _prepared(self) -> list[asyncio.Task[None]]:
        """Run `prepare`, and wait for it up to `PREPARE_S`; returns its task."""
        if self._prepare is None:
            return []
        preparing = asyncio.create_task(keep_running(self._prepare))
        await asyncio.wait([preparing], timeout=PREPARE_S)
        return [preparing]

    def stop(self) -> None:
        """Take no more jobs, and end when the running ones have ended, or after the grace; the second call ends it."""
        if self._stopping.is_set():
            self._second_signal.set()
        self._stopping.set()
        self._jobs.stop_adopting()
        for limit in self._jobs.limits.values():
            limit.close()

    async def _take_from(self, queue: str) -> None:
        """Take jobs of one queue and start them, until this worker stops."""
        limit = self._jobs.limits[queue]
        store = Store.from_url(self._redis_url, connections=1, timeout_s=TAKE_ANSWER_S)
        while not self._stopping.is_set():
            most = await limit.acquire(TAKEN_AT_ONCE)
            await self._jobs.isolation.over()
            jobs = await self._take(store, queue, most)
            limit.release(most - len(jobs))
            if self._stopping.is_set():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._job_store.hand_back(queue, *jobs), self._wind_up_s)
            else:
                for job in jobs:
                    self._jobs.start(queue, job.id, job)
        await store.close()

    async def _take(self, store: Store, queue: str, most: int) -> list[StartedJob]:
        """Take up to `most` jobs, or none, after a pause, if this worker may not take any."""
        if not self._lease.healthy or self._lease.suspended:
            await asyncio.sleep(SHORT_PAUSE_S)
            return []
        if self._stopping.is_set():
            return []
        adopted = self._jobs.adopted[queue]
        adopted.clear()
        not_of = self._jobs.limits[queue].tenants_with_share
        wait_s = TAKE_AGAIN_S if not_of else TAKE_WAIT_S
        try:
            jobs = await self._job_store.take_jobs(store, queue, most, wait_s, in_turn=self._in_turn, not_of=not_of)
        except RedisError as error:
            # Redis may not have noticed yet that the connection is lost. Until its BLMOVE ends, it can still move a job
            # to our list. No job is lost: maintenance adopts it, or `run` waits and gives it back.
            self._may_receive_jobs_until = time.monotonic() + TAKE_WAIT_S
            if is_away(error):  # the lease logs that
                await asyncio.sleep(SHORT_PAUSE_S)
            else:
                await log_refusal_and_pause("queue/take_jobs", error)
            return []
        return [job for job in jobs if job.id not in adopted]

    async def _listen(self) -> None:
        """Follow `rq`'s commands."""
        async with self._store.client.pubsub() as channel:
            await channel.subscribe(self._rq_record.pubsub_channel_name)
            while True:
                message = await channel.get_message(ignore_subscribe_messages=True, timeout=ANSWER_S)
                if message is not None:
                    self._obey(RqCommand.read(message["data"]))

    def _obey(self, command: RqCommand) -> None:
        if command.name == "shutdown":
            self.stop()
        elif command.name == "stop-job":
            self._jobs.interrupt(command.job_id, InterruptReason.STOPPED)

    def _describe(self) -> dict[str, Any]:
        """Return the fields of RQ's worker hash."""
        return self._rq_record.fields(busy=bool(self._jobs.jobs), suspended=self._lease.suspended)
