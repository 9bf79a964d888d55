"""Event -> effects: stamps on its call, a round, a job. One function for each kind of event; pure.

The event and the time alone decide. The Redis script that applies the effects only compares stamps.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import msgspec

from bellhop.clock import Micros, Seconds, micros
from bellhop.domain.call import (
    ONLY_IN_HISTORY,
    RING_MS,
    Stamp,
    clamp_stamp,
    history_fields,
    missed_stamp,
    ring_deadline,
)
from bellhop.domain.outcomes import Outcome
from bellhop.domain.push import STARTED, PushKind
from bellhop.domain.rejections import rejection_stamps
from bellhop.domain.round import Recipient, Round
from bellhop.domain.stamp_history import PastStamp
from bellhop.queue.job_payloads import CallRef
from bellhop.queue.names import NOTIFY_JOB, RING_JOB, SETTLE_JOB, RoundJobName, SettleJobName
from webhook.intake.events import (
    Accepted,
    Ended,
    Event,
    EventUser,
    Left,
    MembersEvent,
    Missed,
    Notification,
    Rejected,
    Removed,
    Ring,
    Started,
    TimedEvent,
)

NOTIFICATION_LIFE_US = 3_600_000_000
"""An invitation to a call that reaches Bellhop later than this is not pushed."""
NEVER = Micros(0)
UNKNOWN_CALLER = "Unknown caller"
"""What phones show if Stream gives no name of the caller."""
NO_FIELDS: Mapping[str, str] = MappingProxyType({})
NO_CALL_TYPES: Mapping[PushKind, Collection[str]] = MappingProxyType({})
SAME_REJECTION_US = 1_000_000
"""A call.rejected contains the call, which may give the rejection another time. Two times that are not further apart
mean the same rejection."""


class EffectRules(msgspec.Struct, frozen=True, gc=False):
    """The settings that effects depend on."""

    tenant: str
    ring_default_s: Seconds
    missed_grace_s: Seconds
    custom_fields: tuple[str, ...] = ()
    """The call's custom fields that an e-mail may show, in this order."""
    call_fields: tuple[str, ...] = ()
    """The call's custom fields that the team's own pushes may use."""
    caller_fields: tuple[str, ...] = ()
    """The caller's picture and custom fields that the team's own pushes may use."""
    started: Mapping[PushKind, Collection[str]] = NO_CALL_TYPES
    """For which types of calls the members get a push when a call begins."""
    ends_rings: bool = False
    """Whether a worker must know at once that a user answered: a push takes the ring away in the user's browsers and on
    iPhones that ring by alerts, and it is announced that the ring is over."""


class RoundWork(NamedTuple):
    """A job to queue about a round."""

    name: RoundJobName
    payload: Round
    started: PushKind | None = None
    """Which push it is, if it tells that a call began."""


class CallWork(NamedTuple):
    """A job to queue about a call."""

    name: SettleJobName
    payload: CallRef


class Effects(msgspec.Struct, frozen=True, gc=False):
    """Everything to apply and queue for one event, in one step."""

    stamps: tuple[tuple[str, Micros], ...] = ()
    history: tuple[tuple[str, Micros], ...] = ()
    """The fields that keep these and other stamps one by one (`bellhop.domain.stamp_history`)."""
    round: Round | None = None
    """A round that begins."""
    missed: Round | None = None
    """A call.missed. It belongs to the rounds that rang these recipients, or becomes a round of its own."""
    settle_at: Micros = NEVER
    """When the watchdog checks whether the round is over."""
    settle_open: bool = False
    """Whether the watchdog checks the call's open rounds now."""
    work: RoundWork | CallWork | None = None
    members: tuple[str, ...] = ()
    """The users that the event is about, for the trail."""
    once: str = ""
    """Of several events with the same text here, only the first is applied. Empty: each event is applied."""
    refused: Outcome | None = None
    """Why nobody is called, though `work` would call somebody. The stamps count in any case."""


