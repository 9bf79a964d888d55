"""The jobs in RQ's failed registries: list them and run them again, for the commands and the console.

RQ's own classes are not used: they inflate data without a limit, and one job with an unreadable field would hide all
others.
"""

import base64
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, NamedTuple

from redis import Redis
from redis.exceptions import ResponseError
from rq.utils import now, utcformat

from bellhop.clock import Micros, Seconds, micros
from bellhop.queue.names import NOTICE_JOB, QUEUES, RING_JOB
from bellhop.queue.rq_job import JobError, inflated, read_call
from bellhop.store import queue_scripts
from bellhop.store.blocking_client import run_script
from bellhop.store.keys import round_key, rq_job_key, rq_registry_key, rq_results_key

LATEST_US = 2**52
"""A moment in the year 2112. Later ones in a payload are shown as this, since Python's dates have an end."""


def failed_jobs(redis: Redis) -> Iterable[str]:
    """List the failed jobs of every queue, oldest first."""
    for queue in QUEUES:
        yield from _ids(redis, queue)


class FailedJob(NamedTuple):
    """A failed job, as far as it can be read."""

    id: str
    queue: str
    name: str
    """The job's name (bellhop/queue/names.py); empty if it cannot be read."""
    tenant: str
    cid: str
    failed_at: Micros
    """0 if it is not known."""
    reason: str


def failed(redis: Redis, most: int) -> list[FailedJob]:
    """Read up to `most` failed jobs, the latest first."""
    places = [(queue, job_id) for queue in QUEUES for job_id in _ids(redis, queue, most)]
    ended_at = _answers(redis, [("HGET", rq_job_key(job_id), "ended_at") for _, job_id in places])
    latest_first = sorted(zip(map(_micros, ended_at), places, strict=True), reverse=True)
    return [_read_job(redis, queue, job_id, at) for at, (queue, job_id) in latest_first[:most]]


def _read_job(redis: Redis, queue: str, job_id: str, at: Micros) -> FailedJob:
    data, results = _answers(
        redis, [("HGET", rq_job_key(job_id), "data"), ("XREVRANGE", rq_results_key(job_id), "+", "-", "COUNT", 1)]
    )
    try:
        name, payload = read_call(data or b"")
    except JobError:
        name, payload = "", {}
    tenant, cid = (str(payload.get(field, "")) for field in ("tenant", "cid"))
    return FailedJob(job_id, queue, name, tenant, cid, at, _reason(results))


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
    """Queue one failed job again. Returns None, or the reason why it was not queued."""
    data, status, *places = _answers(
        redis,
        [
            ("HGET", rq_job_key(job_id), "data"),
            ("HGET", rq_job_key(job_id), "status"),
            *(("ZSCORE", rq_registry_key("failed", queue), job_id) for queue in QUEUES),
        ],
    )
    if data is None:
        return "there is no such job; a failed one is kept for a day"
    queue = next((queue for queue, place in zip(QUEUES, places, strict=True) if place is not None), None)
    if queue is None:
        return f"it has not failed: it is {(status or b'nothing').decode('utf-8', 'replace')}"
    try:
        name, payload = read_call(data)
    except JobError as error:
        return f"{error}; it is not run again"
    if name == RING_JOB and (over_at := _over_at(payload)) <= datetime.now(UTC):
        return f"too old: its ring was over at {over_at:%Y-%m-%d %H:%M:%S} UTC; it is not run again"
    if name == NOTICE_JOB and not redis.exists(_round_key(payload)):
        return "too old: which of the user's phones it reached is no longer known; it is not run again"
    requeued = run_script(redis, queue_scripts.requeue_failed(queue, job_id, utcformat(now())))
    return None if requeued else "it was queued again at the same time"


def _ids(redis: Redis, queue: str, most: int = 0) -> list[str]:
    """List the ids of a queue's failed jobs, in the order in which they expire; the last `most`, if that is not 0."""
    ids: Any = redis.zrange(rq_registry_key("failed", queue), -most, -1)
    return [job_id.decode("utf-8", "replace") for job_id in ids]


def _answers(redis: Redis, commands: list[tuple[str | int, ...]]) -> list[Any]:
    """Run commands in one round trip. An answer is None if the key holds another type."""
    pipeline = redis.pipeline(transaction=False)
    for command in commands:
        pipeline.execute_command(*command)  # type: ignore[no-untyped-call]
    answers = pipeline.execute(raise_on_error=False)
    for answer in answers:
        if isinstance(answer, Exception) and not isinstance(answer, ResponseError):
            raise answer
    return [None if isinstance(answer, Exception) else answer for answer in answers]


def _micros(stamp: bytes | None) -> Micros:
    """Read a moment that RQ wrote; 0 if it is not a moment."""
    try:
        moment = datetime.fromisoformat((stamp or b"").decode())
        return micros(Seconds(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()))
    except (ValueError, OverflowError):
        return Micros(0)


def _round_key(payload: dict[str, object]) -> str:
    tenant, cid, started_at = (payload.get(field) for field in ("tenant", "cid", "started_at"))
    return round_key(str(tenant), str(cid), Micros(started_at if isinstance(started_at, int) else 0))


def _over_at(payload: dict[str, object]) -> datetime:
    deadline = payload.get("deadline")
    return datetime.fromtimestamp(min(max(deadline, 0), LATEST_US) / 1e6 if isinstance(deadline, int) else 0, UTC)
