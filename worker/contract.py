"""What crosses the queue: queue names, job names and small versioned payloads. Pure; the door writes it, the worker reads it.

A payload's `v` is its version. A worker reads every version it knows; a version it does not know ends in the failed registry
with a sentence, and no job of it is lost.
"""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

RINGS = "rings"
NOTICES = "notices"
QUEUES = (RINGS, NOTICES)

RING_JOB = "worker.jobs.ring"
NOTIFY_JOB = "worker.jobs.notify"
SETTLE_JOB = "worker.jobs.settle"
NOTICE_JOB = "worker.jobs.notice"

JOB_TIMEOUT_S = 300
"""Longer than any ring may last (180 s); RQ's own limit, only a net under ours."""
RESULT_TTL_S = 60
FAILURE_TTL_S = 24 * 3600
"""How long RQ keeps a finished and a failed job. Both hold user ids and names, so not for long."""

Micros = Annotated[int, Field(ge=0)]
"""A moment: unix time in microseconds."""


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Recipient(_Value):
    """A user that an event is for; the caller never is one."""

    id: str
    name: str = ""
    language: str = ""
    email: str = ""


class Round(_Value):
    """One ringing of one call, or of one quiet notification."""

    v: Literal[1] = 1
    tenant: str
    cid: str
    session_id: str
    started_at: Micros
    """Stream's created_at of the event: with the call and session, the name of the round."""
    deadline: Micros
    """No push is sent from here on."""
    caller_id: str
    caller_name: str
    call_name: str = ""
    video: bool = False
    recipients: tuple[Recipient, ...] = ()
    ringless: bool = False
    """Known from its call.missed alone: nothing was rung."""


class CallRef(_Value):
    """Names a call whose open rounds may have something to settle."""

    v: Literal[1] = 1
    tenant: str
    cid: str


PAYLOADS: dict[str, type[Round] | type[CallRef]] = {
    RING_JOB: Round,
    NOTIFY_JOB: Round,
    SETTLE_JOB: CallRef,
    NOTICE_JOB: Round,
}
"""Every job there is. A job of any other name is refused, whatever it says: see RQ's import paths."""


class Job(NamedTuple):
    """A job to queue."""

    id: str
    queue: str
    name: str
    payload: Round | CallRef

    def data(self) -> str:
        """The job's call as RQ's JSON serializer stores it: function, instance, positional and keyword arguments."""
        return json.dumps([self.name, None, [self.payload.model_dump()], {}], separators=(",", ":"))


def read_payload(job_name: str, payload: Mapping[str, Any]) -> Round | CallRef:
    """Read a payload that was queued by this or an older version. Raises ValueError with a sentence for people."""
    model = PAYLOADS[job_name]
    if payload.get("v") != 1:
        raise ValueError(f"{job_name} has payload version {payload.get('v')!r}; this worker knows version 1: upgrade it")
    return model.model_validate(payload)
