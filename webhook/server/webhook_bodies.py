"""The bodies of webhooks before a view reads them: how large they may be, and when they are verified.

The signature of a large body is made while the body arrives. A gzip body is inflated and verified in a separate thread,
in which the clients take turns.
"""

import time
from collections.abc import Mapping, MutableMapping
from typing import Any

from webhook.client_address import client_name, forwarded_client
from webhook.context import WebContext
from webhook.intake.failure_limit import Client
from webhook.intake.signature import (
    GZIP_MAGIC,
    Refusal,
    RefusedWebhook,
    RunningSignature,
    Verified,
    check_without_body,
)
from webhook.server.http_request import HttpRequest
from webhook.verified_request import VERIFIED, failing_client, verify_request

TARGET = b"/webhooks/stream"


class WebhookBodies:
    """What the server does with the bodies of `POST /webhooks/stream`."""

    def __init__(self, context: WebContext) -> None:
        self._context = context

    def is_webhook(self, request: HttpRequest) -> bool:
        """Return whether the body is a webhook's, so that it may have the size of a webhook."""
        return request.method == "POST" and request.target.partition(b"?")[0] == TARGET

    def client_of(self, request: HttpRequest, peer: str) -> str:
        """Return the client's name."""
        if not request.client:
            request.client = client_name(self._address_of(request, peer))
        return request.client

    def _address_of(self, request: HttpRequest, peer: str) -> str:
        """Return the client's address, which only trusted proxies may forward."""
        forwarded = b",".join(value for name, value in request.headers if name == b"x-forwarded-for")
        return forwarded_client(forwarded.decode("latin-1"), peer, self._context.settings.web_trusted_hops)

    def begin_signature(self, request: HttpRequest) -> RunningSignature:
        """Begin the signature of a large body, by the secrets of the API key that the request names."""
        return RunningSignature(self._context.key_ring.find(_header(request, b"x-api-key")))

    def refusal_by_headers(self, request: HttpRequest) -> RefusedWebhook | None:
        """Return why a webhook is refused with any body; None if the body must be read."""
        return self._refusal(request)

    def refusal_by_signature(self, request: HttpRequest) -> RefusedWebhook | None:
        """Return why a large webhook is refused, without another look at its body; None if the view must look."""
        too_large = request.size > self._context.body_limits.max_bytes
        if request.signature is None or too_large or request.body.startswith(GZIP_MAGIC):
            return None
        return self._refusal(request, request.signature)

    def _refusal(self, request: HttpRequest, running: RunningSignature | None = None) -> RefusedWebhook | None:
        signature, api_key = _header(request, b"x-signature"), _header(request, b"x-api-key")
        try:
            check_without_body(self._context.key_ring, signature, api_key, running)
        except RefusedWebhook as refused:
            return refused
        return None

    def must_inflate(self, request: HttpRequest, peer: str) -> bool:
        """Return whether the request is a webhook with a whole gzip body, from an address that may post webhooks."""
        if not request.body.startswith(GZIP_MAGIC) or request.cut or not self.is_webhook(request):
            return False
        return self._context.accepts_webhooks_from(self._address_of(request, peer))

    def verify(self, environ: MutableMapping[str, Any], body: bytes, client: str) -> None:
        """Inflate and verify a client's body. The view gets the result, or the reason why it is refused.

        A right signature ends the failures of its client, which may share its address with an attacker.
        """
        try:
            environ[VERIFIED] = verify_request(self._context, environ, body)
            self._context.failures.forget(self._failing(client, environ))
        except RefusedWebhook as refused:
            environ[VERIFIED] = refused

    def refuse_busy(self, environ: MutableMapping[str, Any]) -> None:
        """Let the view refuse a body because too many wait."""
        environ[VERIFIED] = RefusedWebhook(Refusal.BUSY)

    def failed_often(self, client: str, environ: Mapping[str, Any]) -> bool:
        """Return whether the client lately sent many webhooks that were refused."""
        return self._context.failures.exceeded(self._failing(client, environ), time.monotonic())

    def _failing(self, client: str, environ: Mapping[str, Any]) -> Client:
        return failing_client(self._context, client, environ.get("HTTP_X_API_KEY"))


def _header(request: HttpRequest, wanted: bytes) -> str | None:
    """Return a header as the view gets it; None if it is missing."""
    values = [value.decode("latin-1") for name, value in request.headers if name == wanted]
    return ",".join(values) if values else None


def verified_bytes(environ: Mapping[str, Any]) -> int:
    """Return the size of the inflated body that `verify` left to the view."""
    result = environ.get(VERIFIED)
    return len(result.body) if isinstance(result, Verified) else 0
