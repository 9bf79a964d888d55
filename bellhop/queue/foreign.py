"""What other applications do with our queues: their workers take our jobs, or their jobs are in our queues."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from redis import Redis

from bellhop.queue.failed_jobs import latest_failed_jobs
from bellhop.queue.job_payloads import PAYLOADS
from bellhop.queue.names import QUEUES
from bellhop.store.keys import FOREIGN_WORKERS, WORKERS, rq_worker_key, rq_workers_key

MAX_FAILED = 200
"""How many failed jobs are read."""


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
    taken: Any = redis.hgetall(FOREIGN_WORKERS)
    failed = [job for job in latest_failed_jobs(redis, MAX_FAILED) if job.queue in QUEUES]
    return ForeignWork(
        workers=list(_workers(redis)),
        taken={_queue_and_worker(key): int(jobs) for key, jobs in sorted(taken.items())},
        jobs=Counter(job.queue for job in failed if job.name not in PAYLOADS),
    )


def _workers(redis: Redis) -> Iterator[tuple[str, str]]:
    prefix = rq_worker_key("").encode()
    for queue in QUEUES:
        registered: Any = redis.smembers(rq_workers_key(queue))
        for key in sorted(registered):
            name = key.removeprefix(prefix)
            if redis.exists(key) and not redis.sismember(WORKERS, name):
                yield queue, name.decode(errors="replace")


def _queue_and_worker(key: bytes) -> tuple[str, str]:
    queue, _, worker = key.decode(errors="replace").partition(":")
    return queue, worker
