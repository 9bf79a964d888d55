"""The one way in for events of every source: parse, derive the effects, apply them, count."""

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import msgspec
import structlog
from redis.exceptions import RedisError, ResponseError
from structlog.contextvars import bind_contextvars, reset_contextvars

from bellhop.clock import Micros, Seconds, elapsed, from_nanoseconds, seconds
from bellhop.domain.event_types import TEST_EVENT_TYPE
from bellhop.domain.outcomes import Outcome
from bellhop.privacy.entries import names_somebody
from bellhop.privacy.forgetting_people import KnownForgotten
from bellhop.store.call_scripts import WEBHOOK_TTL_S
from bellhop.store.homes import partition_with
from bellhop.store.keys import call_key, check_key, trail_key, user_key, webhook_key
from bellhop.telemetry import metrics
from bellhop.telemetry.last_webhook import LAST_WEBHOOKS
from bellhop.telemetry.outage import Outage
from bellhop.telemetry.turned_away import TURNED_AWAY
from bellhop.trail import WebhookOutdated, encode
from webhook.intake.apply import Verdict, apply, webhook_digest
from webhook.intake.effects import EffectRules, effects
from webhook.intake.events import Event, Ignored, MembersEvent, Ring, UnreadableEvent, UserChanged
from webhook.intake.former_redis import UNKNOWN, FormerRedis, KnownCall, look
from webhook.intake.frequent_repeats import FrequentRepeats
from webhook.intake.noted_events import note_event
from webhook.intake.parsing import parse
from webhook.intake.renamed_people import renamed
from webhook.intake.ring_limits import RingLimits
from webhook.intake.stream_clock import StreamClocks, StreamTime
from webhook.intake.unreadable import keep_unreadable
from webhook.intake.user_events import apply_user_event, learn_revocations
from webhook.intake_redis import IntakeRedis

REPEATED = ("already", "outdated")
"""Answers that stay the same when a webhook is posted again."""
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Intake:
    """Everything that receiving an event needs from its process."""

    redis: IntakeRedis
    database: str
    """Which Redis this is, in words for people."""
    outage: Outage
    rules: Mapping[str, EffectRules]
    """By tenant."""
    clocks: Mapping[str, StreamClocks]
    """By tenant."""
    trail_ttl_s: int
    listed: bool
    """Whether calls are added to the lists of calls, which the console shows."""
    listed_for_users: bool
    """Whether they are added to those of users, which GET /v1/users/me/calls reads."""
    limits: RingLimits
    max_age_us: Micros
    """An event that is older is dropped."""
    unreadable_kept: int
    """How many unreadable bodies of one app are kept for each reason."""
    repeats: FrequentRepeats
    forgotten: KnownForgotten
    """Who was forgotten in the last day."""
    most_waiting: int = 0
    """How many rings of one tenant may wait; 0 if there is only one tenant: it has no bound."""
    former: "FormerIntake | None" = None
    """While the installation moves to another Redis: the former one."""


class FormerIntake(NamedTuple):
    """The former Redis, and what is needed to apply events there."""

    redis: FormerRedis
    intake: Intake


class PutOffError(Exception):
    """An event was not taken, and its sender must send it again. The message says why."""


def receive(
    intake: Intake,
    tenant: str,
    body: bytes,
    webhook_id: str,
    now: Micros,
    attempt: int | None,
    *,
    same: str = "",
    may_be_late: bool = False,
) -> dict[str, str]:
    """Receive the event in `body`, which must be verified; returns the document to answer.

    `now` is the time by Redis's clock. `may_be_late`: the event came through a queue. `attempt` is the number of
    Stream's delivery, if known. `same` is equal for equal bodies; by default it is made from the body. An
    event that cannot be parsed is kept and not asked for again, since Stream would repeat the same bytes. Raises
    redis.exceptions.RedisError, or PutOffError, if the event was not taken.
    """
    claim = body_digest(tenant, body, same)
    if answer := intake.repeats.answer_of(claim, now):
        metrics.WEBHOOKS.add("unknown", answer["status"])
        TURNED_AWAY.add("repeated", tenant, known_app=True)
        return dict(answer)
    bound = bind_contextvars(webhook=webhook_digest(tenant, webhook_id))  # bound_contextvars takes three times as long
    try:
        answer = _receive(intake, tenant, body, webhook_id, claim, now, attempt, may_be_late=may_be_late)
    finally:
        reset_contextvars(**bound)
    if answer["status"] in REPEATED:
        intake.repeats.note(claim, answer, now)
    return answer


