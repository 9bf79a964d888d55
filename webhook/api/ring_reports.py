"""Applies what phones report with their tickets: to the trail of the call and, if a user rejects the ring, to the call.

A rejection counts at once, as Stream's call.rejected does. Then a worker tells Stream of it
(worker/rejection_carrier.py).
"""

import hashlib
import re
from dataclasses import dataclass
from typing import Any, NamedTuple

from bellhop.clock import Micros, elapsed
from bellhop.domain.call import ONLY_IN_HISTORY, history_fields
from bellhop.domain.phone_report import REJECTIONS, PhoneEvent, rejected_at, stamps_of_report
from bellhop.domain.stamp_history import PastStamp
from bellhop.domain.ticket import Ticket
from bellhop.queue.job_payloads import QueuedRound, RejectRef, job
from bellhop.queue.names import REJECT_JOB
from bellhop.store.call_scripts import EventToTake, record_receipt, take_event
from bellhop.store.keys import call_key
from bellhop.telemetry import metrics
from bellhop.telemetry.correlation import origin
from bellhop.trail import PhoneRang, PhoneReported, encode
from webhook.api.ringing_news import announce_ringing
from webhook.context import WebContext
from webhook.intake.stream_clock import StreamTime

LONGEST_REASON = 64
WAS_RINGING = frozenset({"recorded", "already"})
"""The verdicts on a receipt that came in time."""


@dataclass(frozen=True, slots=True)
class PhoneReport:
    """What a phone reports."""

    ticket: Ticket
    receipt: str
    """The ticket as the phone sent it."""
    event: PhoneEvent
    reason: str = ""
    phone_ms: int | None = None
    """When it happened, by the phone's own clock (unix ms)."""


class AppliedReport(NamedTuple):
    """The result of a report."""

    verdict: str
    """recorded, already, over, expired or too_many."""
    user: str
    """For whom the phone was rung; empty if that is not known."""


def app_word(reason: str) -> str:
    """Make one word of a reason. It should be a word of the app itself: the trail must not keep a text of a user."""
    return re.sub(r"[^A-Za-z0-9_.:-]+", "_", reason)[:LONGEST_REASON]


def apply_report(context: WebContext, report: PhoneReport) -> AppliedReport:
    """Apply a report, once for each event of a ticket. Raises redis.exceptions.RedisError."""
    ticket, arrival = report.ticket, _arrival(context, report.ticket)
    redis_now = Micros(arrival.now + arrival.redis_ahead_us)
    answer = context.run(record_receipt(ticket, report.event, _line(report, redis_now), arrival.now))
    verdict, user, *rejection = (part.decode() for part in answer)
    if rejection:
        verdict = _reject(context, report, user, arrival, *rejection)
    if report.event is PhoneEvent.RANG:
        if verdict in WAS_RINGING:
            announce_ringing(context, ticket, user, redis_now)
        metrics.RECEIPTS.add(ticket.provider, verdict)
        if verdict == "recorded":
            metrics.RANG.observe(elapsed(ticket.started_at, redis_now), ticket.provider)
    else:
        metrics.PHONE_REPORTS.add(report.event, verdict)
    return AppliedReport(verdict, user)


def _arrival(context: WebContext, ticket: Ticket) -> StreamTime:
    """Return Stream's time now. The settings of this process may not name the app: then it is Redis's."""
    now, clocks = context.now(), context.intake.clocks.get(ticket.tenant)
    if clocks is None:
        return StreamTime(now)
    return clocks.beside(call_key(ticket.tenant, ticket.cid)).at_arrival(None, now, may_be_late=False)


def _line(report: PhoneReport, redis_now: Micros, user: str = "", stamp: Micros | None = None) -> str:
    """Write the trail's line."""
    ticket, detail = report.ticket, "" if report.phone_ms is None else str(report.phone_ms)
    about: dict[str, Any] = {"at": redis_now, "round": ticket.started_at, "device": ticket.device}
    about |= {"provider": ticket.provider, "detail": detail}
    if report.event is PhoneEvent.RANG:
        return encode(PhoneRang(**about))
    reason = app_word(report.reason) if report.event is PhoneEvent.NOT_SHOWN else ""
    return encode(PhoneReported(**about, user=user, stamp=stamp, outcome=report.event, reason=reason))


def _reject(
    context: WebContext, report: PhoneReport, user: str, arrival: StreamTime, facts: str, next_ring: str
) -> str:
    """Apply the stamps of a rejection, and queue the job that tells Stream. Returns "taken", or "already"."""
    ticket, reason = report.ticket, REJECTIONS[report.event]
    later_ring = Micros(int(next_ring)) if next_ring else None
    at = rejected_at(arrival.now, ticket.started_at, later_ring)
    names = stamps_of_report(user, report.event)
    round_ = QueuedRound.model_validate_json(facts)
    digest = hashlib.sha256(f"ticket {report.event} {report.receipt}".encode()).hexdigest()[:32]
    redis_now = Micros(arrival.now + arrival.redis_ahead_us)
    carried = context.settings.carries_declines and not round_.test
    ref = RejectRef(
        tenant=ticket.tenant,
        cid=ticket.cid,
        started_at=ticket.started_at,
        deadline=round_.deadline,
        user=user,
        reason=reason,
        **origin(digest, redis_now).__dict__,
    )
    event = EventToTake(
        ticket.tenant,
        ticket.cid,
        digest,
        arrival.now,
        line=_line(report, redis_now, user, at),
        repeated_line="",
        trail_ttl_s=context.intake.trail_ttl_s,
        settle_at=arrival.now,
        settle_open=True,
        stamps=[(name, at) for name in names if not name.startswith(ONLY_IN_HISTORY)],
        history=history_fields((name, PastStamp(at, round_.session_id)) for name in names),
        jobs=[job(f"reject-{digest}", REJECT_JOB, ref)] if carried else [],
        redis_ahead_us=arrival.redis_ahead_us,
    )
    verdict = context.intake_redis.run(take_event(event)).decode()
    return "recorded" if verdict == "taken" else str(verdict)
