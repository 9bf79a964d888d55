"""Apply an event to the call's state and queue its job, in one atomic Redis script.

The script claims the webhook too, by its body. So an event is applied once, although Stream repeats it, somebody posts
it again under another webhook id, or we repeat the script because Redis's answer was lost. The web process must not
answer 2xx before the script has run. It must never answer 4xx to an event that Stream signed: Stream does not repeat
those, and the call would be lost.
"""

import hashlib
from enum import StrEnum
from functools import lru_cache

from bellhop import trail
from bellhop.call_index import NewEntry
from bellhop.clock import Micros
from bellhop.domain.outcomes import Outcome
from bellhop.domain.rejections import word_of
from bellhop.domain.round import Round
from bellhop.queue.job_payloads import Cause, QueuedRound, job, queued_round, started_round
from bellhop.store.call_scripts import EventToTake, Turn, take_event
from bellhop.store.scripts import ScriptRunner
from bellhop.telemetry.correlation import origin
from bellhop.trail import SESSION_DIGITS, JobWaits, WebhookPutOff, WebhookReceived, WebhookRepeated, encode
from webhook.intake.effects import UNKNOWN_CALLER, CallWork, Effects, RoundWork
from webhook.intake.events import Event, Rejected

NAMED_IF_REFUSED = 10
"""How many users the trail names if nobody is called. Such events may come many times a minute."""


class Verdict(StrEnum):
    """The result of applying an event."""

    TAKEN = "taken"
    ALREADY = "already"
    IGNORED = "ignored"
    TURNED_AWAY = "turned_away"
    """As TAKEN, but a bound was reached, and nobody is called."""
    PUT_OFF = "put_off"
    """Not taken: too many jobs of the tenant wait."""


_VERDICTS = {verdict.encode(): verdict for verdict in Verdict}
"""By the answers of the script."""


def apply(
    run_script: ScriptRunner,
    tenant: str,
    webhook_id: str,
    event: Event,
    effects: Effects,
    now: Micros,
    *,
    claim: str = "",
    redis_ahead_us: int = 0,
    attempt: int | None = None,
    trail_ttl_s: int = trail.DAY_S,
    listed: bool = False,
    listed_for_users: bool = False,
    most_waiting: int = 0,
) -> Verdict:
    """Apply the `effects` of `event`, which Stream delivers for the `attempt`-th time, and queue its job.

    `claim` names the webhook, so that it is taken once: by its body, or by default by its id.
    `now` is the time by Stream's clock; Redis's is ahead of it by `redis_ahead_us`.
    The call's trail is kept for `trail_ttl_s` from now. `listed` adds the call to the console's lists of calls,
    `listed_for_users` to those of its users. `most_waiting` is for tenants that take turns: if so many jobs of this
    tenant wait, an event that calls people is put off. It is 0 if there is only one tenant. Raises
    redis.exceptions.RedisError.
    """
    if not (effects.stamps or effects.history or effects.round or effects.missed or effects.work):
        return Verdict.IGNORED
    digest = webhook_digest(tenant, webhook_id)
    redis_now = Micros(now + redis_ahead_us)
    cause = origin(digest, redis_now)
    calls = effects.refused is None
    opened = queued_round(effects.round, cause) if effects.round and calls else None
    entry = _entry(effects, redis_ahead_us) if listed or listed_for_users else None
    taken = EventToTake(
        tenant,
        event.cid,
        digest,
        now,
        line=_received(event, effects, redis_now, redis_ahead_us, attempt),
        repeated_line=_repeated(event, redis_now, redis_ahead_us, attempt),
        trail_ttl_s=trail_ttl_s,
        settle_at=effects.settle_at,
        settle_open=effects.settle_open,
        stamps=effects.stamps,
        history=effects.history,
        round=opened,
        missed=queued_round(effects.missed, cause) if effects.missed else None,
        jobs=[_job(effects, effects.work, digest, cause, opened)] if effects.work and calls else [],
        in_turn=bool(most_waiting),
        claim=claim,
        # The job about a call.missed also notes that the app sends this event.
        jobs_need_open=isinstance(effects.work, CallWork) and effects.missed is None,
        jobs_settle=isinstance(effects.work, CallWork),
        redis_ahead_us=redis_ahead_us,
        turn=_turn(event, effects, redis_now, attempt, most_waiting),
        listed=entry.for_tenant() if entry and listed else None,
    )
    lists = entry.for_users(tenant, trail_ttl_s) if entry else []
    verdict = _VERDICTS[run_script(take_event(taken), *lists)]
    return Verdict.TURNED_AWAY if verdict is Verdict.TAKEN and not calls else verdict


