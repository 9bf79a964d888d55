"""The list of calls: found in the indexes (worker/recent.py), each told by its trail."""

import time
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from redis import Redis

from worker import trail
from worker.explain import Explanation, explain
from worker.glance import Flag, Glance, glance
from worker.recent import MOST_CALLS, calls_key, calls_of_key
from worker.registry import devices_key

PAGE = 25
"""Calls on a page."""
BATCH = 25
"""Trails read from Redis at a time."""
LOOKING_S = 1.5
"""How long to look for calls that a filter lets through, before the page says how far it got."""

Entry = tuple[str, int]
"""A call's cid, and when it last began (unix µs)."""


class Page(NamedTuple):
    """One page of a list."""

    calls: list[Glance]
    older: int
    """Where the next page begins (unix µs); 0 when this is the last."""
    complete: bool
    """Whether the page is short because there are no more, rather than because looking took too long."""


def story(redis: Redis, tenant: str, cid: str, user: str = "") -> Explanation:
    """Explain a call. Raises redis.exceptions.RedisError, as everything here does."""
    lines: Any = redis.lrange(trail.trail_key(tenant, cid), 0, -1)
    return explain(cid, [trail.read_line(line) for line in lines], user)


def page(
    redis: Redis, tenant: str, *, text: str = "", person: str = "", flag: Flag | None = None, before: int = 0
) -> Page:
    """Find a page of calls that began before `before` (unix µs; 0 for the latest), the latest first.

    `person` leaves only the calls of that person, `text` those and the calls with that text in their ids, `flag` the
    calls that have it.
    """
    entries = [entry for entry in _entries(redis, tenant, text, person) if not before or entry[1] < before]
    found: list[Glance] = []
    give_up = time.monotonic() + LOOKING_S
    for number, (entry, call) in enumerate(_told(redis, tenant, entries), 1):
        if call is not None and (flag is None or flag in call.flags):
            found.append(call)
        last = number == len(entries)
        if last or len(found) == PAGE or time.monotonic() > give_up:
            return Page(found, 0 if last else entry[1], last or len(found) == PAGE)
    return Page(found, 0, True)


def is_person(redis: Redis, tenant: str, user_id: str) -> bool:
    """Whether somebody of that id made or had a call lately, or has a phone."""
    return bool(redis.exists(calls_of_key(tenant, user_id), devices_key(tenant, user_id)))


def _entries(redis: Redis, tenant: str, text: str, person: str) -> list[Entry]:
    if person:
        return _read(redis, calls_of_key(tenant, person))
    if not text:
        return _read(redis, calls_key(tenant))
    of_person = dict(_read(redis, calls_of_key(tenant, text)))
    by_id = {cid: at for cid, at in _read(redis, calls_key(tenant)) if text in cid}
    return sorted((by_id | of_person).items(), key=lambda entry: -entry[1])


def _read(redis: Redis, key: str) -> list[Entry]:
    found: Any = redis.zrevrange(key, 0, MOST_CALLS - 1, withscores=True)
    return [(cid.decode("utf-8", "replace"), int(at)) for cid, at in found]


def _told(redis: Redis, tenant: str, entries: list[Entry]) -> Iterator[tuple[Entry, Glance | None]]:
    """Tell calls, a few at a time; None for one whose trail is gone."""
    for start in range(0, len(entries), BATCH):
        batch = entries[start : start + BATCH]
        for entry, lines in zip(batch, _trails(redis, tenant, [cid for cid, _ in batch]), strict=True):
            yield entry, glance(explain(entry[0], [trail.read_line(line) for line in lines])) if lines else None


def _trails(redis: Redis, tenant: str, cids: Iterable[str]) -> list[list[bytes]]:
    pipeline: Any = redis.pipeline(transaction=False)
    for cid in cids:
        pipeline.lrange(trail.trail_key(tenant, cid), 0, -1)
    found: list[list[bytes]] = pipeline.execute()
    return found
