"""What one worker is in one partition of Redis. A single Redis is one partition; a cluster has several.

In each partition, a worker has a lease, in-flight lists and running jobs of its own. Its limits count the jobs of all
partitions.
"""

import time
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Any

from redis.exceptions import RedisError

from bellhop.clock import Seconds
from bellhop.store.async_client import Store
from bellhop.store.homes import Partition
from worker.queue.dead_workers import reap_workers
from worker.queue.foreign_workers import ForeignWorkers
from worker.queue.job_store import JobStore
from worker.queue.lease import Lease
from worker.queue.maintenance import Maintenance, enqueue_scheduled, repeat_in_turn, work_when_due
from worker.queue.old_queues import OldQueues
from worker.queue.running_jobs import RunningJobs
from worker.queue.worker_setup import WorkerSetup

OFTEN_S = Seconds(0.25)
"""How often queues are looked at by their old names."""
RARELY_S = Seconds(30.0)
"""How often expired jobs are removed from RQ's registries, and jobs are looked for that a worker of another application
took some time ago."""


class PartitionWorker:
    """One worker in one partition: its lease and its jobs there, and its regular work."""

    def __init__(
        self,
        setup: WorkerSetup,
        partition: Partition,
        store: Store,
        lease_store: Store,
        note_redis: Callable[[RedisError | None], None],
        *,
        is_first: bool,
    ) -> None:
        """`lease_store` answers or fails soon. The first partition sets the worker's clock and shows its neighbours."""
        self.partition, self._setup, self._store = partition, setup, store
        self.job_store = JobStore(store, setup.name, setup.clock)
        self.jobs = RunningJobs(self.job_store, setup.limits, setup.isolation, setup.find_handler)
        self.lease = Lease(
            lease_store,
            setup.name,
            setup.queues,
            self._describe,
            counts=self.job_store.counts,
            in_turn=setup.in_turn,
            tells_waiting=bool(partition.tag),
            note_redis=note_redis,
            clock=setup.clock if is_first else None,
            sees_neighbours=is_first,
            partition=partition.tag,
        )
        self.maintenance = Maintenance(self.lease, self.jobs, setup.queues.taken)
        self.may_receive_jobs_until_s = time.monotonic()
        """Until then, Redis may still move jobs to the in-flight lists: the answer to a take was lost."""

    @property
    def may_take(self) -> bool:
        """Whether jobs may be taken from this partition now."""
        return self.lease.healthy and not self.lease.suspended

    @property
    def regular_work(self) -> list[Callable[[], Awaitable[None]]]:
        """What runs beside the jobs until the worker ends."""
        return [self.maintenance.run, *self._work_in_turn()]

    def _work_in_turn(self) -> Iterator[Callable[[], Awaitable[None]]]:
        """Yield what this worker does for all in the partition, while it is its turn."""
        setup, queues, lease = self._setup, self._setup.queues, self.lease
        scheduled = partial(enqueue_scheduled, lease.store, queues.ours, in_turn=setup.in_turn)
        take_back = ForeignWorkers(self._store, queues.ours, setup.job_names).take_back
        yield partial(work_when_due, lease.due["dead workers"], partial(reap_workers, lease.store, queues.all_names))
        yield partial(work_when_due, lease.due["scheduled jobs"], partial(self._then_look, scheduled))
        yield partial(work_when_due, lease.due["foreign workers"], partial(self._then_look, take_back))
        if setup.work_off_agenda is not None:
            yield partial(work_when_due, lease.due["agenda"], partial(setup.work_off_agenda, self._store))
        # These look for more than what is due.
        yield partial(repeat_in_turn, lease, RARELY_S, scheduled)
        yield partial(repeat_in_turn, lease, RARELY_S, partial(self._then_look, take_back))
        if not self.partition.tag:  # the queues of a cluster never had other names
            yield partial(repeat_in_turn, lease, OFTEN_S, OldQueues(self._store, queues.old, setup.job_names).move)

    async def _then_look(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do work that puts jobs on queues, then take some of them."""
        await work()
        for waiting in self.lease.waiting.values():
            waiting.set()

    def _describe(self) -> dict[str, Any]:
        return self._setup.describe(busy=bool(self.jobs.jobs), suspended=self.lease.suspended)


def partition_workers(setup: WorkerSetup, store: Store, lease_store: Store) -> list[PartitionWorker]:
    """Make what the worker is in each partition."""
    reports, first = _RedisReports(setup.note_redis), store.partitions[0]
    return [
        PartitionWorker(
            setup,
            partition,
            store.at(partition),
            lease_store.at(partition),
            note_redis=partial(reports.note, partition),
            is_first=partition == first,
        )
        for partition in store.partitions
    ]


class _RedisReports:
    """Makes one report out of those of all partitions: Redis answers only if the servers of all partitions do."""

    def __init__(self, note_redis: Callable[[RedisError | None], None]) -> None:
        self._note_redis, self._away = note_redis, set[Partition]()

    def note(self, partition: Partition, error: RedisError | None) -> None:
        """Pass an error on, and an answer only if all other partitions answer too."""
        if error is not None:
            self._away.add(partition)
        else:
            self._away.discard(partition)
        if error is not None or not self._away:
            self._note_redis(error)
