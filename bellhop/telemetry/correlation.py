"""What ties a job to the webhook that caused it: one id in every log line on the way, its trace, and when it came."""

import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

from structlog.contextvars import bind_contextvars

from bellhop.clock import Micros, elapsed, from_nanoseconds
from bellhop.queue.job_payloads import Cause
from bellhop.telemetry import tracing
from bellhop.telemetry.metrics import QUEUE_WAIT


def origin(webhook: str, now: Micros) -> Cause:
    """Return the cause of a job that is queued `now`: the webhook's digest, and the span that is open here."""
    return Cause(webhook=webhook, queued_at=now, trace=tracing.traceparent())


def picked_up(queue: str, job_name: str, payload: Mapping[str, Any]) -> AbstractContextManager[Any]:
    """Tie the log lines of this task to its job's cause, for as long as it lives; returns the job's span, for a `with`.

    Payloads of older versions name no cause.
    """
    webhook, queued_at, trace = (payload.get(name) for name in ("webhook", "queued_at", "trace"))
    if isinstance(queued_at, int) and queued_at > 0:
        QUEUE_WAIT.observe(elapsed(Micros(queued_at), from_nanoseconds(time.time_ns())), queue)
    bind_contextvars(webhook=str(webhook or ""))
    return tracing.span(job_name.rpartition(".")[2], "CONSUMER", str(trace or ""))
