"""How many calls rang in the last hour, and how the pushes for them ended.

A process adds its counts to Redis with its metrics, every second. The metrics do not show this, since they are
sums from the beginning on.
"""

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from redis import Redis

from bellhop.domain.outcomes import Outcome
from bellhop.store.keys import last_hour_key
from bellhop.store.scripts import Command
from bellhop.telemetry.hour_slots import add_counts, read_counts

MAX_ENTRIES = 100
RINGS = "rings"
"""The entry that counts rings which were taken in. All other entries are outcomes: how the push to a phone ended, or
why a user got no push."""


class LastHour(NamedTuple):
    """The counts."""

    rings: int
    phones: Mapping[str, int]
    """By outcome, the most frequent first."""

    @property
    def reached(self) -> int:
        """Phones for which the provider accepted the push."""
        return self.phones.get(Outcome.ACCEPTED, 0)


def entry_of(sample: tuple[str, ...]) -> str | None:
    """Return what to count for a sample of the metrics; None for all others."""
    if sample == ("bellhop_webhooks_total", "call.ring", "taken"):
        return RINGS
    if sample[0] == "bellhop_pushes_total" and sample[3] == "ring":
        return sample[4]
    return None


def count(entries: Mapping[str, int]) -> Command:
    """Return the script that adds the counts."""
    return add_counts(last_hour_key, MAX_ENTRIES, ((entry, "other", amount) for entry, amount in entries.items()))


def read_last_hour(redis: Redis) -> LastHour:
    """Read the counts of the last hour, and of up to ten minutes before. Raises redis.exceptions.RedisError."""
    total: Counter[str] = Counter()
    for entry, amount in read_counts(redis, last_hour_key):
        total[entry] += amount
    rings = total.pop(RINGS, 0)
    return LastHour(rings, dict(total.most_common()))
