"""POST /v1/receipts: a phone says that it rang, with the receipt that came in the push. No other key is needed."""

import time
from typing import cast

from flask import Blueprint, Response, current_app, request
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from bellhop.clock import elapsed, from_nanoseconds
from bellhop.domain.ticket import LONGEST_TICKET, read_ticket
from bellhop.store.call_scripts import record_receipt
from bellhop.telemetry import metrics
from bellhop.trail import PhoneRang, encode
from webhook.api_errors import ApiProblem, Problem
from webhook.context import WebContext
from webhook.openapi import Operation

MAX_BODY = 4_096

blueprint = Blueprint("receipts", __name__, url_prefix="/v1")


class Rang(BaseModel):
    """What the phone sends."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    receipt: str = Field(max_length=LONGEST_TICKET)
    rang_at: int | None = Field(default=None, ge=0, lt=2**53)
    """When it rang by its own clock, unix ms."""


DESCRIBED = Operation(
    "POST",
    "/v1/receipts",
    "send_receipt",
    "Say that the phone rang, with the receipt that came in the push.",
    TypeAdapter(Rang),
    None,
    (Problem.BAD_RECEIPT, Problem.TOO_LARGE, Problem.INVALID, Problem.REDIS_AWAY),
    token=False,
)


@blueprint.post("/receipts")
def rang() -> Response:
    """Put it on the trail: 204, also when it was there already."""
    now = from_nanoseconds(time.time_ns())
    context = cast(WebContext, current_app.extensions["context"])
    said = _read()
    secret = context.settings.receipt_secret.get_secret_value().encode()
    ticket = read_ticket(secret, said.receipt) if secret else None
    if ticket is None:
        metrics.RECEIPTS.add("", "refused")
        raise ApiProblem(Problem.BAD_RECEIPT)
    rang_at = str(said.rang_at) if said.rang_at is not None else ""
    line = encode(
        PhoneRang(at=now, round=ticket.started_at, device=ticket.device, provider=ticket.provider, detail=rang_at)
    )
    command = record_receipt(ticket.tenant, ticket.cid, ticket.started_at, ticket.device, line)
    verdict = context.run(command).decode()
    metrics.RECEIPTS.add(ticket.provider, verdict)
    if verdict == "recorded":
        metrics.RANG.observe(elapsed(ticket.started_at, now), ticket.provider)
    return Response(status=204)


def _read() -> Rang:
    request.max_content_length = MAX_BODY
    try:
        return Rang.model_validate_json(request.get_data(cache=False))
    except ValidationError as error:
        raise ApiProblem(Problem.INVALID) from error