NOTHING = Effects()


def effects(event: Event, now: Micros, rules: EffectRules) -> Effects:
    """Work out the effects of `event`, received at `now`."""
    derive = _EFFECTS.get(type(event))
    derived = derive(event, clamp_stamp(event.at, now), rules) if derive else NOTHING
    stamps = (*derived.stamps, *event.snapshot.stamps(now))
    presence = tuple(event.snapshot.presence(now))
    if not stamps and not presence:
        return derived
    in_session = [(name, PastStamp(at, event.session_id)) for name, at in stamps]
    return msgspec.structs.replace(
        derived,
        stamps=tuple((name, at) for name, at in stamps if not name.startswith(ONLY_IN_HISTORY)),
        history=(*derived.history, *history_fields([*in_session, *presence])),
    )


def _ring(event: Ring, at: Micros, rules: EffectRules) -> Effects:
    if not event.members:
        return NOTHING
    deadline = ring_deadline(at, _ring_ms(event, rules), rules.ring_default_s)
    missed_due = ring_deadline(at, event.missed_ms, rules.ring_default_s) if event.missed_ms else NEVER
    members = _ids(event.members)
    new_round = _round(
        event,
        event.caller,
        at,
        rules,
        deadline=deadline,
        missed_due=missed_due if missed_due > deadline else NEVER,
        callers=_callers(event, members),
        video=event.video,
        for_mail=event.custom,
    )
    return Effects(
        round=new_round,
        settle_at=Micros(max(deadline, missed_due) + micros(rules.missed_grace_s)),
        work=RoundWork(RING_JOB, new_round),
        members=members,
    )


def _ring_ms(event: TimedEvent, rules: EffectRules) -> int:
    """Return how long phones ring, by the call's settings; 0 if they do not say it."""
    return max(event.ring_ms or 0, round(rules.ring_default_s * 1000) if event.endless else 0)


def _callers(event: Ring, rung: tuple[str, ...]) -> tuple[str, ...]:
    """Collect the users whose rejection ends the ring for everybody, unless they are rung themselves."""
    return tuple(user for user in dict.fromkeys((event.caller.id, event.created_by_id)) if user and user not in rung)


def _notification(event: Notification, at: Micros, rules: EffectRules) -> Effects:
    deadline = Micros(at + NOTIFICATION_LIFE_US)
    new_round = _round(event, event.sender, at, rules, deadline=deadline, callers=(event.sender.id,))
    return Effects(work=RoundWork(NOTIFY_JOB, new_round), members=_ids(event.members))


def _started(event: Started, at: Micros, rules: EffectRules) -> Effects:
    push = STARTED[event.type]
    if event.cid.partition(":")[0] not in rules.started.get(push, ()):
        return NOTHING
    present = {participant.user_id for participant in event.snapshot.participants}
    told = tuple(member for member in event.members if member.id not in present)
    if event.members and not told:
        return NOTHING
    deadline = Micros(at + NOTIFICATION_LIFE_US)
    new_round = _round(msgspec.structs.replace(event, members=told), event.creator, at, rules, deadline=deadline)
    once = f"{event.type} {event.cid} {event.session_id}" if event.session_id else ""
    return Effects(work=RoundWork(NOTIFY_JOB, new_round, push), members=_ids(told), once=once)


def _missed(event: Missed, at: Micros, rules: EffectRules) -> Effects:
    stamp = Stamp.MISSED if event.notify else Stamp.MISSED_QUIETLY
    # Without its call.ring, only the call's settings tell how long phones may still ring.
    rest_ms = max(0, _ring_ms(event, rules) - event.missed_ms) if event.missed_ms else 0
    rings_until = Micros(at + 1000 * min(rest_ms, RING_MS[1]))
    return Effects(
        stamps=tuple((missed_stamp(stamp, event.session_id, member.id), at) for member in event.members),
        missed=_round(event, event.caller, at, rules, deadline=rings_until, ringless=True, for_mail=event.custom),
        settle_at=at,
        work=_settle_job(event, rules),
        members=_ids(event.members),
    )


