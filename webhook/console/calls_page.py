"""The list of calls: found in the indexes (bellhop/call_index.py), each told by its trail."""

import time
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from redis import Redis

from bellhop.call_index import MOST_CALLS
from bellhop.explain.explanation import Explanation, explain
from bellhop.explain.summary import CallSummary, Flag, summarize
from bellhop.store.keys import calls_key, calls_of_user_key, devices_key, trail_key
from bellhop.trail import read_trail

PAGE = 25
"""Calls on a page."""
BATCH = 26
"""Trails read from Redis at a time."""
LOOKING_S = 0.5
"""How long to look for calls before the page says how far it got: the process has webhooks to answer."""

Entry = tuple[str, int]
"""A call's cid, and when it last began (unix µs)."""


class CallPage(NamedTuple):
    """One page of a list."""

    calls: list[CallSummary]
    older: int
    """Where the next page begins (unix µs); 0 when this is the last."""
    complete: bool
    """Whether the page is short because there are no more, rather than because looking took too long."""


def story(redis: Redis, tenant: str, cid: str, user: str = "") -> Explanation:
    """Explain a call. Raises redis.exceptions.RedisError, as everything here does."""
    lines: Any = redis.lrange(trail_key(tenant, cid), 0, -1)
    return explain(cid, read_trail(lines), user)


def page(
    redis: Redis, tenant: str, *, text: str = "", person: str = "", flag: Flag | None = None, before: int = 0
) -> CallPage:
    """Find a page of calls that began before `before` (unix µs; 0 for the latest), the latest first.

    `person` leaves only the calls of that person, `text` those and the calls with that text in their ids, `flag` the
    calls that have it.
    """
    found: list[tuple[Entry, CallSummary]] = []
    give_up = time.monotonic() + LOOKING_S
    for batch in _batches(redis, tenant, text, person, before):
        for entry, lines in zip(batch, _trails(redis, tenant, [cid for cid, _ in batch]), strict=True):
            if lines:  # a trail may be gone before its call leaves the list
                call = summarize(explain(entry[0], read_trail(lines)))
                found += [(entry, call)] if flag is None or flag in call.flags else []
            # One more than fits, to know whether there is another page.
            if len(found) > PAGE:
                return CallPage([call for _, call in found[:PAGE]], found[PAGE - 1][0][1], True)
            if time.monotonic() > give_up:
                return CallPage([call for _, call in found], entry[1], False)
    return CallPage([call for _, call in found], 0, True)


def is_person(redis: Redis, tenant: str, user_id: str) -> bool:
    """Whether somebody of that id made or had a call lately, or has a phone."""
    return bool(redis.exists(calls_of_user_key(tenant, user_id), devices_key(tenant, user_id)))


def _batches(redis: Redis, tenant: str, text: str, person: str, before: int) -> Iterator[list[Entry]]:
    if text:
        of_person = dict(_read(redis, calls_of_user_key(tenant, text), before, MOST_CALLS))
        by_id = {cid: at for cid, at in _read(redis, calls_key(tenant), before, MOST_CALLS) if text in cid}
        entries = sorted((by_id | of_person).items(), key=lambda entry: -entry[1])
        yield from (entries[start : start + BATCH] for start in range(0, len(entries), BATCH))
        return
    key = calls_of_user_key(tenant, person) if person else calls_key(tenant)
    while batch := _read(redis, key, before, BATCH):
        yield batch
        before = batch[-1][1]


def _read(redis: Redis, key: str, before: int, most: int) -> list[Entry]:
    latest = f"({before}" if before else "+inf"
    found: Any = redis.zrevrangebyscore(key, latest, "-inf", start=0, num=most, withscores=True)
    return [(cid.decode("utf-8", "replace"), int(at)) for cid, at in found]


def _trails(redis: Redis, tenant: str, cids: Iterable[str]) -> list[list[bytes]]:
    pipeline: Any = redis.pipeline(transaction=False)
    for cid in cids:
        pipeline.lrange(trail_key(tenant, cid), 0, -1)
    found: list[list[bytes]] = pipeline.execute()
    return found
