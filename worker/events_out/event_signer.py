"""The headers that sign an event, as the specification of Standard Webhooks says. Pure."""

from collections.abc import Mapping, Sequence

from standardwebhooks.webhooks import Webhook

from bellhop.clock import MICROS_PER_SECOND, Micros, as_datetime


class EventSigner:
    """Signs with every secret of an endpoint, so that the receiver may know any of them while one is replaced."""

    def __init__(self, secrets: Sequence[str]) -> None:
        self._signers = [Webhook(secret) for secret in secrets]

    def headers(self, event_id: str, at: Micros, body: str) -> Mapping[str, str]:
        """Return the headers of a request at this time with this body."""
        return {
            "webhook-id": event_id,
            "webhook-timestamp": str(at // MICROS_PER_SECOND),
            "webhook-signature": " ".join(signer.sign(event_id, as_datetime(at), body) for signer in self._signers),
        }
