"""POST /webhooks/stream: Stream posts its events here."""

import hashlib
import time
from collections.abc import Mapping, MutableMapping
from typing import Any, NamedTuple

import structlog
from flask import Blueprint, Response, request
from redis.exceptions import RedisError

from bellhop.clock import Seconds
from bellhop.domain.json_text import encoded
from bellhop.telemetry import metrics, tracing
from webhook.context import WebContext, web_context
from webhook.intake.receive import receive
from webhook.intake.signature import Refusal, RefusedWebhook, Verified
from webhook.server.http_request import WHOLE_BODY
from webhook.verified_request import VERIFIED, note_refusal_of, verify_request

blueprint = Blueprint("stream", __name__)
log = structlog.get_logger()

PATH = "/webhooks/stream"
CONTENT_TYPE = "application/json"
MAX_ATTEMPT_DIGITS = 3


class WebhookAnswer(NamedTuple):
    """The answer to a webhook."""

    status: int
    body: bytes
    """JSON."""


@blueprint.post(PATH)
def stream() -> Response:
    """Verify and receive an event. 200 means durably queued; any other status means not taken."""
    answered = answer(web_context(), request.environ)
    return Response(answered.body, answered.status, content_type=CONTENT_TYPE)


def answer(context: WebContext, environ: MutableMapping[str, Any]) -> WebhookAnswer:
    """Answer a webhook. On the event loop this runs without a request of Flask (`webhook.app.WebApp`)."""
    started_s = time.perf_counter()
    with tracing.span("webhook", "SERVER", environ.get("HTTP_TRACEPARENT", "")):
        try:
            answered = _verify_and_receive(context, environ)
        except RedisError:
            metrics.WEBHOOKS.add("unknown", "redis_away")
            raise
    metrics.INTAKE.observe(Seconds(time.perf_counter() - started_s))
    return answered


def _verify_and_receive(context: WebContext, environ: MutableMapping[str, Any]) -> WebhookAnswer:
    try:
        verified = _verify(context, environ)
    except RefusedWebhook as refused:
        refusal = refused.refusal
        note_refusal_of(context, environ, refusal)
        return _json(refusal.status, {"error": refusal.sentence})
    webhook_id = environ.get("HTTP_X_WEBHOOK_ID") or hashlib.sha256(verified.body).hexdigest()
    attempt = _attempt(environ.get("HTTP_X_WEBHOOK_ATTEMPT"))
    result = receive(
        context.intake,
        verified.tenant,
        verified.body,
        webhook_id,
        context.now(),
        attempt,
        same=verified.signature.hex(),
    )
    return _json(200, result)


def _json(status: int, document: dict[str, str]) -> WebhookAnswer:
    return WebhookAnswer(status, encoded(document) + b"\n")


def _verify(context: WebContext, environ: Mapping[str, Any]) -> Verified:
    if not context.accepts_webhooks_from(environ.get("REMOTE_ADDR")):
        raise RefusedWebhook(Refusal.ADDRESS_NOT_ALLOWED)
    result: Verified | RefusedWebhook | None = environ.get(VERIFIED)
    if isinstance(result, RefusedWebhook):
        raise result
    if result is not None:
        return result
    body = environ.get(WHOLE_BODY)
    return verify_request(context, environ, _body(context.body_limits.max_bytes) if body is None else body)


def _body(max_bytes: int) -> bytes:
    """Read the body, up to one byte more than is allowed.

    Raises RefusedWebhook if Content-Length is larger, or if the server passed no body on.
    """
    if (request.content_length or 0) > max_bytes:
        raise RefusedWebhook(Refusal.TOO_LARGE)
    if lacks_body(request.environ):
        raise RefusedWebhook(Refusal.NO_BODY)
    request.max_content_length = max_bytes + 1
    return request.get_data(cache=False)


def lacks_body(environ: Mapping[str, Any]) -> bool:
    """Return whether the request has a chunked body that the server does not pass on (uWSGI does not)."""
    return "chunked" in environ.get("HTTP_TRANSFER_ENCODING", "").lower() and not environ.get("wsgi.input_terminated")


def _attempt(header: str | None) -> int | None:
    """Read the number of Stream's attempt; None if the header is missing or not a small number."""
    if header and header.isascii() and header.isdigit() and len(header) <= MAX_ATTEMPT_DIGITS:
        return int(header)
    return None
