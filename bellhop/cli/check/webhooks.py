"""`bellhop check`: when the last webhook came, and which were turned away in the last hour."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from redis import Redis

from bellhop.cli.check.finding import Finding, Level
from bellhop.cli.check.reading import read_redis
from bellhop.clock import Micros, Seconds, micros, seconds
from bellhop.settings import Settings, StreamApp
from bellhop.store.redis_clock import read_time
from bellhop.telemetry.last_webhook import LastWebhook, read_last_webhooks
from bellhop.telemetry.turned_away import HOUR_S, TurnedAway, describe, read_last_hour

HOUR_US = micros(Seconds(HOUR_S))


class WebhooksOfLate(NamedTuple):
    """What Redis knows of the webhooks that came."""

    now: Micros
    last: Mapping[str, LastWebhook]
    """By tenant."""
    turned_away: Mapping[TurnedAway, int]

    def came_lately(self, tenant: str) -> bool:
        """Return whether a verified webhook of the app came in the last hour."""
        last = self.last.get(tenant)
        return last is not None and self.now - last.at < HOUR_US


async def read_arrivals(settings: Settings) -> WebhooksOfLate | None:
    """Read what Redis knows of webhooks; None if Redis does not answer."""
    return await read_redis(settings, _read)


def _read(redis: Redis) -> WebhooksOfLate:
    return WebhooksOfLate(read_time(redis.time()), read_last_webhooks(redis), read_last_hour(redis))


def findings(settings: Settings, arrivals: WebhooksOfLate) -> Iterator[Finding]:
    """Say when the last webhook came, and what was turned away."""
    for app in settings.stream_apps:
        yield _last(app, arrivals)
    for sentence in describe(arrivals.turned_away):
        # It is a warning: a stranger who posts here must not make the check fail. A wrong secret is found at Stream.
        yield Finding(Level.WARNING, "webhooks", sentence)


def _last(app: StreamApp, arrivals: WebhooksOfLate) -> Finding:
    last = arrivals.last.get(app.tenant)
    if last is None:
        return Finding(Level.WARNING, f"Stream {app.tenant}", "no webhook has come yet")
    came = datetime.fromtimestamp(last.at // 1_000_000, UTC)
    minutes = seconds(Micros(arrivals.now - last.at)) / 60
    sentence = f"the last webhook ({last.type}) came at {came:%Y-%m-%d %H:%M:%S} UTC, {minutes:.0f} min ago"
    return Finding(Level.OK, f"Stream {app.tenant}", sentence)
