"""`bellhop replay`: run again what ended in RQ's failed registry."""

import sys
from collections.abc import Iterable
from datetime import UTC, datetime

import click
from redis import Redis
from rq.exceptions import InvalidJobOperation, NoSuchJobError
from rq.job import Job
from rq.registry import FailedJobRegistry
from rq.serializers import JSONSerializer

from bellhop.devices import connect
from worker.contract import QUEUES, RING_JOB
from worker.rq_job import JobError, read_call

LATEST_US = 2**52
"""Unix µs in the year 2112: dates end at some point, numbers in a payload need not."""


@click.command()
@click.argument("job_ids", metavar="[JOB_ID]...", nargs=-1)
@click.option("--failed", is_flag=True, help="Every failed job.")
def replay(job_ids: tuple[str, ...], failed: bool) -> None:
    """Run failed jobs again: notices, e-mails, and rings that are not over.

    What has reached a phone already is not sent twice. `rq info` shows how many jobs have failed. Exits with 1 if a
    job that was named is not run again.
    """
    if bool(job_ids) == failed:
        raise click.UsageError("Name the jobs, or say --failed.")
    redis = connect()
    refused = 0
    for job_id in job_ids or failed_jobs(redis):
        reason = run_again(redis, job_id)
        refused += reason is not None
        click.echo(f"{job_id}: {reason or 'queued again'}")
    sys.exit(1 if refused and job_ids else 0)


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
