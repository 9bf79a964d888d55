"""POST /webhooks/stream: where Stream posts its events."""

import hashlib
import time
from typing import cast

import structlog
from flask import Blueprint, Response, current_app, jsonify, request
from redis.exceptions import RedisError
from structlog.contextvars import bound_contextvars

from webhook import effects, intake, signature
from webhook.door import Door
from webhook.events import Ignored, UnreadableEvent
from webhook.reading import read
from worker import metrics, tracing

blueprint = Blueprint("stream", __name__)
log = structlog.get_logger()


@blueprint.post("/webhooks/stream")
def stream() -> tuple[Response, int]:
    """Verify, read, take in. 200 means durably queued; anything else means not taken."""
    began = time.perf_counter()
    with tracing.span("webhook", "SERVER", request.headers.get("Traceparent", "")):
        try:
            answer = _take_in(cast(Door, current_app.extensions["door"]))
        except RedisError:
            metrics.WEBHOOKS.add("unknown", "redis_away")
            raise
    metrics.INTAKE.observe(time.perf_counter() - began)
    return answer


def _take_in(door: Door) -> tuple[Response, int]:
    headers = request.headers
    try:
        if not door.welcomes(request.remote_addr):
            raise signature.Refused(signature.Refusal.STRANGE_ADDRESS)
        verified = signature.verify(
            door.key_ring,
            request.get_data(cache=False),
            signature=headers.get("X-Signature"),
            api_key=headers.get("X-Api-Key"),
            content_encoding=headers.get("Content-Encoding"),
        )
    except signature.Refused as refused:
        metrics.REFUSED.add(refused.refusal.name.lower())
        log.warning("webhook refused", reason=refused.refusal.name.lower(), address=request.remote_addr)
        return jsonify(error=refused.refusal.sentence), refused.refusal.status

    now = time.time_ns() // 1000
    webhook_id = headers.get("X-Webhook-Id") or hashlib.sha256(verified.body).hexdigest()
    with bound_contextvars(webhook=intake.webhook_key(verified.tenant, webhook_id)):
        return _apply(door, verified, webhook_id, now)


def _apply(door: Door, verified: signature.Verified, webhook_id: str, now: int) -> tuple[Response, int]:
    try:
        event = read(verified.body)
    except UnreadableEvent as error:
        # Stream never repeats what is answered 4xx, so what cannot be read is kept for people to look at.
        door.keep_unreadable(verified.tenant, verified.body, str(error), now)
        metrics.WEBHOOKS.add("unreadable", "kept")
        log.error("webhook unreadable", tenant=verified.tenant, reason=str(error))
        return jsonify(status="kept", reason=str(error)), 200
    verdict = intake.take_in(
        door.intake,
        verified.tenant,
        webhook_id,
        event,
        effects.effects(event, now, door.rules(verified.tenant)),
        now,
        attempt=_number(request.headers.get("X-Webhook-Attempt")),
        trail_ttl_s=door.trail_ttl_s,
        listed=door.settings.console,
    )
    kind = "other" if isinstance(event, Ignored) else event.type
    metrics.WEBHOOKS.add(kind, verdict)
    if event.at is not None:
        metrics.WEBHOOK_AGE.observe(max(0.0, (now - event.at) / 1e6), kind)
    log.info("webhook", type=event.type, verdict=verdict)
    return jsonify(status=verdict), 200


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 4 else None
