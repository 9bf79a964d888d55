"""The worker: one process, one event loop, jobs as tasks, connections that stay open between jobs.

RQ's own workers run one job at a time, each in a new process. README.md in this folder describes the whole.
"""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType

import structlog
from redis.exceptions import RedisError

from bellhop.clock import Seconds
from bellhop.store.async_client import Store
from bellhop.store.cluster_store import ClusterStore
from bellhop.store.homes import ALONE
from bellhop.store.redis_clock import RedisClock
from bellhop.store.redis_url import shown_database
from worker.queue.background import keep_running
from worker.queue.bell_taker import BellTaker
from worker.queue.concurrency_limit import limits_of
from worker.queue.isolation import Isolation
from worker.queue.job_taker import JobTaker
from worker.queue.maintenance import look_after_neighbours
from worker.queue.partition_worker import partition_workers
from worker.queue.rq_adapter import RqCommand, RqWorkerRecord, unique_worker_name
from worker.queue.rq_commands import RqCommands
from worker.queue.running_jobs import Handler, InterruptReason, RunningJobs
from worker.queue.shutdown import cancel_all, drain, tasks_of
from worker.queue.worker_setup import QueueNames, WorkerSetup

log = structlog.get_logger()

ANSWER_S = Seconds(2.0)
"""How long Redis may take to answer."""
TAKE_ANSWER_S = Seconds(3.0)
"""How long Redis may take to answer a take, its wait included."""
PREPARE_S = Seconds(1.0)
"""How long the first job may wait for `prepare`. While it waits, the worker does not count as ready."""
LEASE_ANSWER_S = Seconds(1.0)
"""How long Redis may take to answer the renewal of a lease."""


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
    `work_off_agenda`: this coroutine function runs, in one worker at a time, when the time of something on the agenda
    of a partition has come. It gets the partition's store.
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
        work_off_agenda: Callable[[Store], Awaitable[None]] | None = None,
        note_redis: Callable[[RedisError | None], None] = lambda _: None,
        clock: RedisClock | None = None,
    ) -> None:
        self.name, clock = name or unique_worker_name(), clock or RedisClock()
        self._redis_url, self._places = redis_url, dict(limits)
        self._grace_s, self._wind_up_s, self._in_turn = grace_s, wind_up_s, in_turn
        self._prepare, self._background = prepare, background
        self._stopping, self._second_signal = asyncio.Event(), asyncio.Event()
        self._store = Store.from_url(redis_url, timeout_s=ANSWER_S)
        self._lease_store = Store.from_url(redis_url, connections=1, timeout_s=LEASE_ANSWER_S)
        queues = QueueNames(list(limits), [queue for queue in all_queues if queue not in limits], old_names)
        self._rq_record = RqWorkerRecord(redis_url, self.name, queues.served)
        self._limits = limits_of(limits)
        setup = WorkerSetup(
            name=self.name,
            queues=queues,
            limits=self._limits,
            isolation=Isolation(),
            find_handler=handlers.get,
            describe=self._rq_record.fields,
            job_names=job_names,
            in_turn=in_turn,
            work_off_agenda=work_off_agenda,
            note_redis=note_redis,
            clock=clock,
        )
        self._parts = partition_workers(setup, self._store, self._lease_store)

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
        background = await self._prepared()
        # Without a lease, the first take would pause.
        await asyncio.gather(*(keep_running(part.maintenance.once) for part in self._parts))
        background += [asyncio.create_task(keep_running(run)) for run in self._work_beside_jobs()]
        redis = shown_database(self._redis_url)
        log.info("worker_started", worker=self.name, queues=self._places, redis=redis)
        try:
            await asyncio.gather(*(self._take_from(queue) for queue in self._limits))
            await drain(
                self._jobs, self._second_signal, worker=self.name, grace_s=self._grace_s, wind_up_s=self._wind_up_s
            )
        finally:
            for jobs in self._jobs:
                jobs.hand_back()
            await cancel_all([*background, *tasks_of(self._jobs)], self._wind_up_s)
            await asyncio.sleep(max(part.may_receive_jobs_until_s for part in self._parts) - time.monotonic())
            await asyncio.gather(*(part.lease.release() for part in self._parts))
            await self._lease_store.close()
            await self._store.close()
            log.info("worker_stopped", worker=self.name)
            for number, handler in before.items():
                signal.signal(number, handler)

    @property
    def _jobs(self) -> list[RunningJobs]:
        """The running jobs of each partition."""
        return [part.jobs for part in self._parts]

    def _work_beside_jobs(self) -> list[Callable[[], Awaitable[None]]]:
        # RQ's tools send commands by this name, also where the names of keys have a tag.
        channels = [self._rq_record.pubsub_channel_name]
        first, *others = (part.lease for part in self._parts)
        neighbours = partial(look_after_neighbours, first, [lease.store for lease in others])
        regular = (work for part in self._parts for work in part.regular_work)
        return [*regular, neighbours, RqCommands(self._store, channels, self._obey).listen, *self._background]

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
        for jobs in self._jobs:
            jobs.stop_adopting()
        for limit in self._limits.values():
            limit.close()

    async def _take_from(self, queue: str) -> None:
        """Take jobs of one queue and start them, until this worker stops."""
        takers = {
            part.partition: JobTaker(part, queue, self._stopping, in_turn=self._in_turn, wind_up_s=self._wind_up_s)
            for part in self._parts
        }
        if ALONE[0] in takers:
            store = Store.from_url(self._redis_url, connections=1, timeout_s=TAKE_ANSWER_S)
            await takers[ALONE[0]].keep_taking(store)
            await store.close()
        else:
            assert isinstance(self._lease_store, ClusterStore)  # noqa: S101 - it has other partitions
            waiting = {part.partition: part.lease.waiting[queue] for part in self._parts}
            await BellTaker(self._lease_store, queue, takers, waiting, self._stopping).keep_taking()

    def _obey(self, command: RqCommand) -> None:
        if command.name == "shutdown":
            self.stop()
        elif command.name == "stop-job":
            for jobs in self._jobs:
                jobs.interrupt(command.job_id, InterruptReason.STOPPED)
