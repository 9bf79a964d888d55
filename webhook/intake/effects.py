"""What an event does: event -> stamps on its call, a round, a job. One table; pure.

Everything here is decided from the event and the clock alone, so that the one Redis script that applies it only has to
compare stamps.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from bellhop.clock import Micros, Seconds, micros
from bellhop.domain.call import Stamp, clamp_stamp, missed_stamp, ring_deadline
from bellhop.domain.round import Recipient, Round
from bellhop.queue.job_payloads import CallRef
from bellhop.queue.names import NOTIFY_JOB, RING_JOB, SETTLE_JOB
from webhook.intake.events import Accepted, Ended, Event, EventUser, Missed, Notification, Rejected, Ring

NOTHING: Mapping[str, str] = {}
NOTIFICATION_LIFE_US = 3_600_000_000
"""An invitation to a call that reaches Bellhop later than this is not passed on."""
REASONS = {"busy": Stamp.BUSY, "timeout": Stamp.TIMED_OUT}
"""What a callee's rejection means; any other reason, or none, is a decline."""


@dataclass(frozen=True, slots=True)
class EffectRules:
    """What the effects depend on besides the event."""

    tenant: str
    ring_default_s: Seconds
    missed_grace_s: Seconds
    custom_fields: tuple[str, ...] = ()
    """The call's custom fields that an e-mail may show, in this order."""


class Work(NamedTuple):
    """A job to queue: its name and what it is about."""

    name: str
    payload: Round | CallRef


@dataclass(frozen=True, slots=True)
class Effects:
    """What to apply and queue, in one step."""

    stamps: tuple[tuple[str, Micros], ...] = ()
    round: Round | None = None
    """A round that begins."""
    missed: Round | None = None
    """A call.missed: it belongs to the rounds that rang these recipients, or is a round of its own."""
    settle_at: Micros = Micros(0)
    """When the watchdog looks whether the round is over."""
    work: Work | None = None
    members: tuple[str, ...] = ()
    """Whom the event is about, for the trail."""


def effects(event: Event, now: Micros, settings: EffectRules) -> Effects:
    """Work out what `event`, taken in at `now` (unix µs), does."""
    find = _EFFECTS.get(type(event))
    found = find(event, clamp_stamp(event.at, now), settings) if find else Effects()
    learned = [
        *((Stamp.ACCEPTED + user, at) for user, at in event.learned.accepted.items()),
        *((Stamp.REJECTED + user, at) for user, at in event.learned.rejected.items()),
        (Stamp.ENDED, event.learned.ended_at),
    ]
    stamps = (*found.stamps, *((mark, clamp_stamp(at, now)) for mark, at in learned if at is not None))
    return replace(found, stamps=stamps)


def _ring(event: Ring, at: Micros, settings: EffectRules) -> Effects:
    if not event.members:
        return Effects()
    deadline = ring_deadline(at, event.ring_ms, settings.ring_default_s)
    rung = _ids(event.members)
    callers = tuple(user for user in dict.fromkeys((event.caller.id, event.created_by_id)) if user and user not in rung)
    round_ = _round(
        event,
        event.caller,
        event.members,
        at,
        deadline,
        settings,
        video=event.video,
        callers=callers,
        custom=event.custom,
    )
    return Effects(
        round=round_,
        settle_at=Micros(deadline + micros(settings.missed_grace_s)),
        work=Work(RING_JOB, round_),
        members=rung,
    )


def _notification(event: Notification, at: Micros, settings: EffectRules) -> Effects:
    callers, deadline = (event.sender.id,), Micros(at + NOTIFICATION_LIFE_US)
    round_ = _round(event, event.sender, event.members, at, deadline, settings, callers=callers)
    return Effects(work=Work(NOTIFY_JOB, round_), members=_ids(event.members))


def _missed(event: Missed, at: Micros, settings: EffectRules) -> Effects:
    mark = Stamp.MISSED if event.notify else Stamp.MISSED_QUIETLY
    return Effects(
        stamps=tuple((missed_stamp(mark, event.session_id, member.id), at) for member in event.members),
        missed=_round(event, event.caller, event.members, at, at, settings, ringless=True, custom=event.custom),
        settle_at=at,
        work=_settle(event, settings),
        members=_ids(event.members),
    )


def _rejected(event: Rejected, at: Micros, settings: EffectRules) -> Effects:
    reason = REASONS.get(event.reason, Stamp.DECLINED)
    return Effects(
        stamps=((reason + event.user_id, at), (Stamp.REJECTED + event.user_id, at)),
        work=_settle(event, settings),
        members=(event.user_id,),
    )


def _accepted(event: Accepted, at: Micros, settings: EffectRules) -> Effects:
    return Effects(stamps=((Stamp.ACCEPTED + event.user_id, at),), members=(event.user_id,))


def _ended(event: Ended, at: Micros, settings: EffectRules) -> Effects:
    mark = Stamp.SESSION_ENDED + event.only_session if event.only_session else Stamp.ENDED
    return Effects(stamps=((mark, at),), work=_settle(event, settings))


_EFFECTS: dict[type, Callable[..., Effects]] = {
    Ring: _ring,
    Notification: _notification,
    Missed: _missed,
    Rejected: _rejected,
    Accepted: _accepted,
    Ended: _ended,
}


def _settle(event: Event, settings: EffectRules) -> Work:
    return Work(SETTLE_JOB, CallRef(tenant=settings.tenant, cid=event.cid))


def _ids(people: tuple[EventUser, ...]) -> tuple[str, ...]:
    return tuple(person.id for person in people)


def _round(
    event: Ring | Notification | Missed,
    caller: EventUser,
    people: tuple[EventUser, ...],
    at: Micros,
    deadline: Micros,
    settings: EffectRules,
    *,
    callers: tuple[str, ...] = (),
    video: bool = False,
    ringless: bool = False,
    custom: Mapping[str, str] = NOTHING,
) -> Round:
    return Round(
        tenant=settings.tenant,
        cid=event.cid,
        session_id=event.session_id,
        started_at=at,
        deadline=deadline,
        caller_id=caller.id,
        caller_name=caller.name or "Unknown caller",
        callers=callers,
        call_name=event.call_name,
        custom={name: custom[name] for name in settings.custom_fields if name in custom},
        video=video,
        ringless=ringless,
        recipients=tuple(
            Recipient(id=person.id, name=person.name, language=person.language, email=person.custom_email)
            for person in people
        ),
    )