def _receive(
    intake: Intake,
    tenant: str,
    body: bytes,
    webhook_id: str,
    claim: str,
    now: Micros,
    attempt: int | None,
    *,
    may_be_late: bool,
) -> dict[str, str]:
    try:
        event = parse(body, intake.rules[tenant].caller_fields)
    except UnreadableEvent as error:
        return receive_unreadable(intake, tenant, body, str(error), now)
    if intake.forgotten.people:
        event = renamed(event, intake.forgotten.people.of(tenant))
    if not isinstance(event, UserChanged) and event.at is not None and now - event.at > intake.max_age_us:
        return _drop_outdated(intake, tenant, event, claim, now)
    home = user_key(tenant, event.user_id) if isinstance(event, UserChanged) else call_key(tenant, event.cid)
    arrival = intake.clocks[tenant].beside(home).at_arrival(event.at, now, may_be_late=may_be_late)
    if isinstance(event, UserChanged):
        is_forgotten = bool(intake.forgotten.people.of(tenant)(event.user_id))
        verdict = apply_user_event(intake.redis, tenant, event, arrival, is_forgotten=is_forgotten)
    else:
        apply_event = _apply_where_known if intake.former and event.cid else _apply
        verdict = apply_event(intake, tenant, webhook_id, claim, event, arrival, attempt)
        if verdict is Verdict.IGNORED:
            note_event(intake.redis, tenant, event, arrival.now)
        learn_revocations(intake.redis, tenant, event, arrival.now)
    intake.outage.note_answer()
    age_s = elapsed(event.at, arrival.now) if event.at is not None else None
    LAST_WEBHOOKS.note(tenant, event.type, now, age_s or Seconds(0.0))
    status = str(verdict)  # JSON's writer would read the value of an enum in Python
    _count(event, status, age_s)
    if event.type == TEST_EVENT_TYPE:
        return {"status": status, **_about_this_process(intake, webhook_id, now)}
    return {"status": status}


def _about_this_process(intake: Intake, webhook_id: str, now: Micros) -> dict[str, str]:
    """Return facts about this process for `bellhop check`. Only a sender who has the secret gets them."""
    return {
        "redis": intake.database,
        "same_redis": "yes" if intake.redis.call("GET", check_key(webhook_id)) else "no",
        "clock_ahead_s": f"{seconds(Micros(from_nanoseconds(time.time_ns()) - now)):.1f}",
    }


def receive_unreadable(intake: Intake, tenant: str, body: bytes, reason: str, now: Micros) -> dict[str, str]:
    """Keep a body that cannot be parsed; returns the document to answer. Raises redis.exceptions.RedisError."""
    if intake.forgotten.people and names_somebody(intake.forgotten.people.of(tenant), body.decode("utf-8", "replace")):
        body = b""  # it must not bring a forgotten person back
    keep_unreadable(intake.redis, tenant, body, reason, now, kept=intake.unreadable_kept, ttl_s=intake.trail_ttl_s)
    metrics.WEBHOOKS.add("unreadable", "kept")
    TURNED_AWAY.add("unreadable", tenant, known_app=True)
    LAST_WEBHOOKS.note(tenant, "unreadable", now)
    log.error("webhook_unreadable", tenant=tenant, reason=reason)
    return {"status": "kept", "reason": reason}


def body_digest(tenant: str, body: bytes, same: str = "") -> str:
    """Name a webhook by its body, so that the same body under another webhook id is recognised as a repeat."""
    return webhook_digest(tenant, same or hashlib.sha256(body).hexdigest())


def _drop_outdated(intake: Intake, tenant: str, event: Event, claim: str, now: Micros) -> dict[str, str]:
    """Drop an event that is too old. Its call's trail says so, if there still is one. Raises RedisError."""
    line = encode(WebhookOutdated(at=now, type=event.type, stamp=event.at))
    partition = partition_with(call_key(tenant, event.cid), intake.redis.partitions)
    is_first = intake.redis.call("SET", partition.key(webhook_key(claim)), "1", "NX", "EX", WEBHOOK_TTL_S)
    if is_first and event.cid:
        intake.redis.call("RPUSHX", trail_key(tenant, event.cid), line)
    metrics.WEBHOOKS.add(_kind(event), "outdated")
    TURNED_AWAY.add("outdated", tenant, known_app=True)
    log.warning("webhook_outdated", type=event.type, tenant=tenant)
    return {"status": "outdated"}


