"""Requests that are refused because of their sender or their form: each gets a log line and is counted."""

import structlog
from flask import request

from bellhop.telemetry import metrics

log = structlog.get_logger()


def note_refusal(part: str, reason: str, address: str | None = None) -> None:
    """Log and count that a request to a part of the web process (v1, metrics, console) was refused.

    `address` is the client's; without it, that of the current request.
    """
    metrics.REQUESTS_REFUSED.add(part, reason)
    address = request.remote_addr if address is None else address
    log.warning("request_refused", part=part, reason=reason, address=address)
