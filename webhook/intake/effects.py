"""Event -> effects: stamps on its call, a round, a job. One function for each kind of event; pure.

The event and the time alone decide. The Redis script that applies the effects only compares stamps.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import NamedTuple

from bellhop.clock import Micros, Seconds, micros
from bellhop.domain.call import Stamp, clamp_stamp, missed_stamp, ring_deadline
from bellhop.domain.round import Recipient, Round
from bellhop.queue.job_payloads import CallRef
from bellhop.queue.names import NOTIFY_JOB, RING_JOB, SETTLE_JOB, RoundJobName, SettleJobName
from webhook.intake.events import Accepted, Ended, Event, EventUser, Missed, Notification, Rejected, Ring

NOTIFICATION_LIFE_US = 3_600_000_000
"""An invitation to a call that reaches Bellhop later than this is not pushed."""
NEVER = Micros(0)
REASONS = {"busy": Stamp.BUSY, "timeout": Stamp.TIMED_OUT}
"""The stamp for each reason of a callee's rejection. Any other reason, or none, means declined."""


@dataclass(frozen=True, slots=True)
class EffectRules:
    """The settings that effects depend on."""

    tenant: str
    ring_default_s: Seconds
    missed_grace_s: Seconds
    custom_fields: tuple[str, ...] = ()
    """The call's custom fields that an e-mail may show, in this order."""


class RoundWork(NamedTuple):
    """A job to queue about a round."""

    name: RoundJobName
    payload: Round


class CallWork(NamedTuple):
    """A job to queue about a call."""

    name: SettleJobName
    payload: CallRef


@dataclass(frozen=True, slots=True)
class Effects:
    """Everything to apply and queue for one event, in one step."""

    stamps: tuple[tuple[str, Micros], ...] = ()
    round: Round | None = None
    """A round that begins."""
    missed: Round | None = None
    """A call.missed. It belongs to the rounds that rang these recipients, or becomes a round of its own."""
    settle_at: Micros = NEVER
    """When the watchdog checks whether the round is over."""
    work: RoundWork | CallWork | None = None
    members: tuple[str, ...] = ()
    """The users that the event is about, for the trail."""


def effects(event: Event, now: Micros, rules: EffectRules) -> Effects:
    """Work out the effects of `event`, received at `now`."""
    derive = _EFFECTS.get(type(event))
    derived = derive(event, clamp_stamp(event.at, now), rules) if derive else Effects()
    from_snapshot = ((stamp, clamp_stamp(at, now)) for stamp, at in _snapshot_stamps(event))
    return replace(derived, stamps=(*derived.stamps, *from_snapshot))


def _snapshot_stamps(event: Event) -> Iterator[tuple[str, Micros]]:
    snapshot = event.snapshot
    yield from ((Stamp.ACCEPTED + user_id, at) for user_id, at in snapshot.accepted.items())
    yield from ((Stamp.REJECTED + user_id, at) for user_id, at in snapshot.rejected.items())
    if snapshot.ended_at is not None:
        yield Stamp.ENDED, snapshot.ended_at


def _ring(event: Ring, at: Micros, rules: EffectRules) -> Effects:
    if not event.members:
        return Effects()
    deadline = ring_deadline(at, event.ring_ms, rules.ring_default_s)
    new_round = _round(
        event,
        event.caller,
        at,
        rules,
        deadline=deadline,
        callers=_callers(event),
        video=event.video,
        custom=event.custom,
    )
    return Effects(
        round=new_round,
        settle_at=Micros(deadline + micros(rules.missed_grace_s)),
        work=RoundWork(RING_JOB, new_round),
        members=_ids(event.members),
    )


def _callers(event: Ring) -> tuple[str, ...]:
    """Collect the users whose rejection ends the ring for everybody, unless they are rung themselves."""
    rung = _ids(event.members)
    return tuple(user for user in dict.fromkeys((event.caller.id, event.created_by_id)) if user and user not in rung)


def _notification(event: Notification, at: Micros, rules: EffectRules) -> Effects:
    deadline = Micros(at + NOTIFICATION_LIFE_US)
    new_round = _round(event, event.sender, at, rules, deadline=deadline, callers=(event.sender.id,))
    return Effects(work=RoundWork(NOTIFY_JOB, new_round), members=_ids(event.members))


def _missed(event: Missed, at: Micros, rules: EffectRules) -> Effects:
    stamp = Stamp.MISSED if event.notify else Stamp.MISSED_QUIETLY
    return Effects(
        stamps=tuple((missed_stamp(stamp, event.session_id, member.id), at) for member in event.members),
        missed=_round(event, event.caller, at, rules, deadline=at, ringless=True, custom=event.custom),
        settle_at=at,
        work=_settle_job(event, rules),
        members=_ids(event.members),
    )


def _rejected(event: Rejected, at: Micros, rules: EffectRules) -> Effects:
    reason = REASONS.get(event.reason, Stamp.DECLINED)
    return Effects(
        stamps=((reason + event.user_id, at), (Stamp.REJECTED + event.user_id, at)),
        work=_settle_job(event, rules),
        members=(event.user_id,),
    )


def _accepted(event: Accepted, at: Micros, rules: EffectRules) -> Effects:
    return Effects(stamps=((Stamp.ACCEPTED + event.user_id, at),), members=(event.user_id,))


def _ended(event: Ended, at: Micros, rules: EffectRules) -> Effects:
    stamp = Stamp.SESSION_ENDED + event.only_session if event.only_session else Stamp.ENDED
    return Effects(stamps=((stamp, at),), work=_settle_job(event, rules))


_EFFECTS: dict[type, Callable[..., Effects]] = {
    Ring: _ring,
    Notification: _notification,
    Missed: _missed,
    Rejected: _rejected,
    Accepted: _accepted,
    Ended: _ended,
}


def _settle_job(event: Event, rules: EffectRules) -> CallWork:
    return CallWork(SETTLE_JOB, CallRef(tenant=rules.tenant, cid=event.cid))


def _ids(users: tuple[EventUser, ...]) -> tuple[str, ...]:
    return tuple(user.id for user in users)


def _round(
    event: Ring | Notification | Missed,
    caller: EventUser,
    at: Micros,
    rules: EffectRules,
    *,
    deadline: Micros,
    callers: tuple[str, ...] = (),
    video: bool = False,
    ringless: bool = False,
    custom: Mapping[str, str] = MappingProxyType({}),
) -> Round:
    return Round(
        tenant=rules.tenant,
        cid=event.cid,
        session_id=event.session_id,
        started_at=at,
        deadline=deadline,
        caller_id=caller.id,
        caller_name=caller.name or "Unknown caller",
        callers=callers,
        call_name=event.call_name,
        custom={name: custom[name] for name in rules.custom_fields if name in custom},
        video=video,
        ringless=ringless,
        recipients=tuple(_recipient(member) for member in event.members),
    )


def _recipient(member: EventUser) -> Recipient:
    return Recipient(id=member.id, name=member.name, language=member.language, email=member.custom_email)
