"""POST /v1/receipts: a phone reports that it rang, with the ticket that came in the push. It needs no other key."""

from flask import Blueprint, Response, request
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from bellhop.clock import elapsed
from bellhop.domain.ticket import LONGEST_TICKET, read_ticket
from bellhop.store.call_scripts import record_receipt
from bellhop.telemetry import metrics
from bellhop.trail import PhoneRang, encode
from webhook.api_errors import ApiError, ApiErrorKind
from webhook.context import web_context
from webhook.openapi import Operation

MAX_BODY_BYTES = 4_096

blueprint = Blueprint("receipts", __name__, url_prefix="/v1")


class Receipt(BaseModel):
    """What the phone sends."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    receipt: str = Field(max_length=LONGEST_TICKET)
    rang_at: int | None = Field(default=None, ge=0, lt=2**53)
    """When it rang, by the phone's own clock (unix ms)."""


OPERATION = Operation(
    "POST",
    "/v1/receipts",
    "send_receipt",
    "Report that the phone rang, with the receipt that came in the push.",
    TypeAdapter(Receipt),
    None,
    (
        ApiErrorKind.INVALID_RECEIPT,
        ApiErrorKind.BODY_TOO_LARGE,
        ApiErrorKind.INVALID_BODY,
        ApiErrorKind.REDIS_UNAVAILABLE,
    ),
    token=False,
)


@blueprint.post("/receipts")
def rang() -> Response:
    """Record the receipt on the trail; 204, also if it was recorded before."""
    context = web_context()
    sent = _read_receipt()
    secret = context.settings.receipt_secret.get_secret_value().encode()
    ticket = read_ticket(secret, sent.receipt) if secret else None
    if ticket is None:
        metrics.RECEIPTS.add("", "refused")
        raise ApiError(ApiErrorKind.INVALID_RECEIPT)
    now = context.now()
    rang_at = str(sent.rang_at) if sent.rang_at is not None else ""
    line = encode(
        PhoneRang(at=now, round=ticket.started_at, device=ticket.device, provider=ticket.provider, detail=rang_at)
    )
    command = record_receipt(ticket.tenant, ticket.cid, ticket.started_at, ticket.device, line)
    verdict = context.run(command).decode()
    metrics.RECEIPTS.add(ticket.provider, verdict)
    if verdict == "recorded":
        metrics.RANG.observe(elapsed(ticket.started_at, now), ticket.provider)
    return Response(status=204)


def _read_receipt() -> Receipt:
    request.max_content_length = MAX_BODY_BYTES
    try:
        return Receipt.model_validate_json(request.get_data(cache=False))
    except ValidationError as error:
        raise ApiError(ApiErrorKind.INVALID_BODY) from error
