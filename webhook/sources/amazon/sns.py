"""POST /webhooks/sns: Amazon's SNS posts the events here that Stream publishes to a topic."""

import hashlib
import http.client
import time
from typing import cast
from urllib.parse import urlsplit

import structlog
from flask import Blueprint, Response, current_app, jsonify, request

from bellhop.clock import Seconds
from bellhop.settings import Settings
from bellhop.telemetry import metrics
from webhook.context import web_context
from webhook.intake.receive import receive, receive_unreadable
from webhook.refused_webhooks import count_refused
from webhook.sources.amazon.certificates import Certificates, Clock, Fetch, NotFetchedError
from webhook.sources.amazon.envelope import UnreadableMessage, unwrap
from webhook.sources.amazon.sns_message import (
    NotAmazonsError,
    SnsMessage,
    is_sns_url,
    read_sns_message,
    verify_sns_message,
)

blueprint = Blueprint("sns", __name__)
log = structlog.get_logger()

FETCH_TIMEOUT_S = 3.0
MAX_CERTIFICATE_BYTES = 65_536
MAX_BODY_BYTES = 1 << 20
"""SNS takes messages of up to 256 KiB, whose characters may be escaped twice."""


def fetch(url: str) -> bytes:
    """GET an https URL without following redirects. Raises OSError or http.client.HTTPException."""
    parts = urlsplit(url)
    connection = http.client.HTTPSConnection(parts.netloc, timeout=FETCH_TIMEOUT_S)
    try:
        connection.request("GET", f"{parts.path}?{parts.query}")
        response = connection.getresponse()
        if response.status != 200:
            raise http.client.HTTPException(f"status {response.status}")
        return response.read(MAX_CERTIFICATE_BYTES)
    finally:
        connection.close()


class Topics:
    """The configured topics, and Amazon's certificates. Made once for each web process."""

    def __init__(self, settings: Settings, fetch: Fetch = fetch, clock: Clock = time.monotonic) -> None:
        listed = [topic for app in settings.stream_apps for topic in app.sns_topics]
        if len(set(listed)) < len(listed):
            raise ValueError("an SNS topic is listed twice: it must belong to one app")
        self.tenant_of_topic = {topic: app.tenant for app in settings.stream_apps for topic in app.sns_topics}
        self.fetch = fetch
        self._certificates = Certificates(fetch, clock)

    def verified(self, body: bytes) -> SnsMessage:
        """Read and verify a message. Raises NotAmazonsError and NotFetchedError."""
        message = read_sns_message(body, self.tenant_of_topic)
        verify_sns_message(message, self._certificates.get(message.certificate_url))
        return message


@blueprint.post("/webhooks/sns")
def sns() -> tuple[Response, int]:
    """Verify a message, then receive its event or confirm the subscription. SNS repeats only after a 5xx."""
    started_s, topics = time.perf_counter(), cast(Topics, current_app.extensions["sns"])
    request.max_content_length = MAX_BODY_BYTES
    try:
        message = topics.verified(request.get_data(cache=False))
    except NotAmazonsError as error:
        count_refused("not_amazons", request.remote_addr)
        log.warning("sns_message_refused", reason=str(error), address=request.remote_addr)
        return jsonify(error=str(error)), 403
    except NotFetchedError as error:
        log.error("sns_certificate_not_fetched", reason=str(error))
        return jsonify(error="Amazon's certificate cannot be fetched now. Try again."), 503
    if message.type == "Notification":
        result = _receive(topics.tenant_of_topic[message.topic], message)
        metrics.INTAKE.observe(Seconds(time.perf_counter() - started_s))
        return jsonify(result), 200
    if message.type == "SubscriptionConfirmation":
        return _confirm(topics, message)
    log.warning("sns_unsubscribed", topic=message.topic)
    return jsonify(status="ignored"), 200


def _receive(tenant: str, message: SnsMessage) -> dict[str, str]:
    context = web_context()
    now = context.now()
    text = message.fields.get("Message", "")
    try:
        body = unwrap(text)
    except UnreadableMessage as error:
        return receive_unreadable(context.intake, tenant, text.encode("utf-8", "surrogatepass"), str(error), now)
    return receive(context.intake, tenant, body, hashlib.sha256(body).hexdigest(), now, None, may_be_late=True)


def _confirm(topics: Topics, message: SnsMessage) -> tuple[Response, int]:
    url = message.fields.get("SubscribeURL", "")
    if not is_sns_url(url, message.topic):
        return jsonify(error="SubscribeURL is not a URL of Amazon SNS."), 403
    try:
        topics.fetch(url)
    except (OSError, http.client.HTTPException) as error:
        log.error("sns_subscription_not_confirmed", topic=message.topic, error=type(error).__name__)
        return jsonify(error="Amazon does not accept the confirmation now. Try again."), 503
    log.info("sns_subscription_confirmed", topic=message.topic)
    return jsonify(status="confirmed"), 200
