"""POST /webhooks/stream: Stream posts its events here."""

import hashlib
import time
from collections.abc import Iterable, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, cast

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

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse

blueprint = Blueprint("stream", __name__)
log = structlog.get_logger()

MAX_ATTEMPT_DIGITS = 3


@blueprint.post("/webhooks/stream")
def stream() -> Response:
    """Verify and receive an event. 200 means durably queued; any other status means not taken."""
    started_s = time.perf_counter()
    environ = request.environ  # headers are read from here: each use of `request` costs a microsecond
    with tracing.span("webhook", "SERVER", environ.get("HTTP_TRACEPARENT", "")):
        try:
            response = _verify_and_receive(web_context(), environ)
        except RedisError:
            metrics.WEBHOOKS.add("unknown", "redis_away")
            raise
    metrics.INTAKE.observe(Seconds(time.perf_counter() - started_s))
    return response


def _verify_and_receive(context: WebContext, environ: MutableMapping[str, Any]) -> Response:
    try:
        verified = _verify(context, environ)
    except RefusedWebhook as refused:
        refusal = refused.refusal
        note_refusal_of(context, environ, refusal)
        return _json({"error": refusal.sentence}, refusal.status)
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
    return _json(result, 200)


class WebhookResponse(Response):
    """A response that is sent as it is. Werkzeug would look for headers to correct, of which it has none."""

    def __call__(self, environ: Mapping[str, Any], start_response: "StartResponse") -> Iterable[bytes]:
        """Answer, as PEP 3333 defines it."""
        start_response(self.status, self.headers.to_wsgi_list())
        return cast("Iterable[bytes]", self.response)


def _json(document: dict[str, str], status: int) -> Response:
    """Make a response as jsonify does, with less work."""
    return WebhookResponse(encoded(document) + b"\n", status, content_type="application/json")


def _verify(context: WebContext, environ: Mapping[str, Any]) -> Verified:
    if not context.accepts_webhooks_from(environ.get("REMOTE_ADDR")):
        raise RefusedWebhook(Refusal.ADDRESS_NOT_ALLOWED)
    result: Verified | RefusedWebhook | None = environ.get(VERIFIED)
    if isinstance(result, RefusedWebhook):
        raise result
    return result or verify_request(context, environ, environ.get(WHOLE_BODY) or _body(context.body_limits.max_bytes))


def _body(max_bytes: int) -> bytes:
    """Read the body, up to one byte more than is allowed. Raises RefusedWebhook if its length says that it is more."""
    if (request.content_length or 0) > max_bytes:
        raise RefusedWebhook(Refusal.TOO_LARGE)
    request.max_content_length = max_bytes + 1
    return request.get_data(cache=False)


def _attempt(header: str | None) -> int | None:
    """Read the number of Stream's attempt; None if the header is missing or not a small number."""
    if header and header.isascii() and header.isdigit() and len(header) <= MAX_ATTEMPT_DIGITS:
        return int(header)
    return None
