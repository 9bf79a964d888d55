"""Run again what ended in RQ's failed registry: for the command line and the console."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import NamedTuple

from redis import Redis
from rq.exceptions import InvalidJobOperation, NoSuchJobError
from rq.job import Job
from rq.registry import FailedJobRegistry
from rq.serializers import JSONSerializer

from worker.contract import NOTICE_JOB, QUEUES, RING_JOB
from worker.domain.calls import round_key
from worker.engine.rq_job import JobError, read_call

LATEST_US = 2**52
"""Unix µs in the year 2112: dates end at some point, numbers in a payload need not."""


def failed_jobs(redis: Redis) -> Iterable[str]:
    """List the failed jobs of every queue, oldest first."""
    for queue in QUEUES:
        yield from _registry(redis, queue).get_job_ids(cleanup=False)


class Failed(NamedTuple):
    """A failed job, as far as it can be read."""

    id: str
    queue: str
    name: str
    """The job's name (worker/contract.py); empty if nobody can read it."""
    tenant: str
    cid: str
    failed_at: int
    """Unix µs; 0 if that is not known."""
    reason: str


def failed(redis: Redis, most: int) -> list[Failed]:
    """Read up to `most` failed jobs, the latest first."""
    ids = [job_id for queue in QUEUES for job_id in _registry(redis, queue).get_job_ids(-most, -1, cleanup=False)]
    jobs = [job for job in Job.fetch_many(ids, connection=redis, serializer=JSONSerializer) if job is not None]
    jobs.sort(key=lambda job: job.ended_at.timestamp() if job.ended_at else 0, reverse=True)
    return [_told(job) for job in jobs[:most]]


def _told(job: Job) -> Failed:
    try:
        name, payload = read_call(job.data)
    except JobError:
        name, payload = "", {}
    result = job.latest_result()
    lines = ((result and result.exc_string) or "").strip().splitlines() or [""]
    at = int(job.ended_at.timestamp() * 1e6) if job.ended_at else 0
    tenant, cid = (str(payload.get(field, "")) for field in ("tenant", "cid"))
    return Failed(job.id, job.origin, name, tenant, cid, at, lines[-1])


def run_again(redis: Redis, job_id: str) -> str | None:
    """Queue one failed job again; returns why not, in a sentence."""
    try:
        job = Job.fetch(job_id, connection=redis, serializer=JSONSerializer)
    except (NoSuchJobError, ValueError):  # the second for what is no job's id
        return "there is no such job; a failed one is kept for a day"
    try:
        name, payload = read_call(job.data)
    except JobError as error:
        return f"{error}; it is not run again"
    if name == RING_JOB and (over_at := _over_at(payload)) <= datetime.now(UTC):
        return f"too old: its ring was over at {over_at:%Y-%m-%d %H:%M:%S} UTC; it is not run again"
    if name == NOTICE_JOB and job.is_failed and not redis.exists(_round_key(payload)):
        return "too old: which of the user's phones it reached is no longer known; it is not run again"
    try:
        _registry(redis, job.origin).requeue(job)
        redis.persist(job.key)  # a failed job expires, and RQ leaves it at that
    except InvalidJobOperation:
        return f"it has not failed: it is {job.get_status(refresh=False).value}"
    return None


def _registry(redis: Redis, queue: str) -> FailedJobRegistry:
    return FailedJobRegistry(queue, connection=redis, serializer=JSONSerializer)


def _round_key(payload: dict[str, object]) -> str:
    tenant, cid, started_at = (payload.get(field) for field in ("tenant", "cid", "started_at"))
    return round_key(str(tenant), str(cid), started_at if isinstance(started_at, int) else 0)


def _over_at(payload: dict[str, object]) -> datetime:
    deadline = payload.get("deadline")
    return datetime.fromtimestamp(min(deadline, LATEST_US) / 1e6 if isinstance(deadline, int) else 0, UTC)