def _apply_where_known(
    intake: Intake, tenant: str, webhook_id: str, claim: str, event: Event, arrival: StreamTime, attempt: int | None
) -> Verdict:
    """Apply an event while the installation moves (docs/moving-redis.md).

    A ring begins in the own Redis, with the stamps that the former one has of its call. Any other event that may send
    pushes is applied in one of the two. All other events are applied in both, if the former one knows the call.
    """
    assert intake.former is not None  # noqa: S101 - only then this is called
    once = effects(event, arrival.now, intake.rules[tenant]).once
    digests = [claim, *(webhook_digest(tenant, name) for name in (webhook_id, once) if name)]
    may_send = isinstance(event, MembersEvent)
    there = intake.former.redis.look(tenant, event.cid, digests, with_fields=may_send)
    if may_send and there.taken:
        return Verdict.ALREADY
    of_event = tenant, webhook_id, claim, event
    if isinstance(event, Ring):
        return _apply(intake, *of_event, arrival, attempt, there)
    if not (there.has_rung if may_send else there.is_known):
        return _apply(intake, *of_event, arrival, attempt)
    if may_send:
        here = look(intake.redis, tenant, event.cid, digests, with_fields=True)
        if here.taken or here.has_rung or not there.has_workers:
            return _apply(intake, *of_event, arrival, attempt)
        return _apply_there(intake.former, *of_event, there, attempt) or _apply(intake, *of_event, arrival, attempt)
    verdict = _apply(intake, *of_event, arrival, attempt)
    _apply_there(intake.former, *of_event, there, attempt)
    return verdict


def _apply_there(
    former: FormerIntake, tenant: str, webhook_id: str, claim: str, event: Event, there: KnownCall, attempt: int | None
) -> Verdict | None:
    """Apply an event in the former Redis; None if that refuses it. Raises PutOffError if it does not answer."""
    try:
        clock = former.intake.clocks[tenant].beside(call_key(tenant, event.cid))
        arrival = clock.at_arrival(event.at, there.now, may_be_late=True)
        return _apply(former.intake, tenant, webhook_id, claim, event, arrival, attempt)
    except RedisError as error:
        former.redis.note_error(error)
        if isinstance(error, ResponseError):
            return None
        metrics.WEBHOOKS.add(_kind(event), Verdict.PUT_OFF)  # it may have been applied: the repeat finds that out
        raise PutOffError("The former Redis does not answer. Try again.") from None


def _apply(
    intake: Intake,
    tenant: str,
    webhook_id: str,
    claim: str,
    event: Event,
    arrival: StreamTime,
    attempt: int | None,
    there: KnownCall = UNKNOWN,
) -> Verdict:
    """Apply an event. `there`: what the former Redis knows of its call; the call gets these stamps too."""
    event = intake.limits.cut(event)
    derived = effects(event, arrival.now, intake.rules[tenant])
    if there.fields:
        stamps, history = (*derived.stamps, *there.stamps), (*derived.history, *there.history)
        derived = msgspec.structs.replace(derived, stamps=stamps, history=history)
    if refused := intake.limits.refusal(derived, arrival.now):
        derived = msgspec.structs.replace(derived, refused=refused)
    verdict = apply(
        intake.redis.run,
        tenant,
        webhook_id,
        event,
        derived,
        arrival.now,
        redis_ahead_us=arrival.redis_ahead_us,
        claim=webhook_digest(tenant, derived.once) if derived.once else claim,
        attempt=attempt,
        trail_ttl_s=intake.trail_ttl_s,
        listed=intake.listed,
        listed_for_users=intake.listed_for_users,
        most_waiting=intake.most_waiting,
    )
    if verdict is Verdict.PUT_OFF:
        metrics.WEBHOOKS.add(_kind(event), verdict)
        TURNED_AWAY.add("tenant_waiting", tenant, known_app=True)
        log.warning("webhook_put_off", type=event.type, tenant=tenant)
        raise PutOffError("Too many rings of this app wait. Try again.")
    if verdict is not Verdict.ALREADY:
        _count_turned_away(tenant, event, derived.refused)
    return verdict


def _count_turned_away(tenant: str, event: Event, refused: Outcome | None) -> None:
    outcome = refused or (Outcome.TOO_MANY_MEMBERS if event.left_out else None)
    if outcome is None:
        return
    metrics.RINGS_TURNED_AWAY.add(outcome)
    TURNED_AWAY.add(outcome, tenant, known_app=True)
    if refused:
        log.warning("ring_turned_away", type=event.type, cid=event.cid, outcome=outcome)
    else:
        log.warning("members_left_out", type=event.type, members=event.left_out)


def _count(event: Event, verdict: str, age_s: Seconds | None) -> None:
    kind = _kind(event)
    metrics.WEBHOOKS.add(kind, verdict)
    if age_s is not None:
        metrics.WEBHOOK_AGE.observe(age_s, kind)
    cid = event.cid if ":" in event.cid else ""  # what is not a call's id may be anything
    log.info("webhook", type=event.type, verdict=verdict, cid=cid)


def _kind(event: Event) -> str:
    """Return the event's label in metrics. Other types may be anything, so they share a label."""
    return "other" if isinstance(event, Ignored) else event.type
