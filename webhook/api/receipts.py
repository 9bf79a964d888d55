"""POST /v1/receipts: a phone reports about its ring, with the ticket that came in the push. It needs no other key."""

from typing import Annotated

from flask import Blueprint, Response, request
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from bellhop.domain.phone_report import PhoneEvent
from bellhop.domain.ticket import LONGEST_TICKET, read_ticket
from bellhop.telemetry import metrics
from webhook.api.ring_reports import PhoneReport, apply_report
from webhook.api_errors import ApiError, ApiErrorKind
from webhook.context import web_context
from webhook.openapi import Operation

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
    """The same, for "rang"."""


OPERATION = Operation(
    "POST",
    "/v1/receipts",
    "send_receipt",
    "Report what became of a ring on the phone, with the receipt that came in the push.",
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
    """Apply what the phone reports; 204, also if it was applied before."""
    context, sent = web_context(), _read_receipt()
    secret = context.settings.receipt_secret.get_secret_value().encode()
    ticket = read_ticket(secret, sent.receipt) if secret else None
    if ticket is None:
        metrics.RECEIPTS.add("", "refused")
        raise ApiError(ApiErrorKind.INVALID_RECEIPT)
    phone_ms = sent.at if sent.rang_at is None else sent.rang_at
    applied = apply_report(context, PhoneReport(ticket, sent.receipt, sent.event, sent.reason, phone_ms))
    if applied.verdict in REFUSED:
        raise ApiError(REFUSED[applied.verdict])
    return Response(status=204)


def _read_receipt() -> Receipt:
    request.max_content_length = MAX_BODY_BYTES
    try:
        return Receipt.model_validate_json(request.get_data(cache=False))
    except ValidationError as error:
        raise ApiError(ApiErrorKind.INVALID_BODY) from error
