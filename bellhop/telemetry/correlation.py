"""Ties a job to the webhook that caused it: one id in the log lines, one trace, the time in the queue."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

from structlog.contextvars import bind_contextvars

from bellhop.clock import Micros, elapsed
from bellhop.queue.job_payloads import Cause
from bellhop.telemetry import tracing
from bellhop.telemetry.metrics import QUEUE_WAIT


def origin(webhook: str, now: Micros) -> Cause:
    """Return the cause of a job that is queued `now`: the webhook's digest, and the span that is open here."""
    return Cause(webhook=webhook, queued_at=now, trace=tracing.traceparent())


def picked_up(queue: str, job_name: str, payload: Mapping[str, Any], now: Micros) -> AbstractContextManager[Any]:
    """Add the webhook's id to all further log lines of this task. Returns the job's span, for a `with` statement.

    `now` is Redis's time. A payload of an older version may have no cause; one from elsewhere may hold anything.
    """
    webhook, queued_at, trace = (payload.get(name) for name in ("webhook", "queued_at", "trace"))
    if isinstance(queued_at, int) and queued_at > 0:
        QUEUE_WAIT.observe(elapsed(Micros(queued_at), now), queue)
    bind_contextvars(webhook=str(webhook or ""))
    return tracing.span(job_name.rpartition(".")[2], "CONSUMER", str(trace or ""))