@lru_cache(maxsize=64)
def webhook_digest(tenant: str, webhook_id: str) -> str:
    """Name a webhook in keys and logs. Its id is hashed, since the sender may choose any bytes and any length."""
    return hashlib.sha256(f"{tenant}:{webhook_id}".encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _received(event: Event, effects: Effects, redis_now: Micros, redis_ahead_us: int, attempt: int | None) -> str:
    """Write the trail's line. Only a ring and a notification name their round."""
    round_ = effects.work.payload if isinstance(effects.work, RoundWork) else None
    users = effects.members[:NAMED_IF_REFUSED] if effects.refused else effects.members
    too_many = Outcome.TOO_MANY_MEMBERS if event.left_out else ""
    return encode(
        WebhookReceived(
            at=redis_now,
            type=event.type,
            stamp=event.at,
            attempt=attempt,
            users=users,
            more=len(effects.members) - len(users) or None,
            left_out=event.left_out or None,
            session=event.session_id[:SESSION_DIGITS],
            round=round_.started_at if round_ else None,
            callers=tuple(dict.fromkeys((round_.caller_id, *round_.callers))) if round_ else (),
            until=round_.deadline if effects.round and round_ and not effects.refused else None,
            reason=word_of(event.reason) if isinstance(event, Rejected) else "",
            redis_ahead_us=redis_ahead_us or None,
            outcome=effects.refused or too_many,
            names=_names(round_) if round_ and not effects.refused else (),
        )
    )


def _names(round_: Round) -> tuple[str, ...]:
    """Return the names of the caller and of the first recipients, as many as the trail keeps; () if none is known."""
    caller = "" if round_.caller_name == UNKNOWN_CALLER else round_.caller_name
    names = [caller, *(recipient.name for recipient in round_.recipients[: trail.NAMES - 1])]
    return tuple(names) if any(names) else ()


def _repeated(event: Event, redis_now: Micros, redis_ahead_us: int, attempt: int | None) -> str:
    return encode(
        WebhookRepeated(
            at=redis_now,
            type=event.type,
            stamp=event.at,
            session=event.session_id[:SESSION_DIGITS],
            attempt=attempt,
            redis_ahead_us=redis_ahead_us or None,
        )
    )


def _entry(effects: Effects, redis_ahead_us: int) -> NewEntry | None:
    about = effects.missed or (effects.work.payload if effects.work else None)
    if not isinstance(about, Round):
        return None
    recipients = about.recipients[: NAMED_IF_REFUSED if effects.refused else None]
    people = dict.fromkeys((about.caller_id, *about.callers), "")
    people[about.caller_id] = about.caller_name
    people |= {recipient.id: recipient.name for recipient in recipients}
    began_at = Micros(about.started_at + redis_ahead_us)
    return NewEntry(about.cid, people, began_at, begins=effects.missed is None)


def _job(
    effects: Effects, work: RoundWork | CallWork, webhook: str, cause: Cause, opened: QueuedRound | None
) -> dict[str, str]:
    """Write a job for the script. Its id contains the webhook's, so that one webhook cannot queue two jobs."""
    job_id = f"{work.name.rpartition('.')[2]}-{webhook}"
    if isinstance(work, RoundWork) and work.started:
        return job(job_id, work.name, started_round(work.payload, cause, work.started))
    if isinstance(work, RoundWork):
        payload = opened if opened and work.payload is effects.round else queued_round(work.payload, cause)
        return job(job_id, work.name, payload)
    return job(job_id, work.name, work.payload.model_copy(update=cause.__dict__))


def _turn(event: Event, effects: Effects, redis_now: Micros, attempt: int | None, most_waiting: int) -> Turn | None:
    """Return what happens if other jobs of the tenant wait; None if the event calls nobody."""
    if not most_waiting or effects.refused or not isinstance(effects.work, RoundWork):
        return None
    round_, session = effects.work.payload, event.session_id[:SESSION_DIGITS]
    waits = JobWaits(at=redis_now, round=round_.started_at, type=event.type)
    put_off = WebhookPutOff(at=redis_now, type=event.type, stamp=event.at, attempt=attempt, session=session)
    return Turn(most_waiting, encode(waits), encode(put_off))
