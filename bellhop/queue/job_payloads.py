"""The payloads of jobs: one union, whose tag is the job's name. Pure.

The web process writes them and the worker reads them. Each job carries one payload: `QueuedRound`, `CallRef`,
`EmailRef`, `RejectRef` or `OutboxRef`, by its name. A payload's `v` is its version. A worker reads every version that
it knows; a job with another version fails with a sentence, and can be run again after an upgrade.
"""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal, overload

from bellhop.clock import Micros
from bellhop.domain.push import PushKind
from bellhop.domain.round import FrozenModel, Moment, Rare, Round
from bellhop.queue.names import (
    FAILURE_TTL_S,
    JOB_TIMEOUT_S,
    MAIL_JOB,
    NOTICE_JOB,
    NOTIFY_JOB,
    QUEUE_OF,
    REJECT_JOB,
    RESULT_TTL_S,
    RETRIED_AFTER_S,
    RING_JOB,
    SEND_EVENTS_JOB,
    SETTLE_JOB,
    TELL_CALLER_JOB,
    MailJobName,
    OutboxJobName,
    RejectJobName,
    RoundJobName,
    SettleJobName,
)

VERSION: Literal[1] = 1
"""The version of payloads that this worker reads. It must not change while an older worker may run jobs that a newer
web process queues. Fields may be added, with a default; old fields keep their meaning (docs/deploy.md, Upgrading)."""
STARTED_VERSION: Literal[2] = 2
"""The version of a StartedRound. A worker that does not know it runs the job again later, so that a newer worker sends
the push; by version 1 it would send a notification instead."""


class Cause(FrozenModel):
    """The webhook that a job, or a stored round, comes from (`bellhop.telemetry.correlation`).

    Jobs of older versions and of the watchdog name no cause.
    """

    webhook: str = ""
    """The digest of the webhook's id. All log lines about one webhook show it."""
    queued_at: Moment = Micros(0)
    """When the job was queued."""
    trace: str = ""
    """The span that queued it, as a W3C traceparent."""
    v: Literal[1, 2] = VERSION


class QueuedRound(Round, Cause):
    """A round as its jobs carry it and as Redis keeps it."""

    still_rings: Annotated[bool, Rare] = False
    """Of a notice: phones may still ring at Stream. Nothing that ends a ring is sent; another job follows later."""
    left_over: Annotated[bool, Rare] = False
    """Of a notice: it is that other job, which sends what the first one had to leave."""


class StartedRound(QueuedRound):
    """A call that went live, or that the first person joined. Without recipients, the worker asks Stream for them."""

    push: PushKind
    v: Literal[1, 2] = STARTED_VERSION


class CallRef(Cause):
    """Names a call whose open rounds may have recipients to settle."""

    tenant: str
    cid: str


class EmailRef(FrozenModel):
    """Names an e-mail that waits in Redis until it is due."""

    v: Literal[1] = 1
    letter: str


class RejectRef(Cause):
    """Names a user who declined a ring on a phone. Stream does not know it yet."""

    tenant: str
    cid: str
    started_at: Moment
    """The round's stamp."""
    deadline: Moment
    """After this time, nothing is sent to Stream: the ring is over."""
    user: str
    reason: str
    """Stream's word for it: decline or busy."""


class OutboxRef(Cause):
    """Names the announcements about one subject that wait for one destination (`bellhop.audience`)."""

    destination: str
    tenant: str
    subject: str
    """A call's cid, `device:<key>`, or `alarm`."""


class UnknownVersion(ValueError):  # noqa: N818 - names what is wrong with a payload
    """A payload has a version that this worker does not know. The message contains nothing of the payload."""


Payload = QueuedRound | CallRef | EmailRef | RejectRef | OutboxRef

PAYLOADS: dict[str, type[Payload]] = {
    RING_JOB: QueuedRound,
    NOTIFY_JOB: QueuedRound,
    SETTLE_JOB: CallRef,
    NOTICE_JOB: QueuedRound,
    MAIL_JOB: EmailRef,
    REJECT_JOB: RejectRef,
    TELL_CALLER_JOB: OutboxRef,
    SEND_EVENTS_JOB: OutboxRef,
}
"""All jobs, by name. A job of any other name is refused: RQ's job names are import paths."""


def queued_round(round_: Round, cause: Cause) -> QueuedRound:
    """Tie a round to the webhook that it comes from."""
    return QueuedRound(**{**round_.__dict__, **cause.__dict__})


def started_round(round_: Round, cause: Cause, push: PushKind) -> StartedRound:
    """Return the payload of a job about a call that began."""
    return StartedRound(**{**round_.__dict__, **cause.__dict__, "push": push, "v": STARTED_VERSION})


@overload
def job(job_id: str, name: RoundJobName, payload: QueuedRound) -> dict[str, str]: ...
@overload
def job(job_id: str, name: SettleJobName, payload: CallRef | None = None) -> dict[str, str]: ...
@overload
def job(job_id: str, name: MailJobName, payload: EmailRef) -> dict[str, str]: ...
@overload
def job(job_id: str, name: RejectJobName, payload: RejectRef) -> dict[str, str]: ...
@overload
def job(job_id: str, name: OutboxJobName, payload: OutboxRef) -> dict[str, str]: ...
def job(job_id: str, name: str, payload: Payload | None = None) -> dict[str, str]:
    """Describe a job for lib/enqueue.lua. Without a payload, the script that queues it adds the data."""
    fields = {
        "id": job_id,
        "name": name,
        "queue": QUEUE_OF[name],
        # RQ's default description shows the arguments, and with them users' names. So it is a fixed text.
        "description": name,
        "timeout": str(JOB_TIMEOUT_S),
        "result_ttl": str(RESULT_TTL_S),
        "failure_ttl": str(FAILURE_TTL_S),
    }
    if isinstance(payload, RejectRef) or (isinstance(payload, QueuedRound) and name == RING_JOB):
        fields["deadline"] = str(payload.deadline)
    if payload is not None:
        # The call as RQ's JSON serializer stores it: function, instance, positional and keyword arguments.
        fields["data"] = f'["{name}",null,[{payload.as_json()}],{{}}]'
    if name in RETRIED_AFTER_S:
        fields["retries_left"] = str(len(RETRIED_AFTER_S[name]))
        fields["retry_intervals"] = json.dumps(RETRIED_AFTER_S[name])
    return fields


@overload
def read_payload(job_name: RoundJobName, payload: Mapping[str, Any]) -> QueuedRound: ...
@overload
def read_payload(job_name: SettleJobName, payload: Mapping[str, Any]) -> CallRef: ...
@overload
def read_payload(job_name: MailJobName, payload: Mapping[str, Any]) -> EmailRef: ...
@overload
def read_payload(job_name: RejectJobName, payload: Mapping[str, Any]) -> RejectRef: ...
@overload
def read_payload(job_name: OutboxJobName, payload: Mapping[str, Any]) -> OutboxRef: ...
def read_payload(job_name: str, payload: Mapping[str, Any]) -> Payload:
    """Read a payload that was queued by this version or an older one.

    Raises UnknownVersion with a sentence, and pydantic's ValidationError.
    """
    model = PAYLOADS[job_name]
    version = payload.get("v")
    if job_name == NOTIFY_JOB and version == STARTED_VERSION:
        return StartedRound.model_validate(payload)
    if version != VERSION:
        shown = version if isinstance(version, int) else type(version).__name__
        raise UnknownVersion(f"{job_name} has payload version {shown}; this worker knows version {VERSION}: upgrade it")
    return model.model_validate(payload)
