"""What other applications do with our queues: their workers take our jobs, or their jobs are in our queues."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from redis import Redis

from bellhop.queue.failed_jobs import latest_failed_jobs
from bellhop.queue.job_payloads import PAYLOADS
from bellhop.queue.names import QUEUES
from bellhop.store.blocking_client import partitions_of, together
from bellhop.store.homes import Partition, names_of
from bellhop.store.keys import FOREIGN_WORKERS, WORKERS, rq_worker_key, rq_workers_key
from bellhop.store.scripts import RawCommand

MAX_FAILED = 200
"""How many failed jobs are read."""


class _Registered(NamedTuple):
    """A worker that is registered for a queue, in one partition."""

    queue: str
    partition: Partition
    key: bytes

    @property
    def name(self) -> bytes:
        return self.key.removeprefix(self.partition.key(rq_worker_key("")).encode())


class ForeignWork(NamedTuple):
    """What Redis shows of other applications' work in our queues."""

    workers: Sequence[tuple[str, str]]
    """A queue, and a live worker that serves it and is not ours."""
    taken: Mapping[tuple[str, str], int]
    """By queue and worker, how many of our jobs a worker that is not ours took in the last hour."""
    jobs: Mapping[str, int]
    """By queue, how many jobs failed because they are not ours."""


def read_foreign_work(redis: Redis) -> ForeignWork:
    """Read what Redis shows of their work. Raises redis.exceptions.RedisError."""
    failed = [job for job in latest_failed_jobs(redis, MAX_FAILED) if job.queue in QUEUES]
    return ForeignWork(
        workers=_workers(redis),
        taken=_taken(redis),
        jobs=Counter(job.queue for job in failed if job.name not in PAYLOADS),
    )


def _taken(redis: Redis) -> dict[tuple[str, str], int]:
    taken: Counter[tuple[str, str]] = Counter()
    keys = names_of(FOREIGN_WORKERS, partitions_of(redis))
    for counts in together(redis, *(("HGETALL", key) for key in keys), in_order=False):
        taken.update({_queue_and_worker(name): int(jobs) for name, jobs in counts.items()})
    return dict(sorted(taken.items()))


def _workers(redis: Redis) -> list[tuple[str, str]]:
    """Return each queue with a live worker that serves it and is not ours. A worker may serve it in each partition."""
    queues = [(queue, partition) for queue in QUEUES for partition in partitions_of(redis)]
    registered = together(
        redis, *(("SMEMBERS", partition.key(rq_workers_key(queue))) for queue, partition in queues), in_order=False
    )
    found = [_Registered(*queue, key) for queue, keys in zip(queues, registered, strict=True) for key in keys]
    reads: list[RawCommand] = []
    for worker in found:
        reads += [("EXISTS", worker.key), ("SISMEMBER", worker.partition.key(WORKERS), worker.name)]
    answers = together(redis, *reads, in_order=False)
    states = zip(found, answers[::2], answers[1::2], strict=True)
    return sorted(
        {(worker.queue, worker.name.decode(errors="replace")) for worker, lives, ours in states if lives and not ours}
    )


def _queue_and_worker(key: bytes) -> tuple[str, str]:
    queue, _, worker = key.decode(errors="replace").partition(":")
    return queue, worker
