"""POST /webhooks/stream: where Stream posts its events."""

import hashlib
import time
from typing import cast

import structlog
from flask import Blueprint, Response, current_app, jsonify, request
from redis.exceptions import RedisError

from bellhop.telemetry import metrics, tracing
from webhook.context import WebContext
from webhook.intake import signature
from webhook.intake.receive import take

blueprint = Blueprint("stream", __name__)
log = structlog.get_logger()


@blueprint.post("/webhooks/stream")
def stream() -> tuple[Response, int]:
    """Verify, read, take in. 200 means durably queued; anything else means not taken."""
    began = time.perf_counter()
    with tracing.span("webhook", "SERVER", request.headers.get("Traceparent", "")):
        try:
            answer = _take_in(cast(WebContext, current_app.extensions["context"]))
        except RedisError:
            metrics.WEBHOOKS.add("unknown", "redis_away")
            raise
    metrics.INTAKE.observe(time.perf_counter() - began)
    return answer


def _take_in(context: WebContext) -> tuple[Response, int]:
    headers = request.headers
    try:
        if not context.welcomes(request.remote_addr):
            raise signature.Refused(signature.Refusal.STRANGE_ADDRESS)
        verified = signature.verify(
            context.key_ring,
            request.get_data(cache=False),
            signature=headers.get("X-Signature"),
            api_key=headers.get("X-Api-Key"),
            content_encoding=headers.get("Content-Encoding"),
        )
    except signature.Refused as refused:
        metrics.REFUSED.add(refused.refusal.name.lower())
        log.warning("webhook_refused", reason=refused.refusal.name.lower(), address=request.remote_addr)
        return jsonify(error=refused.refusal.sentence), refused.refusal.status

    webhook_id = headers.get("X-Webhook-Id") or hashlib.sha256(verified.body).hexdigest()
    attempt = _number(headers.get("X-Webhook-Attempt"))
    taken = take(context, verified.tenant, verified.body, webhook_id, context.now(), attempt)
    return jsonify(taken), 200


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 4 else None
