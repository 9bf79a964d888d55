"""Requests that are refused because of their sender or their form: each gets a log line and is counted."""

import structlog
from flask import request

from bellhop.telemetry import metrics

log = structlog.get_logger()


def note_refusal(part: str, reason: str) -> None:
    """Log and count that the current request to a part of the web process (v1, metrics, console) was refused."""
    metrics.REQUESTS_REFUSED.add(part, reason)
    log.warning("request_refused", part=part, reason=reason, address=request.remote_addr)
