"""RQ's data model, as far as running a job goes: reading what a job calls, and recording what became of it.

Each step is one Lua call (lua/popped.lua, start.lua, finish.lua, fail.lua, requeue.lua), and all but popped.lua may be
repeated until Redis has answered: a job that has run is never run again because its bookkeeping got lost. The steps
write RQ's own keys, so `rq info`, `rq requeue`, dashboards and rq's classes read them; RQ itself needs 20 round trips
for the same.
"""

import asyncio
import base64
import traceback
import zlib
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import structlog
from pydantic import ValidationError
from pydantic_core import from_json
from redis.exceptions import RedisError, ResponseError

from worker.contract import FAILURE_TTL_S, RESULT_TTL_S, UnknownVersion
from worker.storage.outage import until_redis_answers
from worker.storage.scripts import Argument, Command
from worker.storage.store import Store

log = structlog.get_logger()

REFUSED_PAUSE_S = 1.0
MAX_DATA_BYTES = 8 * 1024 * 1024
"""As much as a job's data may inflate to."""


class JobError(Exception):
    """Raised by a handler: the job failed, and the text, which is shown and logged, says why."""


class PermanentError(JobError):
    """The same, where trying again cannot help: the job fails at once, whatever retries it has left."""


class Started(NamedTuple):
    """A job that is now this worker's to run."""

    id: bytes
    began: bytes
    """When this run of it began, as RQ writes a moment: its name among the job's runs."""
    data: bytes
    timeout_s: float | None
    lost_workers: int
    """How many workers died while they ran it."""
    people: Any
    """What lua/people_of.lua says of the people that the job names; None when it names none."""

    @classmethod
    def of(cls, answer: list[Any]) -> "Started":
        """Read what lua/begin_job.lua says of one."""
        job_id, began, data, timeout, lost_workers, people = answer
        return cls(job_id, began, data, _timeout_s(timeout), int(lost_workers), people)


class Ledger:
    """Records what one worker does with its jobs. Every method repeats itself until Redis has answered."""

    def __init__(self, store: Store, worker: str) -> None:
        self.store, self.worker = store, worker

    async def start(self, queue: str, job_id: bytes) -> Started | None:
        """Begin a job that is on the in-flight list; None when it is not to be run."""
        answer = await self._record(_step("start", queue, self.worker, job_id))
        return Started.of(answer) if answer else None

    async def pop(self, store: Store, queue: str, most: int, wait_s: float) -> list[Started]:
        """Take up to `most` jobs from the queue onto the in-flight list and begin them, in one round trip.

        Waits for the first. Alone of all methods it makes a single attempt: it raises as `store` does, and there may be
        jobs on the list then.
        """
        pop = ("BLMOVE", f"rq:queue:{queue}", inflight_key(queue, self.worker), "LEFT", "RIGHT", wait_s)
        _, answer = await store.together(pop, _step("popped", queue, self.worker, most))
        return [Started.of(one) for one in answer]

    async def finish(self, queue: str, job: Started, last: Sequence[Command] = ()) -> bool:
        """Do what is `last` to do and mark the job finished; False when it was given to another worker meanwhile."""
        return bool(await self._record(*last, _step("finish", queue, self.worker, job.id, job.began, RESULT_TTL_S)))

    async def fail(
        self, queue: str, job: Started, reason: str, verdict: Literal["failed", "stopped", "retry"]
    ) -> str | None:
        """Record a failure, or queue the job again if it may be retried; its status now, None if it was not ours."""
        packed = base64.b64encode(zlib.compress(reason.encode()))
        step = _step("fail", queue, self.worker, job.id, job.began, verdict, packed, FAILURE_TTL_S)
        status = await self._record(step)
        return status.decode() if status is not None else None

    async def hand_back(self, queue: str, *jobs: Started) -> None:
        """Give jobs back unfinished, to the front of their queue."""
        if jobs:  # the first comes last, and so to the very front
            await self._record(*(_step("requeue", queue, self.worker, job.id, job.began) for job in reversed(jobs)))

    async def _record(self, *steps: Command) -> Any:
        """Take the steps together until Redis has taken them; the answer of the last."""
        while True:
            try:
                return (await until_redis_answers(lambda: self.store.together(*steps)))[-1]
            except ResponseError as error:
                # Out of memory, read-only, …: an operator's to mend. Giving up would run the job again.
                await refused(steps[-1].script, error)


async def refused(step: str, error: RedisError) -> None:
    """Log what Redis said instead of taking a step, and pause before it is asked again."""
    log.error("redis_refuses", step=step, error=type(error).__name__, text=str(error)[:200])
    await asyncio.sleep(REFUSED_PAUSE_S)


def _step(script: str, *args: Argument) -> Command:
    return Command(script, [], args)


def inflight_key(queue: str, worker: str) -> str:
    """Name the list of job ids that a worker has taken from a queue and not yet finished."""
    return f"bellhop:inflight:{queue}:{worker}"


def inflated(data: bytes) -> bytes:
    """Inflate what RQ has deflated, up to MAX_DATA_BYTES. Raises ValueError for more, and for anything else."""
    inflater = zlib.decompressobj()
    try:
        whole = inflater.decompress(data, MAX_DATA_BYTES)
    except zlib.error:
        raise ValueError("it is not deflated") from None
    if inflater.unconsumed_tail:
        raise ValueError("it is too large")
    return whole


def read_call(data: bytes) -> tuple[str, dict[str, Any]]:
    """Read RQ's job data, JSON [function name, null, [payload], {}], deflated or not: the name and the payload.

    Raises PermanentError for anything else. The name only ever selects a handler; nothing is imported by it.
    """
    try:
        if not data.startswith(b"["):
            data = inflated(data)
        name, instance, (payload,), kwargs = from_json(data)
    except (ValueError, TypeError) as error:
        raise PermanentError(
            "the job's data cannot be read: it is no call as RQ's JSON serializer stores it"
        ) from error
    if not isinstance(name, str) or not isinstance(payload, dict) or instance is not None or kwargs:
        raise PermanentError("the job's data is not a call of a named function with one object")
    return name, payload


def reason_of(error: BaseException) -> str:
    """Say in one line why a job failed, without a value from its payload, fit for logs.

    The text of an unexpected exception may hold anything, so it stays out: its type and place tell a developer enough.
    """
    if isinstance(error, JobError | UnknownVersion):
        return " ".join(str(error).split())[:500]
    if isinstance(error, ValidationError):
        details = error.errors(include_input=False, include_url=False, include_context=False)
        return "; ".join(f"{'.'.join(map(str, detail['loc']))}: {detail['type']}" for detail in details)[:500]
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {frames[-1].filename}:{frames[-1].lineno} in {frames[-1].name}" if frames else ""
    return f"{type(error).__name__}{place}"


def _timeout_s(text: bytes) -> float | None:
    """Read RQ's timeout: whole seconds, -1 for none, 180 when it says nothing."""
    try:
        seconds = int(text or b"180")
    except ValueError:
        seconds = 180
    return seconds if seconds > 0 else None
