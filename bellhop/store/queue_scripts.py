"""The scripts of the queue (lua/queue/): the order of their arguments.

Every function returns a Command to run. These scripts take no keys: they build the keys of RQ's data model from the
names of queue, worker and job.
"""

import base64
import zlib
from collections.abc import Mapping
from typing import Any, Literal

from bellhop.store.scripts import Argument, Command


def take_jobs(queue: str, worker: str, limit: int) -> Command:
    """Begin the job that BLMOVE has put on the worker's in-flight list, and take and begin more, up to `limit`.

    The script returns what lib/begin.lua returns for each job.
    """
    return _command("take_jobs", queue, worker, limit)


def begin_job(queue: str, worker: str, job_id: bytes, *, alone: bool) -> Command:
    """Begin a job that is on the worker's in-flight list. The script returns what lib/begin.lua returns, or None.

    `alone`: a suspect may begin too, since the worker begins no other job now.
    """
    return _command("begin_job", queue, worker, job_id, "alone" if alone else "")


def finish_job(queue: str, worker: str, job_id: bytes, began: bytes, *, keep_s: int) -> Command:
    """Mark a job finished, and keep it for `keep_s`. The script returns 1, or 0 if another worker has the job."""
    return _command("finish_job", queue, worker, job_id, began, keep_s)


def fail_job(
    queue: str,
    worker: str,
    job_id: bytes,
    began: bytes,
    *,
    verdict: Literal["failed", "stopped", "retry"],
    reason: str,
    keep_s: int,
) -> Command:
    """Record a failure, or queue the job again if it has retries left and the verdict is "retry".

    The script returns the job's status now, or None if another worker has the job.
    """
    packed = base64.b64encode(zlib.compress(reason.encode()))  # as RQ stores it
    return _command("fail_job", queue, worker, job_id, began, verdict, packed, keep_s)


def hand_back_job(queue: str, worker: str, job_id: bytes, began: bytes) -> Command:
    """Put an unfinished job at the front of its queue. The script returns 1, or 0 if another worker has the job."""
    return _command("hand_back_job", queue, worker, job_id, began)


def requeue_failed(queue: str, job_id: str, now: str) -> Command:
    """Queue a failed job again; `now` is in RQ's form. The script returns 1, or 0 if the job has not failed."""
    return _command("requeue_failed", queue, job_id, now)


def renew_lease(
    worker: str,
    queues: str,
    fields: Mapping[str, Any],
    *,
    lease_ms: int,
    silence_ms: int,
    registration_s: int,
) -> Command:
    """Renew a worker's lease, and its registration with these fields of RQ's worker hash.

    `queues` are separated by commas. If no worker renewed its lease for longer than `silence_ms`, Redis was away or all
    workers were, and none is presumed dead. The script returns whether the lease had ended or is new, and whether
    `rq suspend` is in force.
    """
    flat = [part for pair in fields.items() for part in pair]
    return _command("renew_lease", worker, lease_ms, silence_ms, registration_s, queues, *flat)


def reap_workers(*, lease_ms: int, silence_ms: int) -> Command:
    """Give back the jobs of workers whose lease has ended.

    The script returns the names of the dead workers, each followed by the number of its jobs.
    """
    return _command("reap_workers", lease_ms, silence_ms)


def enqueue_scheduled() -> Command:
    """Queue scheduled jobs whose time has come, and drop ended jobs that have expired from RQ's registries."""
    return _command("enqueue_scheduled")


def remove_worker(worker: str | bytes, queues: str | bytes, *, died: bool) -> Command:
    """Give back a worker's jobs, its lease and its registration. `queues` are separated by commas.

    `died`: another worker noticed that it died. Redis may still give the dead worker one more job.
    """
    return _command("remove_worker", worker, queues, "lost" if died else "left")


def _command(name: str, *args: Argument) -> Command:
    return Command(f"queue/{name}", [], args)
