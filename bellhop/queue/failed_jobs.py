"""Failed jobs: list them and queue them again, for `bellhop replay` and the console.

RQ's own classes are not used: they inflate data without a limit, and they raise for a job with an unreadable field, so
no other job could be listed.
"""

import base64
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any, NamedTuple

from redis import Redis
from redis.exceptions import ResponseError
from rq.utils import now, utcformat

from bellhop.clock import Micros, Seconds, micros
from bellhop.queue.job_payloads import PAYLOADS
from bellhop.queue.names import NOTICE_JOB, OLD_NAMES, QUEUES, RING_JOB
from bellhop.queue.rq_job import JobError, inflated, read_job_data
from bellhop.store import queue_scripts
from bellhop.store.blocking_client import partitions_of, run_script, together
from bellhop.store.homes import Partition, names_of
from bellhop.store.keys import round_key, rq_job_key, rq_registry_key, rq_results_key
from bellhop.store.scripts import in_partition

LATEST_US = 2**52
"""In the year 2112. A later deadline in a payload is shown as this one, because Python's dates end in the year 9999."""


ALL_QUEUES = (*QUEUES, *OLD_NAMES)
"""Under the old names of our queues, other applications may have jobs. They are left out."""


def failed_job_ids(redis: Redis) -> Iterable[str]:
    """Return the ids of all failed jobs, queue by queue.

    In each queue, and on a cluster in each partition of it, the job that expires first comes first.
    """
    for queue in ALL_QUEUES:
        for job in _stored_jobs(redis, [queue]):
            if queue in QUEUES or _read_job(redis, job, Micros(0)).name in PAYLOADS:
                yield job.id


def count(redis: Redis) -> int:
    """Count the failed jobs in our queues, in one round trip. Raises redis.exceptions.RedisError."""
    registries = [name for queue in QUEUES for name in names_of(rq_registry_key("failed", queue), partitions_of(redis))]
    return sum(together(redis, *(("ZCARD", registry) for registry in registries), in_order=False))


class _StoredJob(NamedTuple):
    """Where a failed job is."""

    queue: str
    id: str
    partition: Partition

    @property
    def key(self) -> str:
        """The job's own key."""
        return self.partition.key(rq_job_key(self.id))


class FailedJob(NamedTuple):
    """A failed job. A part that cannot be read is empty."""

    id: str
    queue: str
    name: str
    """The job's name (bellhop/queue/names.py)."""
    tenant: str
    cid: str
    failed_at: Micros
    """0 if it is not known."""
    reason: str
    """The last line of the error."""


def latest_failed_jobs(redis: Redis, limit: int) -> list[FailedJob]:
    """Read up to `limit` failed jobs, the latest failure first."""
    jobs = _stored_jobs(redis, ALL_QUEUES, limit)
    ended_at = _answers(redis, [("HGET", job.key, "ended_at") for job in jobs])
    latest_first = sorted(zip(map(_rq_time, ended_at), jobs, strict=True), reverse=True)
    read = (_read_job(redis, job, failed_at) for failed_at, job in latest_first)
    return list(islice((job for job in read if job.queue in QUEUES or job.name in PAYLOADS), limit))


def _read_job(redis: Redis, job: _StoredJob, failed_at: Micros) -> FailedJob:
    results_key = job.partition.key(rq_results_key(job.id))
    data, results = _answers(redis, [("HGET", job.key, "data"), ("XREVRANGE", results_key, "+", "-", "COUNT", 1)])
    try:
        name, payload = read_job_data(data or b"")
    except JobError:
        name, payload = "", {}
    tenant, cid = (str(payload.get(field, "")) for field in ("tenant", "cid"))
    return FailedJob(job.id, job.queue, name, tenant, cid, failed_at, _reason(results))


def _reason(results: Any) -> str:
    """Return the last line of the latest result's error; empty if it cannot be read."""
    for _, fields in results or ():
        try:
            text = inflated(base64.b64decode(fields[b"exc_string"])).decode("utf-8", "replace")
        except (KeyError, ValueError):
            continue
        return (text.strip().splitlines() or [""])[-1]
    return ""


