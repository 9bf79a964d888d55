"""What every door does with an event that it knows to be Stream's: read it, take it in, count it."""

import structlog
from structlog.contextvars import bound_contextvars

from webhook import effects, intake
from webhook.door import Door
from webhook.events import Ignored, UnreadableEvent
from webhook.reading import read
from worker.telemetry import metrics

log = structlog.get_logger()


def take(door: Door, tenant: str, body: bytes, webhook_id: str, now: int, attempt: int | None) -> dict[str, str]:
    """Take in the JSON in `body`, at `now` (unix µs); returns what to answer.

    What cannot be read is kept for people to look at, and is done with: nobody would word it better the next time.
    Raises redis.exceptions.RedisError when it was not taken.
    """
    with bound_contextvars(webhook=intake.webhook_key(tenant, webhook_id)):
        try:
            event = read(body)
        except UnreadableEvent as error:
            return keep(door, tenant, body, str(error), now)
        verdict = intake.take_in(
            door.intake,
            tenant,
            webhook_id,
            event,
            effects.effects(event, now, door.rules(tenant)),
            now,
            attempt=attempt,
            trail_ttl_s=door.trail_ttl_s,
            listed=door.settings.console,
        )
        door.outage.is_over()
        kind = "other" if isinstance(event, Ignored) else event.type
        metrics.WEBHOOKS.add(kind, verdict)
        if event.at is not None:
            metrics.WEBHOOK_AGE.observe(max(0.0, (now - event.at) / 1e6), kind)
        if event.left_out:
            log.warning("members_left_out", type=event.type, members=event.left_out)
        log.info("webhook", type=event.type, verdict=verdict)
        return {"status": verdict}


def keep(door: Door, tenant: str, body: bytes, reason: str, now: int) -> dict[str, str]:
    """Keep what cannot be read; returns what to answer. Raises RedisError."""
    door.keep_unreadable(tenant, body, reason, now)
    metrics.WEBHOOKS.add("unreadable", "kept")
    log.error("webhook_unreadable", tenant=tenant, reason=reason)
    return {"status": "kept", "reason": reason}
