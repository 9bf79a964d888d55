"""The scripts of the queue (lua/queue/): the order of their arguments.

Every function returns a Command to run. The scripts get the keys of their queues, and the start of the keys of jobs and
workers (lua/lib/queue_keys.lua).
"""

import base64
import contextlib
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Literal, NamedTuple, cast

from bellhop.clock import MICROS_PER_SECOND, Micros, Seconds, iso
from bellhop.store.keys import (
    AGENDA,
    FOREIGN_WORKERS,
    RQ_EXECUTION_PREFIX,
    RQ_QUEUES,
    RQ_SUSPENDED,
    RQ_WORKERS,
    WORKERS,
    WORKERS_CALM_SINCE,
    WORKERS_SEEN,
    WORKERS_TURN,
    death_noticed_key,
    inflight_key,
    lease_key,
    neighbours_turn_key,
    rq_executions_key,
    rq_intermediate_key,
    rq_job_key,
    rq_queue_key,
    rq_registry_key,
    rq_results_key,
    rq_worker_key,
    rq_workers_key,
    tenant_queue_key,
    turns_key,
)
from bellhop.store.scripts import Argument, Command

JobState = Literal["waiting", "scheduled", "failed", "finished"]
"""The states in which a queue keeps jobs."""
Due = Literal["dead workers", "agenda", "scheduled jobs", "foreign workers"]
"""What the worker whose turn it is does when it is due. `agenda`: the time of something on the agenda has come."""
NEWLY_FAILED_S = 10
"""For how long after a job has failed `tend` says that a worker of another application may have taken it."""
SHARED_KEYS = (rq_job_key(""), rq_executions_key(""), RQ_EXECUTION_PREFIX, rq_results_key(""), rq_worker_key(""))
"""The start of the keys of all jobs and workers."""
WORKER_KEYS = (
    *(WORKERS, WORKERS_SEEN, WORKERS_CALM_SINCE, WORKERS_TURN, RQ_QUEUES, RQ_WORKERS, RQ_SUSPENDED),
    *(neighbours_turn_key(""), lease_key(""), death_noticed_key(""), AGENDA),
)
"""The keys of a partition that scripts about workers use."""


def take_jobs(queue: str, worker: str, limit: int, *, in_turn: bool = False, not_of: Iterable[str] = ()) -> Command:
    """Begin the job that BLMOVE has put on the worker's in-flight list, and take and begin more, up to `limit`.

    `in_turn`: jobs of several tenants may wait. `not_of`: tenants whose jobs go back, to wait for their turn. The
    script returns what lib/begin.lua returns for each job.
    """
    return _of_queue("take_jobs", queue, worker, limit, "turns" if in_turn else "", *not_of)


def begin_job(queue: str, worker: str, job_id: bytes, *, alone: bool) -> Command:
    """Begin a job that is on the worker's in-flight list. The script returns what lib/begin.lua returns, or None.

    `alone`: a suspect may begin too, since the worker begins no other job now.
    """
    return _of_queue("begin_job", queue, worker, job_id, "alone" if alone else "", jobs=[job_id])


def show_runs(queue: str, worker: str, runs: Iterable[tuple[bytes, bytes, Seconds]]) -> Command:
    """Let RQ's tools see runs that go on: the id of each job, when the run began, and how long ago that was."""
    shown = list(runs)
    parts = (part for run in shown for part in run)
    return _of_queue("show_runs", queue, worker, *parts, jobs=[job_id for job_id, _, _ in shown])


def finish_job(
    queue: str, worker: str, job_id: bytes, began: bytes, *, keep_s: int, now: Micros, shown: bool
) -> Command:
    """Mark a job finished `now` (by Redis's clock), and keep it for `keep_s`.

    `shown`: `show_runs` has run, or may have. The script returns 1, or 0 if another worker has the job.
    """
    leaves_s = now // MICROS_PER_SECOND + keep_s + 1
    args = (worker, job_id, began, keep_s, iso(now), leaves_s, "shown" if shown else "")
    return _of_queue("finish_job", queue, *args, jobs=[job_id])


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
    return _of_queue("fail_job", queue, worker, job_id, began, verdict, packed, keep_s, jobs=[job_id])