def run_again(redis: Redis, job_id: str) -> str | None:
    """Queue a failed job again. Returns None, or a sentence that says why it was not queued."""
    partition, (data, status, *scores) = _find(redis, job_id)
    if data is None:
        return "there is no such job; a failed one is kept for a day"
    queue = next((queue for queue, score in zip(ALL_QUEUES, scores, strict=True) if score is not None), None)
    if queue is None:
        return f"it has not failed: it is {(status or b'nothing').decode('utf-8', 'replace')}"
    try:
        name, payload = read_job_data(data)
    except JobError as error:
        return f"{error}; it is not run again"
    if refusal := _refusal(redis, name, payload):
        return refusal
    requeued = run_script(redis, in_partition(queue_scripts.requeue_failed(queue, job_id, utcformat(now())), partition))
    return None if requeued else "it was queued again at the same time"


def _find(redis: Redis, job_id: str) -> tuple[Partition, list[Any]]:
    """Return the partition that has the job, and its data, its status and its scores in the registries of failed jobs.

    If no partition has it, the data are None.
    """
    among = partitions_of(redis)
    reads: list[tuple[str | int, ...]] = []
    for partition in among:
        reads += [("HGET", partition.key(rq_job_key(job_id)), field) for field in ("data", "status")]
        reads += [("ZSCORE", partition.key(rq_registry_key("failed", queue)), job_id) for queue in ALL_QUEUES]
    answers = iter(_answers(redis, reads))
    found = [(partition, list(islice(answers, 2 + len(ALL_QUEUES)))) for partition in among]
    return next(((partition, job) for partition, job in found if job[0] is not None), found[0])


def _refusal(redis: Redis, name: str, payload: dict[str, Any]) -> str | None:
    if name not in PAYLOADS:
        return "it is not a job of Bellhop; `rq requeue` can queue it again"
    if name == RING_JOB and (over_at := _over_at(payload)) <= datetime.now(UTC):
        return f"too old: its ring was over at {over_at:%Y-%m-%d %H:%M:%S} UTC; it is not run again"
    if name == NOTICE_JOB and not redis.exists(_round_key(payload)):
        return "too old: which of the user's phones it reached is no longer known; it is not run again"
    return None


def _stored_jobs(redis: Redis, queues: Sequence[str], limit: int | None = None) -> list[_StoredJob]:
    """Find the failed jobs of these queues, in the order in which they expire.

    With `limit`, only the last ones of each queue and partition.
    """
    first = 0 if limit is None else -limit
    registries = [(queue, partition) for queue in queues for partition in partitions_of(redis)]
    reads = (("ZRANGE", partition.key(rq_registry_key("failed", queue)), first, -1) for queue, partition in registries)
    lists = zip(registries, together(redis, *reads, in_order=False), strict=True)
    return [
        _StoredJob(queue, job_id.decode("utf-8", "replace"), partition)
        for (queue, partition), ids in lists
        for job_id in ids
    ]


def _answers(redis: Redis, reads: Sequence[tuple[str | int, ...]]) -> list[Any]:
    """Read in one round trip, or in several if Redis refuses a read. The answer to a refused one is None."""
    try:
        return together(redis, *reads, in_order=False)
    except ResponseError:
        return [_answer(redis, read) for read in reads]


def _answer(redis: Redis, read: tuple[str | int, ...]) -> Any:
    try:
        return redis.execute_command(*read)  # type: ignore[no-untyped-call]
    except ResponseError:
        return None


def _rq_time(text: bytes | None) -> Micros:
    """Read a time that RQ wrote; 0 if it is missing or invalid."""
    try:
        moment = datetime.fromisoformat((text or b"").decode())
        return micros(Seconds(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()))
    except (ValueError, OverflowError):
        return Micros(0)


def _round_key(payload: dict[str, object]) -> str:
    tenant, cid, started_at = (payload.get(field) for field in ("tenant", "cid", "started_at"))
    return round_key(str(tenant), str(cid), Micros(started_at if isinstance(started_at, int) else 0))


def _over_at(payload: dict[str, object]) -> datetime:
    """Return when the ring of a payload is over, between 1970 and LATEST_US; 1970 if the payload does not say it."""
    deadline_us = payload.get("deadline")
    if not isinstance(deadline_us, int):
        deadline_us = 0
    return datetime.fromtimestamp(min(max(deadline_us, 0), LATEST_US) / 1e6, UTC)
