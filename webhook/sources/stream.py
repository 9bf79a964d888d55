"""POST /webhooks/stream: Stream posts its events here."""

import hashlib
import time

import structlog
from flask import Blueprint, Response, jsonify, request
from redis.exceptions import RedisError

from bellhop.clock import Seconds
from bellhop.telemetry import metrics, tracing
from webhook.context import WebContext, web_context
from webhook.intake.receive import receive
from webhook.intake.signature import Refusal, RefusedWebhook, Verified, verify

blueprint = Blueprint("stream", __name__)
log = structlog.get_logger()

MAX_ATTEMPT_DIGITS = 3


@blueprint.post("/webhooks/stream")
def stream() -> tuple[Response, int]:
    """Verify and receive an event. 200 means durably queued; any other status means not taken."""
    started_s = time.perf_counter()
    with tracing.span("webhook", "SERVER", request.headers.get("Traceparent", "")):
        try:
            response = _verify_and_receive(web_context())
        except RedisError:
            metrics.WEBHOOKS.add("unknown", "redis_away")
            raise
    metrics.INTAKE.observe(Seconds(time.perf_counter() - started_s))
    return response


def _verify_and_receive(context: WebContext) -> tuple[Response, int]:
    try:
        verified = _verify(context)
    except RefusedWebhook as refused:
        refusal = refused.refusal
        metrics.REFUSED.add(refusal.label)
        log.warning("webhook_refused", reason=refusal.label, address=request.remote_addr)
        return jsonify(error=refusal.sentence), refusal.status
    webhook_id = request.headers.get("X-Webhook-Id") or hashlib.sha256(verified.body).hexdigest()
    attempt = _attempt(request.headers.get("X-Webhook-Attempt"))
    result = receive(context.intake, verified.tenant, verified.body, webhook_id, context.now(), attempt)
    return jsonify(result), 200


def _verify(context: WebContext) -> Verified:
    if not context.accepts_webhooks_from(request.remote_addr):
        raise RefusedWebhook(Refusal.ADDRESS_NOT_ALLOWED)
    return verify(
        context.key_ring,
        request.get_data(cache=False),
        signature=request.headers.get("X-Signature"),
        api_key=request.headers.get("X-Api-Key"),
        content_encoding=request.headers.get("Content-Encoding"),
    )


def _attempt(header: str | None) -> int | None:
    """Read the number of Stream's attempt; None if the header is missing or not a small number."""
    if header and header.isascii() and header.isdigit() and len(header) <= MAX_ATTEMPT_DIGITS:
        return int(header)
    return None
