"""POST /webhooks/sns: where Amazon's SNS posts the events that Stream publishes on a topic."""

import hashlib
import http.client
import time
from typing import cast
from urllib.parse import urlsplit

import structlog
from flask import Blueprint, Response, current_app, jsonify, request

from bellhop.settings import Settings
from bellhop.telemetry import metrics
from webhook.context import WebContext
from webhook.intake.receive import keep, take
from webhook.sources.amazon.certificates import Certificates, Clock, Fetch, NotFetchedError
from webhook.sources.amazon.envelope import UnreadableMessage, unwrap
from webhook.sources.amazon.sns_message import NotAmazonsError, SnsMessage, of_amazon, read, verify

blueprint = Blueprint("sns", __name__)
log = structlog.get_logger()

FETCH_S = 3.0
LONGEST = 65_536


def fetch(url: str) -> bytes:
    """GET an https URL, following no redirect. Raises OSError or http.client.HTTPException."""
    parts = urlsplit(url)
    connection = http.client.HTTPSConnection(parts.netloc, timeout=FETCH_S)
    try:
        connection.request("GET", f"{parts.path}?{parts.query}")
        answer = connection.getresponse()
        if answer.status != 200:
            raise http.client.HTTPException(f"status {answer.status}")
        return answer.read(LONGEST)
    finally:
        connection.close()


class Topics:
    """The topics that we know, and Amazon's certificates. Made once for each web process."""

    def __init__(self, settings: Settings, fetch: Fetch = fetch, clock: Clock = time.monotonic) -> None:
        listed = [topic for app in settings.stream_apps for topic in app.sns_topics]
        if len(set(listed)) < len(listed):
            raise ValueError("an SNS topic is listed twice: its events are one app's")
        self.tenants = {topic: app.tenant for app in settings.stream_apps for topic in app.sns_topics}
        self.fetch = fetch
        self._certificates = Certificates(fetch, clock)

    def verified(self, body: bytes) -> SnsMessage:
        """Read and verify a message. Raises NotAmazonsError and NotFetchedError."""
        message = read(body, self.tenants)
        verify(message, self._certificates.get(message.certificate_url))
        return message


@blueprint.post("/webhooks/sns")
def sns() -> tuple[Response, int]:
    """Verify, then take in or confirm. SNS repeats after 5xx only."""
    began, topics = time.perf_counter(), cast(Topics, current_app.extensions["sns"])
    try:
        message = topics.verified(request.get_data(cache=False))
    except NotAmazonsError as error:
        metrics.REFUSED.add("not_amazons")
        log.warning("sns_message_refused", reason=str(error), address=request.remote_addr)
        return jsonify(error=str(error)), 403
    except NotFetchedError as error:
        log.error("sns_certificate_not_fetched", reason=str(error))
        return jsonify(error="Amazon's certificate cannot be fetched: try again."), 503
    if message.type == "Notification":
        answer = _take_in(topics.tenants[message.topic], message)
        metrics.INTAKE.observe(time.perf_counter() - began)
        return jsonify(answer), 200
    if message.type == "SubscriptionConfirmation":
        return _confirm(topics, message)
    log.warning("sns_unsubscribed", topic=message.topic)
    return jsonify(status="ignored"), 200


def _take_in(tenant: str, message: SnsMessage) -> dict[str, str]:
    context = cast(WebContext, current_app.extensions["context"])
    now = context.now()
    text = message.fields.get("Message", "")
    try:
        body = unwrap(text)
    except UnreadableMessage as error:
        return keep(context, tenant, text.encode("utf-8", "surrogatepass"), str(error), now)
    return take(context, tenant, body, hashlib.sha256(body).hexdigest(), now, None)


def _confirm(topics: Topics, message: SnsMessage) -> tuple[Response, int]:
    url = message.fields.get("SubscribeURL", "")
    if not of_amazon(url, message.topic):
        return jsonify(error="SubscribeURL does not lead to Amazon."), 403
    try:
        topics.fetch(url)
    except (OSError, http.client.HTTPException) as error:
        log.error("sns_subscription_not_confirmed", topic=message.topic, error=type(error).__name__)
        return jsonify(error="Amazon does not take the confirmation: try again."), 503
    log.info("sns_subscription_confirmed", topic=message.topic)
    return jsonify(status="confirmed"), 200
