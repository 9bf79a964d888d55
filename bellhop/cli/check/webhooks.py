"""`bellhop check`: when the last webhook came, and which were turned away in the last hour."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from redis import Redis

from bellhop.cli.check.finding import Finding, Level
from bellhop.cli.check.reading import read_redis
from bellhop.clock import Micros, Seconds, as_datetime, micros, seconds
from bellhop.settings import Settings
from bellhop.store.keys import METRICS_KEY
from bellhop.store.redis_clock import read_time
from bellhop.telemetry.hour_slots import HOUR_S
from bellhop.telemetry.last_webhook import LastWebhook, read_last_webhooks
from bellhop.telemetry.metrics import WEBHOOKS, read_samples
from bellhop.telemetry.turned_away import TurnedAway, describe, read_last_hour

RING = "call.ring"
LATE_S = 30.0
"""Stream gives an event up after 15 s. What comes later was held up on the way, or a clock is wrong."""
HOUR_US = micros(Seconds(HOUR_S))


class LatestWebhooks(NamedTuple):
    """The last webhook of each app, and those that were turned away in the last hour."""

    now: Micros
    last: Mapping[str, LastWebhook]
    """By tenant."""
    turned_away: Mapping[TurnedAway, int]
    has_ring: bool
    """Whether a call.ring ever came."""

    def came_lately(self, tenant: str) -> bool:
        """Return whether a verified webhook of the app came in the last hour."""
        last = self.last.get(tenant)
        return last is not None and self.now - last.at < HOUR_US


async def read_arrivals(settings: Settings) -> LatestWebhooks | None:
    """Read what Redis knows of webhooks; None if Redis does not answer."""
    return await read_redis(settings, _read)


def _read(redis: Redis) -> LatestWebhooks:
    sums: Any = redis.hgetall(METRICS_KEY)
    has_ring = any(sample[:2] == (WEBHOOKS.name, RING) for sample in read_samples(sums))
    return LatestWebhooks(read_time(redis.time()), read_last_webhooks(redis), read_last_hour(redis), has_ring)


def findings(settings: Settings, arrivals: LatestWebhooks) -> Iterator[Finding]:
    """Say when the last webhook came, and what was turned away."""
    for app in settings.stream_apps:
        yield from _last(f"Stream {app.tenant}", arrivals.last.get(app.tenant), arrivals)
    without_addresses: Counter[TurnedAway] = Counter()
    for what, amount in arrivals.turned_away.items():
        without_addresses[what._replace(address="")] += amount
    for sentence, kept in zip(describe(arrivals.turned_away), describe(without_addresses), strict=True):
        # It is a warning: a stranger who posts here must not make the check fail. A wrong secret is found at Stream.
        yield Finding(Level.WARNING, "webhooks", sentence, kept)


def _last(subject: str, last: LastWebhook | None, arrivals: LatestWebhooks) -> Iterator[Finding]:
    if last is None:
        yield Finding(Level.WARNING, subject, "no webhook has come yet")
        return
    came = as_datetime(last.at)
    minutes = seconds(Micros(arrivals.now - last.at)) / 60
    sentence = f"the last webhook ({last.type}) came at {came:%Y-%m-%d %H:%M:%S} UTC, {minutes:.0f} min ago"
    if last.age_s > LATE_S:
        late = f"{sentence}, {last.age_s:.0f} s after Stream sent it"
        why = "look on Stream's dashboard for attempts that failed, and set Redis's clock right (NTP)"
        yield Finding(Level.WARNING, subject, f"{late}: {why}")
    else:
        yield Finding(Level.OK, subject, sentence)
    if last.type != RING and not arrivals.has_ring:
        sentence = "webhooks come, but no call.ring yet: does the app create its calls with ring: true?"
        yield Finding(Level.WARNING, subject, sentence)
