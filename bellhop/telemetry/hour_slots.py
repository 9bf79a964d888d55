"""Counts of the last hour: in Redis, one hash for each ten minutes. They expire."""

import json
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from redis import Redis

from bellhop.store.blocking_client import together
from bellhop.store.scripts import Argument, Command

HOUR_S = 3600
SLOT_S = 600
"""The time that one key counts."""

Key = Callable[[int], str]
"""Makes the key of the ten minutes that begin at a time (unix s)."""


def add_counts(key: Key, most_entries: int, counts: Iterable[tuple[object, object, int]]) -> Command:
    """Return the script that adds counts: of each the entry, the entry to count if there are too many, and the amount.

    If the script fails, these counts are lost.
    """
    args: list[Argument] = [most_entries, HOUR_S + 2 * SLOT_S]
    for entry, rest, amount in counts:
        args += [json.dumps(entry), json.dumps(rest), amount]
    return Command("metrics/add_turned_away", [key(_slot(time.time()))], args)


def read_counts(redis: Redis, key: Key) -> Iterator[tuple[Any, int]]:
    """Yield the entries and amounts of the last hour, and of up to ten minutes before. An entry may come several times.

    Raises redis.exceptions.RedisError.
    """
    now_s = time.time()
    keys = [key(_slot(now_s - ago_s)) for ago_s in range(0, HOUR_S + SLOT_S, SLOT_S)]
    for counts in together(redis, *(("HGETALL", name) for name in keys)):
        for entry, amount in counts.items():
            yield json.loads(entry), int(amount)


def _slot(time_s: float) -> int:
    return int(time_s // SLOT_S) * SLOT_S
