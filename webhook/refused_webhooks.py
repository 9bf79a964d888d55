"""Count a refused webhook: in the metrics by reason, and for people by reason, API key and address."""

from bellhop.telemetry import metrics
from bellhop.telemetry.turned_away import TURNED_AWAY
from webhook.client_address import client_name


def count_refused(reason: str, address: str | None, api_key: str | None = None, *, known_key: bool = False) -> None:
    """Count a webhook from `address`. `known_key`: the API key that it names is in the settings."""
    metrics.REFUSED.add(reason)
    TURNED_AWAY.add(reason, api_key, client_name(address), known_app=known_key)
