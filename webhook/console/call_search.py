"""Find calls for the console's lists: candidates from the call index, each with the summary of its trail."""

import time
from collections.abc import Iterator, Sequence
from itertools import accumulate, takewhile
from typing import NamedTuple

from redis import Redis

from bellhop.call_index import FROM_LATEST, IndexedCall, calls_with, listed_calls
from bellhop.clock import Micros
from bellhop.explain.explanation import LatestRounds, explain_latest
from bellhop.explain.summary import MAX_LINES, CallSummary, Flag, summarize_trail
from bellhop.store.blocking_client import together
from bellhop.store.keys import trail_key
from bellhop.store.redis_clock import read_time
from bellhop.store.stored_trail import StoredTrail, read_stored_trail
from bellhop.trail import LENGTH, read_trail
from webhook.console.summary_cache import SummaryCache

PAGE_SIZE = 25
BATCH = 26
"""Trails read from Redis at a time."""
SEARCH_TIMEOUT_S = 0.5
"""How long a search by a flag may take before it returns what it has: the process also has to answer webhooks."""
MAX_CANDIDATES = 10 * BATCH
"""Calls that one page looks at. Some of them may have no trail any more."""


class CallPage(NamedTuple):
    """One page of a list of calls."""

    calls: list[CallSummary]
    older: Micros
    """Pass it as `before` to get the next page; 0 if this is the last one."""
    complete: bool
    """False if the search ran out of time before the page was full."""


def explain_call(redis: Redis, tenant: str, cid: str, user_id: str = "") -> LatestRounds:
    """Explain the latest rounds of a call from its trail. Raises redis.exceptions.RedisError."""
    lines, now, told, today = read_stored_trail(redis, tenant, cid)
    return explain_latest(cid, read_trail(lines), MAX_LINES, user_id, now, told, today)


def search_calls(
    redis: Redis,
    tenant: str,
    *,
    text: str = "",
    user_id: str = "",
    flag: Flag | None = None,
    before: Micros = FROM_LATEST,
    since: Micros = FROM_LATEST,
    timeout_s: float = SEARCH_TIMEOUT_S,
    summaries: SummaryCache | None = None,
) -> CallPage:
    """Find a page of calls that began before `before`, and not before `since`. The latest come first.

    `user_id` selects the calls of that user, with the results for that user. `text` selects calls by their ids, and by
    the ids and names of their people. `flag` selects calls with that flag: then each trail is read, until
    the time is over. Without a flag, `summaries` limits how many lines are read. Raises redis.exceptions.RedisError.
    """
    if text:
        batches = calls_with(redis, tenant, text, before, BATCH)
    else:
        batches = listed_calls(redis, tenant, user_id, before, BATCH)
    if since:
        batches = _not_before(since, batches)
    if flag is None:
        return _first_page(redis, tenant, batches, summaries or SummaryCache(LENGTH), user_id)
    found: list[tuple[IndexedCall, CallSummary]] = []
    give_up_s = time.monotonic() + timeout_s
    for candidate, call in _candidates(redis, tenant, batches):
        if call is not None and flag in call.flags:
            found.append((candidate, call))
        if len(found) > PAGE_SIZE:
            return _page(found)
        if time.monotonic() > give_up_s:
            return _page(found, older=candidate.began_at, complete=False)
    return _page(found)


def _first_page(
    redis: Redis, tenant: str, batches: Iterator[list[IndexedCall]], summaries: SummaryCache, user_id: str
) -> CallPage:
    found: list[tuple[IndexedCall, CallSummary]] = []
    looked_at = 0
    for batch in batches:
        shown = zip(batch, summaries.summaries(redis, tenant, batch, user_id), strict=True)
        found += [(candidate, call) for candidate, call in shown if call is not None]
        looked_at += len(batch)
        if len(found) > PAGE_SIZE:
            return _page(found)
        if looked_at >= MAX_CANDIDATES:
            return _page(found, older=batch[-1].began_at, complete=False)
    return _page(found)


def _page(
    found: Sequence[tuple[IndexedCall, CallSummary]], *, older: Micros = FROM_LATEST, complete: bool = True
) -> CallPage:
    """Make a page. If more is found than fits, it is full, and there is another page."""
    if len(found) > PAGE_SIZE:
        found = found[:PAGE_SIZE]
        older = found[-1][0].began_at
    return CallPage([call for _, call in found], older, complete)


def _candidates(
    redis: Redis, tenant: str, batches: Iterator[list[IndexedCall]]
) -> Iterator[tuple[IndexedCall, CallSummary | None]]:
    """Yield indexed calls with their summaries; None for a call whose trail has expired."""
    for batch in batches:
        for candidate, (lines, now, *_) in zip(batch, _trails(redis, tenant, batch), strict=True):
            yield candidate, summarize_trail(candidate.cid, read_trail(lines), now) if lines else None


def _not_before(since: Micros, batches: Iterator[list[IndexedCall]]) -> Iterator[list[IndexedCall]]:
    for batch in batches:
        later = list(takewhile(lambda call: call.began_at >= since, batch))
        if later:
            yield later
        if len(later) < len(batch):
            return


def _trails(redis: Redis, tenant: str, calls: Sequence[IndexedCall]) -> Iterator[StoredTrail]:
    """Read the trails of calls in groups. The trails of a group have together at most LENGTH lines."""
    keys = [trail_key(tenant, call.cid) for call in calls]
    *lengths, time = together(redis, *(("LLEN", key) for key in keys), ("TIME",))
    while keys:
        count = max(1, sum(1 for _ in takewhile(lambda total: total <= LENGTH, accumulate(lengths))))
        trails = together(redis, *(("LRANGE", key, 0, -1) for key in keys[:count]))
        yield from (StoredTrail(lines, read_time(time), ()) for lines in trails)
        keys, lengths = keys[count:], lengths[count:]