def _rejected(event: Rejected, at: Micros, rules: EffectRules) -> Effects:
    # The call inside the event may give the same rejection another stamp: the reason belongs to that one too.
    in_call = event.snapshot.rejected.get(event.user_id, at)
    moments = dict.fromkeys((at, in_call) if abs(in_call - at) <= SAME_REJECTION_US else (at,))
    return Effects(
        stamps=tuple((name, moment) for moment in moments for name in rejection_stamps(event.user_id, event.reason)),
        work=_settle_job(event, rules),
        members=(event.user_id,),
    )


def _accepted(event: Accepted, at: Micros, rules: EffectRules) -> Effects:
    joined = [(Stamp.JOINED + event.user_id, PastStamp(at, event.participant_id))] if event.participant_id else []
    stamps = ((Stamp.ACCEPTED + event.user_id, at),)
    work = _settle_job(event, rules) if rules.ends_rings else None
    return Effects(stamps=stamps, history=history_fields(joined), work=work, members=(event.user_id,))


def _left(event: Left, at: Micros, rules: EffectRules) -> Effects:
    left = (Stamp.LEFT + event.user_id, PastStamp(at, event.participant_id))
    return Effects(history=history_fields([left]), settle_open=True, members=(event.user_id,))


def _removed(event: Removed, at: Micros, rules: EffectRules) -> Effects:
    return Effects(
        stamps=tuple((Stamp.REMOVED + user_id, at) for user_id in event.user_ids),
        work=_settle_job(event, rules),
        members=event.user_ids,
    )


def _ended(event: Ended, at: Micros, rules: EffectRules) -> Effects:
    stamp = Stamp.SESSION_ENDED + event.only_session if event.only_session else Stamp.ENDED
    return Effects(stamps=((stamp, at),), work=_settle_job(event, rules))


_EFFECTS: dict[type, Callable[..., Effects]] = {
    Ring: _ring,
    Notification: _notification,
    Started: _started,
    Missed: _missed,
    Rejected: _rejected,
    Accepted: _accepted,
    Ended: _ended,
    Left: _left,
    Removed: _removed,
}


def _settle_job(event: Event, rules: EffectRules) -> CallWork:
    return CallWork(SETTLE_JOB, CallRef(tenant=rules.tenant, cid=event.cid))


def _ids(users: tuple[EventUser, ...]) -> tuple[str, ...]:
    return tuple(user.id for user in users)


def _round(
    event: MembersEvent,
    caller: EventUser,
    at: Micros,
    rules: EffectRules,
    *,
    deadline: Micros,
    missed_due: Micros = NEVER,
    callers: tuple[str, ...] = (),
    video: bool = False,
    ringless: bool = False,
    for_mail: Mapping[str, str] = NO_FIELDS,
) -> Round:
    return Round(
        tenant=rules.tenant,
        cid=event.cid,
        session_id=event.session_id,
        started_at=at,
        deadline=deadline,
        missed_due=missed_due,
        caller_id=caller.id,
        caller_name=caller.name or UNKNOWN_CALLER,
        callers=callers,
        call_name=event.call_name,
        custom=_allowed(for_mail, rules.custom_fields),
        call_fields=_allowed(event.custom, rules.call_fields),
        caller_fields=dict(event.caller_fields),
        video=video,
        ringless=ringless,
        recipients=tuple(map(_recipient, event.members)),
    )


def _allowed(fields: Mapping[str, str], names: Iterable[str]) -> dict[str, str]:
    return {name: fields[name] for name in names if name in fields}


def _recipient(member: EventUser) -> Recipient:
    return Recipient(
        id=member.id,
        name=member.name,
        language=member.language,
        email=member.custom_email,
        muted_until=member.muted_until,
        blocks_caller=member.blocks_caller,
    )
