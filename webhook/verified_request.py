"""Verify the request of a webhook, and refuse it: for the view, and for the server that verifies before the view."""

import time
from collections.abc import Mapping, MutableMapping
from typing import Any

from webhook.client_address import client_name
from webhook.context import WebContext
from webhook.intake.failure_limit import Client
from webhook.intake.signature import Refusal, Verified, verify
from webhook.refused_webhooks import note_refused

VERIFIED = "bellhop.verified"
"""The WSGI variable with the result of a body that was verified before the view: Verified or RefusedWebhook."""
SIGNATURE = "bellhop.signature"
"""The WSGI variable with the RunningSignature of a body that was read while it arrived."""
ANSWER_AFTER_S = "bellhop.answer_after_s"
"""The WSGI variable by which a view says that its response must wait. Other servers than ours ignore it."""
SLOW_S = 1.0
"""How long a refusal waits if its client was refused too often."""
NOT_THE_CLIENTS_FAULT = (Refusal.BUSY, Refusal.ADDRESS_NOT_ALLOWED)


def verify_request(context: WebContext, environ: Mapping[str, Any], body: bytes) -> Verified:
    """Verify the body of a request. Raises RefusedWebhook."""
    return verify(
        context.key_ring,
        body,
        signature=environ.get("HTTP_X_SIGNATURE"),
        api_key=environ.get("HTTP_X_API_KEY"),
        content_encoding=environ.get("HTTP_CONTENT_ENCODING"),
        limits=context.body_limits,
        running=environ.get(SIGNATURE),
    )


def failing_client(context: WebContext, client: str, api_key: str | None) -> Client:
    """Return the client under which failures are counted. All API keys that are not in the settings count as one."""
    return client, (api_key or "") if context.key_ring.find(api_key) else "unknown"


def note_refusal_of(context: WebContext, environ: MutableMapping[str, Any], refusal: Refusal) -> None:
    """Count and log a refusal. If the client fails often, its response has to wait."""
    address, api_key = environ.get("REMOTE_ADDR"), context.key_ring.key_of(environ.get("HTTP_X_API_KEY"))
    note_refused(refusal, address, api_key, known_key=context.key_ring.find(api_key) is not None)
    if refusal in NOT_THE_CLIENTS_FAULT:
        return
    client, now_s = failing_client(context, client_name(address), environ.get("HTTP_X_API_KEY")), time.monotonic()
    context.failures.note(client, now_s)
    if context.failures.exceeded(client, now_s):
        environ[ANSWER_AFTER_S] = SLOW_S