def hand_back_job(queue: str, worker: str, job_id: bytes, began: bytes) -> Command:
    """Put an unfinished job at the front of its queue. The script returns 1, or 0 if another worker has the job."""
    return _of_queue("hand_back_job", queue, worker, job_id, began, jobs=[job_id])


def requeue_failed(queue: str, job_id: str, now: str) -> Command:
    """Queue a failed job again; `now` is in RQ's form. The script returns 1, or 0 if the job has not failed."""
    return Command("queue/requeue_failed", [*queue_keys([queue]), RQ_QUEUES, rq_job_key(job_id)], [job_id, now])


class TendedQueues(NamedTuple):
    """The queues of the worker that tends a partition."""

    taken: Sequence[str]
    """This worker takes jobs from them."""
    others: Sequence[str] = ()
    """Only other workers of the installation take jobs from them."""
    old_names: Sequence[str] = ()
    """What older versions call the queues that this worker serves."""


class Tended(NamedTuple):
    """What a worker must look after in a partition."""

    lapsed: bool
    """Whether its lease had ended, or is new."""
    suspended: bool
    """Whether `rq suspend` is in force."""
    has_jobs: bool
    """Whether there are jobs on its in-flight lists."""
    turn: str
    """The worker whose turn it is to do what one does for all."""
    neighbours_turn: int
    """The pid of the worker whose turn it is to look after this one's neighbours; 0 if they are not known."""
    now: Micros
    """By Redis's clock."""
    due: Sequence[Due]
    """What is due, if it is this worker's turn."""
    waiting: Sequence[int]
    """Which of the queues have jobs, as positions in `TendedQueues.taken`, if the worker must know it."""

    @classmethod
    def read(cls, answer: list[Any]) -> "Tended":
        """Read what tend.lua answers."""
        lapsed, suspended, has_jobs, turn, neighbours_turn, now, due, waiting = answer
        flags = (bool(lapsed), bool(suspended), bool(has_jobs))
        words = [cast("Due", word.decode()) for word in due]
        return cls(
            *flags,
            turn.decode(),
            int(neighbours_turn or 0),
            Micros(int(now)),
            words,
            [position - 1 for position in waiting],
        )


def tend(
    worker: str,
    queues: TendedQueues,
    fields: Mapping[str, Any],
    *,
    pid_namespace: str,
    pid: int,
    lease_ms: int,
    silence_ms: int,
    turn_ms: int,
    registration_s: int,
    kept_s: int,
    in_turn: bool = False,
    tells_waiting: bool = False,
) -> Command:
    """Renew a worker's lease, write these fields of RQ's worker hash, and see what is due. `Tended` reads the answer.

    The registration is renewed for `registration_s`, unless that is 0. If no worker renewed its lease for longer than
    `silence_ms`, Redis was away or all workers were, and none is presumed dead. If no worker has a turn, this one gets
    it for `turn_ms`. `kept_s`: how long failed jobs are kept. `in_turn`: jobs of several tenants may wait.
    """
    ours = [*queues.taken, *queues.others]
    times = (lease_ms, silence_ms, turn_ms, registration_s)
    counts = (len(queues.old_names), len(queues.taken), len(queues.others))
    words = ("turns" if in_turn else "", kept_s, NEWLY_FAILED_S, "waiting" if tells_waiting else "")
    flat = [part for pair in fields.items() for part in pair]
    return Command(
        "queue/tend",
        [*queue_keys([*queues.old_names, *ours], *WORKER_KEYS), *map(rq_intermediate_key, ours)],
        [worker, pid_namespace, pid, *times, *counts, *words, *flat],
    )


def reap_workers(queues: Iterable[str], *, lease_ms: int, silence_ms: int, limit: int) -> Command:
    """Give back up to `limit` jobs of workers whose lease has ended. `queues` are all queues of the installation.

    The script returns whether jobs may be left; then the names of the dead workers, each followed by the number of its
    jobs that were given back now.
    """
    return _of_workers("reap_workers", queues, lease_ms, silence_ms, limit)


