"""Count a refused webhook: in the metrics by reason, and for people by reason, API key and address."""

import structlog

from bellhop.telemetry import metrics
from bellhop.telemetry.turned_away import TURNED_AWAY
from webhook.client_address import client_name
from webhook.intake.signature import Refusal

log = structlog.get_logger()


def count_refused(reason: str, address: str | None, api_key: str | None = None, *, known_key: bool = False) -> None:
    """Count a webhook from `address`. `known_key`: the API key that it names is in the settings."""
    metrics.REFUSED.add(reason)
    TURNED_AWAY.add(reason, api_key, client_name(address), known_app=known_key)


def note_refused(
    refusal: Refusal, address: str | None, api_key: str | None, *, known_key: bool = False, **details: str
) -> None:
    """Count a refused webhook as `count_refused` does, and log it, with `details`."""
    count_refused(refusal.label, address, api_key, known_key=known_key)
    log.warning("webhook_refused", reason=refusal.label, address=address, **details)
