"""What crosses the queue: queue names, job names and small versioned payloads. Pure.

The door writes it and the worker reads it. A payload's `v` is its version: a worker reads every version it knows,
and one that it does not know ends in RQ's failed registry with a sentence, where it can be run again after an
upgrade.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

RINGS = "rings"
NOTICES = "notices"
MAIL = "mail"
QUEUES = (RINGS, NOTICES, MAIL)

RING_JOB = "worker.jobs.ring"
NOTIFY_JOB = "worker.jobs.notify"
SETTLE_JOB = "worker.jobs.settle"
NOTICE_JOB = "worker.jobs.notice"
MAIL_JOB = "worker.jobs.mail"

VERSION = 1
"""Of the payloads that this version reads. It stays the same for as long as an older worker may run what a newer door
queues: fields may be added, with a default, and old ones keep their meaning (docs/deploy.md, Upgrading)."""

WORKERS = "bellhop:workers"
"""The Redis set of worker names; each of them is alive while the key bellhop:worker:<name> exists."""

WORKER_FAILED = "bellhop:worker-failed"
"""The Redis key that says, for a while, why a worker could not start."""
STATUS = "bellhop:status:"
"""What a worker says of itself (`worker.status`) is at this Redis key with its name behind."""

JOB_TIMEOUT_S = 300
"""Longer than any ring may last (180 s); RQ's own limit, only a net under ours."""
RESULT_TTL_S = 60
FAILURE_TTL_S = 24 * 3600
"""How long RQ keeps a finished and a failed job. Both hold user ids and names, so not for long."""

Micros = Annotated[int, Field(ge=0)]
"""A moment: unix time in microseconds."""


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _Caused(_Value):
    """What ties a job to its cause (`worker.telemetry.correlation`); older jobs, and the watchdog's, name none."""

    webhook: str = ""
    """The digest of the webhook that it came from: the id that log lines share."""
    queued_at: Annotated[int, Field(ge=0)] = 0
    """When it was queued, unix time in microseconds."""
    trace: str = ""
    """The span it belongs to, as W3C's traceparent."""


class Recipient(_Value):
    """A user that an event is for; the caller never is one."""

    id: str
    name: str = ""
    language: str = ""
    email: str = ""


class Round(_Caused):
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
    callers: tuple[str, ...] = ()
    """Whose rejection ends the ring for everybody: who rings and who created the call, unless they are rung."""
    call_name: str = ""
    custom: dict[str, str] = {}
    """The call's custom fields that an e-mail may show, as the settings say."""
    video: bool = False
    recipients: tuple[Recipient, ...] = ()
    ringless: bool = False
    """Known from its call.missed alone: nothing was rung."""


class CallRef(_Caused):
    """Names a call whose open rounds may have something to settle."""

    v: Literal[1] = 1
    tenant: str
    cid: str


class LetterRef(_Value):
    """Names an e-mail that waits in Redis for its time."""

    v: Literal[1] = 1
    letter: str


class UnknownVersion(ValueError):  # noqa: N818 - it is what is wrong with a payload
    """A payload of a version that this worker does not know. The message says so, and holds nothing of the payload."""


Payload = Round | CallRef | LetterRef

PAYLOADS: dict[str, type[Round] | type[CallRef] | type[LetterRef]] = {
    RING_JOB: Round,
    NOTIFY_JOB: Round,
    SETTLE_JOB: CallRef,
    NOTICE_JOB: Round,
    MAIL_JOB: LetterRef,
}
"""Every job there is. A job of any other name is refused, whatever it says: see RQ's import paths."""


RETRIED_AFTER_S = dict.fromkeys((NOTICE_JOB, NOTIFY_JOB, MAIL_JOB), (60, 300, 1800))
"""How long after each failure a job is run again (RQ's Retry): within the two hours for which it is known which phones
have their notice already. A ring is repeated inside its job, or too late; the watchdog queues what settles anew. What a
provider or a mail server refused for now is repeated by the job itself: this is for a Redis that is away for longer
than a job may take."""

QUEUE_OF = {RING_JOB: RINGS, NOTIFY_JOB: NOTICES, SETTLE_JOB: NOTICES, NOTICE_JOB: NOTICES, MAIL_JOB: MAIL}


def job(job_id: str, name: str, payload: Payload | None = None, people: str | None = None) -> dict[str, str]:
    """Word a job as worker/lua/enqueue.lua wants it. Without a payload the script that queues it adds the data.

    `people` names those to read of when the job begins (`worker.storage.registry`).
    """
    fields = {
        "id": job_id,
        "name": name,
        "queue": QUEUE_OF[name],
        # RQ's own description shows the arguments, which are people's names: a fixed text instead.
        "description": name,
        "timeout": str(JOB_TIMEOUT_S),
        "result_ttl": str(RESULT_TTL_S),
        "failure_ttl": str(FAILURE_TTL_S),
    }
    if payload is not None:
        # The call as RQ's JSON serializer stores it: function, instance, positional and keyword arguments.
        fields["data"] = json.dumps([name, None, [payload.model_dump()], {}], separators=(",", ":"))
    if people is not None:
        fields["people"] = people
    if name in RETRIED_AFTER_S:
        fields["retries_left"] = str(len(RETRIED_AFTER_S[name]))
        fields["retry_intervals"] = json.dumps(RETRIED_AFTER_S[name])
    return fields


def iso(at: int) -> str:
    """A moment (unix µs) as RQ writes it."""
    return datetime.fromtimestamp(at / 1e6, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def read_payload(job_name: str, payload: Mapping[str, Any]) -> Payload:
    """Read a payload that was queued by this or an older version.

    Raises UnknownVersion with a sentence for people, and pydantic's ValidationError.
    """
    model = PAYLOADS[job_name]
    if payload.get("v") != VERSION:
        version = payload.get("v")
        shown = version if isinstance(version, int) else type(version).__name__
        raise UnknownVersion(f"{job_name} has payload version {shown}; this worker knows version {VERSION}: upgrade it")
    return model.model_validate(payload)
