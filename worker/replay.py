"""Run again what ended in RQ's failed registry: for the command line and the console."""

from collections.abc import Iterable
from datetime import UTC, datetime

from redis import Redis
from rq.exceptions import InvalidJobOperation, NoSuchJobError
from rq.job import Job
from rq.registry import FailedJobRegistry
from rq.serializers import JSONSerializer

from worker.contract import QUEUES, RING_JOB
from worker.rq_job import JobError, read_call

LATEST_US = 2**52
"""Unix µs in the year 2112: dates end at some point, numbers in a payload need not."""


def failed_jobs(redis: Redis) -> Iterable[str]:
    """List the failed jobs of every queue, oldest first."""
    for queue in QUEUES:
        yield from _registry(redis, queue).get_job_ids(cleanup=False)


def run_again(redis: Redis, job_id: str) -> str | None:
    """Queue one failed job again; returns why not, in a sentence."""
    try:
        job = Job.fetch(job_id, connection=redis, serializer=JSONSerializer)
    except NoSuchJobError:
        return "there is no such job; a failed one is kept for a day"
    try:
        name, payload = read_call(job.data)
    except JobError as error:
        return f"{error}; it is not run again"
    if name == RING_JOB and (over_at := _over_at(payload)) <= datetime.now(UTC):
        return f"too old: its ring was over at {over_at:%Y-%m-%d %H:%M:%S} UTC; it is not run again"
    try:
        _registry(redis, job.origin).requeue(job)
        redis.persist(job.key)  # a failed job expires, and RQ leaves it at that
    except InvalidJobOperation:
        return f"it has not failed: it is {job.get_status(refresh=False).value}"
    return None


def _registry(redis: Redis, queue: str) -> FailedJobRegistry:
    return FailedJobRegistry(queue, connection=redis, serializer=JSONSerializer)


def _over_at(payload: dict[str, object]) -> datetime:
    deadline = payload.get("deadline")
    return datetime.fromtimestamp(min(deadline, LATEST_US) / 1e6 if isinstance(deadline, int) else 0, UTC)
