"""How many calls rang in the last hour, and what became of the pushes for them.

A process adds its counts to Redis with its metrics, every second. Metrics are sums since the beginning.
"""

import json
import time
from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from redis import Redis

from bellhop.domain.outcomes import Outcome
from bellhop.store.blocking_client import together
from bellhop.store.keys import last_hour_key
from bellhop.store.scripts import Command

HOUR_S = 3600
SLOT_S = 600
"""The time that one key counts."""
MAX_ENTRIES = 100
RINGS = "rings"
"""Counts rings that were taken in. The other entries are the final outcomes of rings for a phone, or for a user without
one."""


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
    args: list[str | int] = [MAX_ENTRIES, HOUR_S + 2 * SLOT_S]
    for entry, amount in entries.items():
        args += [json.dumps(entry), json.dumps("other"), amount]
    return Command("metrics/add_turned_away", [last_hour_key(_slot(time.time()))], args)


def read_last_hour(redis: Redis) -> LastHour:
    """Read the counts of the last hour, and of up to ten minutes before. Raises redis.exceptions.RedisError."""
    now_s = time.time()
    keys = [last_hour_key(_slot(now_s - ago_s)) for ago_s in range(0, HOUR_S + SLOT_S, SLOT_S)]
    total: Counter[str] = Counter()
    for counts in together(redis, *(("HGETALL", key) for key in keys)):
        for entry, amount in counts.items():
            total[json.loads(entry)] += int(amount)
    rings = total.pop(RINGS, 0)
    return LastHour(rings, dict(total.most_common()))


def _slot(time_s: float) -> int:
    return int(time_s // SLOT_S) * SLOT_S