def enqueue_scheduled(queues: Iterable[str], *, limit: int, in_turn: bool = False) -> Command:
    """Queue scheduled jobs of these queues whose time has come, and drop expired ones from RQ's registries.

    It does so with up to `limit` jobs of each queue and kind. `in_turn`: jobs of several tenants may wait. The script
    returns whether there may be more.
    """
    return Command("queue/enqueue_scheduled", queue_keys(queues, RQ_QUEUES), [limit, "turns" if in_turn else ""])


def move_jobs(queue: str, to: str, state: JobState, start: int, *, limit: int, job_names: Iterable[str]) -> Command:
    """Move jobs of these names to another queue. The script looks at `limit` jobs from position `start` on.

    It returns the position of the next look, 0 after the end, and how many jobs were moved.
    """
    return Command("queue/move_jobs", queue_keys([queue, to]), [to, state, start, limit, *job_names])


def take_back_jobs(
    queue: str, *, within_s: int, not_failed_s: int, kept_s: int, counted_s: int, job_names: Iterable[str]
) -> Command:
    """Queue jobs of these names again that a worker of another application took, while there is time.

    There is time until the job's deadline; without one, for `within_s` after it was queued. A job that has not failed
    is taken back after `not_failed_s`. Failed jobs are kept for `kept_s`, and the counts for `counted_s`. The script
    returns the names of those workers, each followed by the number of its jobs.
    """
    keys = [*queue_keys([queue]), rq_intermediate_key(queue), WORKERS, FOREIGN_WORKERS]
    return Command("queue/take_back_jobs", keys, [queue, within_s, not_failed_s, kept_s, counted_s, *job_names])


def key_of_jobs(queue: str, state: JobState) -> str:
    """Return the key where a queue keeps its jobs in this state."""
    return rq_queue_key(queue) if state == "waiting" else rq_registry_key(state, queue)


def remove_worker(worker: str | bytes, queues: Iterable[str], *, died: bool, limit: int) -> Command:
    """Give back up to `limit` jobs of a worker; if none is left, also its lease and its registration.

    `queues` are those that it served. `died`: another worker noticed that it died. Redis may still give the dead worker
    one more job. The script returns whether jobs may be left.
    """
    return _of_workers("remove_worker", queues, worker, "lost" if died else "left", limit)


def _of_queue(name: str, queue: str, *args: Argument, jobs: Iterable[bytes] = ()) -> Command:
    """Return a script about one queue; `jobs` are those that it is surely about."""
    return Command(f"queue/{name}", (*_keys_for_one_queue(queue), *_keys_of_jobs(jobs)), args)


def _keys_of_jobs(job_ids: Iterable[bytes]) -> Iterator[str]:
    """Yield the keys of jobs. Ids of other applications need not be UTF-8: their keys are left to the script."""
    for job_id in job_ids:
        with contextlib.suppress(UnicodeDecodeError):
            yield rq_job_key(job_id.decode())


def _of_workers(name: str, queues: Iterable[str], *args: Argument) -> Command:
    return Command(f"queue/{name}", queue_keys(queues, *WORKER_KEYS), args)


def queue_keys(queues: Iterable[str], *installation: str) -> list[str]:
    """Return the keys that lua/lib/queue_keys.lua names, in its order; those of the installation are between."""
    return [*SHARED_KEYS, *installation, *(key for queue in queues for key in _keys_of(queue))]


@cache
def _keys_for_one_queue(queue: str) -> tuple[str, ...]:
    return (*SHARED_KEYS, *_keys_of(queue))


@cache
def _keys_of(queue: str) -> tuple[str, ...]:
    registries = (rq_registry_key(registry, queue) for registry in ("wip", "finished", "failed", "scheduled"))
    turns = (turns_key(queue), tenant_queue_key(queue, ""))
    return (rq_queue_key(queue), inflight_key(queue, ""), *registries, rq_workers_key(queue), *turns)
