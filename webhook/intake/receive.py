"""What every door does with an event that it knows to be Stream's: read it, take it in, count it."""

import structlog
from structlog.contextvars import bound_contextvars

from bellhop.clock import Micros
from bellhop.telemetry import metrics
from webhook.context import WebContext
from webhook.intake import apply, effects
from webhook.intake.events import Ignored, UnreadableEvent
from webhook.intake.parsing import read

log = structlog.get_logger()


def take(
    context: WebContext, tenant: str, body: bytes, webhook_id: str, now: Micros, attempt: int | None
) -> dict[str, str]:
    """Take in the JSON in `body`, at `now` (unix µs); returns what to answer.

    What cannot be read is kept for people to look at, and is done with: nobody would word it better the next time.
    Raises redis.exceptions.RedisError when it was not taken.
    """
    with bound_contextvars(webhook=apply.webhook_digest(tenant, webhook_id)):
        try:
            event = read(body)
        except UnreadableEvent as error:
            return keep(context, tenant, body, str(error), now)
        verdict = apply.take_in(
            context.intake,
            tenant,
            webhook_id,
            event,
            effects.effects(event, now, context.rules(tenant)),
            now,
            attempt=attempt,
            trail_ttl_s=context.trail_ttl_s,
            listed=context.settings.console,
        )
        context.outage.is_over()
        kind = "other" if isinstance(event, Ignored) else event.type
        metrics.WEBHOOKS.add(kind, verdict)
        if event.at is not None:
            metrics.WEBHOOK_AGE.observe(max(0.0, (now - event.at) / 1e6), kind)
        if event.left_out:
            log.warning("members_left_out", type=event.type, members=event.left_out)
        log.info("webhook", type=event.type, verdict=verdict)
        return {"status": verdict}


def keep(context: WebContext, tenant: str, body: bytes, reason: str, now: Micros) -> dict[str, str]:
    """Keep what cannot be read; returns what to answer. Raises RedisError."""
    context.keep_unreadable(tenant, body, reason, now)
    metrics.WEBHOOKS.add("unreadable", "kept")
    log.error("webhook_unreadable", tenant=tenant, reason=reason)
    return {"status": "kept", "reason": reason}
