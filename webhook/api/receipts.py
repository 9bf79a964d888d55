"""POST /v1/receipts: a phone reports about its ring, with the ticket that came in the push. It needs no other key."""

from typing import Annotated

from flask import Blueprint, Response, request
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from bellhop.domain.phone import PhoneHealth
from bellhop.domain.phone_report import PhoneEvent
from bellhop.domain.ticket import LONGEST_TICKET, Ticket, read_ticket
from bellhop.store.keys import round_key
from bellhop.store.phones import note_receipt
from bellhop.telemetry import metrics
from webhook.api.ring_reports import WAS_RINGING, AppliedReport, PhoneReport, app_word, apply_report
from webhook.api_errors import ApiError, ApiErrorKind
from webhook.context import WebContext, web_context
from webhook.openapi import Operation
from webhook.phone_reports import note_report

MAX_BODY_BYTES = 4_096
PhoneTime = Annotated[int, Field(ge=0, lt=2**53)]
"""By the phone's own clock (unix ms)."""
REFUSED = {"expired": ApiErrorKind.EXPIRED_RECEIPT, "too_many": ApiErrorKind.TOO_MANY_REPORTS}

blueprint = Blueprint("receipts", __name__, url_prefix="/v1")


class Receipt(BaseModel):
    """What the phone sends."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    receipt: str = Field(max_length=LONGEST_TICKET)
    event: PhoneEvent = Field(default=PhoneEvent.RANG, strict=False)
    """What happened on the phone."""
    reason: str = Field(default="", max_length=200)
    """Of "not_shown": the app's own word for why the phone does not show the call."""
    at: PhoneTime | None = None
    """When it happened, by the phone's own clock (unix ms)."""
    rang_at: PhoneTime | None = None
    """The same, as apps of older versions send it with "rang"."""
    health: PhoneHealth | None = None
    """The settings of the phone that decide whether it rings. A field that is left out keeps its last value."""


OPERATION = Operation(
    "POST",
    "/v1/receipts",
    "Receipts",
    "send_receipt",
    "Report what happened to a ring on the phone, with the receipt that came in the push.",
    TypeAdapter(Receipt),
    None,
    (
        ApiErrorKind.INVALID_RECEIPT,
        ApiErrorKind.EXPIRED_RECEIPT,
        ApiErrorKind.BODY_TOO_LARGE,
        ApiErrorKind.INVALID_BODY,
        ApiErrorKind.TOO_MANY_REPORTS,
        ApiErrorKind.REDIS_UNAVAILABLE,
    ),
    token=False,
)


@blueprint.post("/receipts")
def report() -> Response:
    """Apply what the phone reports; 204, also if it was applied before.

    A receipt that was refused costs no further Redis command in this minute.
    """
    context, sent = web_context(), _read_receipt()
    secret = context.settings.receipt_secret.get_secret_value().encode()
    ticket = read_ticket(secret, sent.receipt) if secret else None
    if ticket is None:
        metrics.RECEIPTS.add("", "refused")
        raise ApiError(ApiErrorKind.INVALID_RECEIPT)
    mac, now = sent.receipt.partition(".")[2], context.now()
    if answer := context.refused_receipts.answer_of(mac, now):
        raise ApiError(REFUSED[answer["verdict"]])
    phone_ms = sent.at if sent.rang_at is None else sent.rang_at
    applied = _apply_where_it_rang(context, PhoneReport(ticket, sent.receipt, sent.event, sent.reason, phone_ms))
    if applied.verdict in REFUSED:
        context.refused_receipts.note(mac, {"verdict": applied.verdict}, now)
        raise ApiError(REFUSED[applied.verdict])
    if applied.user and applied.verdict in WAS_RINGING:
        _note(context, ticket, sent, applied)
    return Response(status=204)


def _apply_where_it_rang(context: WebContext, report: PhoneReport) -> AppliedReport:
    """Apply a report in the Redis that has its ring: while the installation moves, it may be the former one."""
    former, asked, ticket = context.former, context.intake.former, report.ticket
    if former is None or asked is None:
        return apply_report(context, report)
    ring = "EXISTS", round_key(ticket.tenant, ticket.cid, ticket.started_at)
    if context.intake_redis.call(*ring):
        return apply_report(context, report)
    applied = asked.redis.ask(lambda redis: redis.call(*ring) and apply_report(former, report))
    if applied is None:
        raise ApiError(ApiErrorKind.REDIS_UNAVAILABLE)
    return applied or apply_report(context, report)


def _note(context: WebContext, ticket: Ticket, sent: Receipt, applied: AppliedReport) -> None:
    """Keep what the phone says about itself, in the home of its user."""
    command = note_receipt(
        ticket.tenant,
        applied.user,
        ticket.device,
        context.now(),
        round_started_at=ticket.started_at,
        event=sent.event,
        reason=app_word(sent.reason),
        health=sent.health,
    )
    note_report(context, command, ticket.device)


def _read_receipt() -> Receipt:
    request.max_content_length = MAX_BODY_BYTES
    try:
        return Receipt.model_validate_json(request.get_data(cache=False))
    except ValidationError as error:
        raise ApiError(ApiErrorKind.INVALID_BODY) from error
