"""The summaries of calls that the console's list shows, kept in memory while their trails do not change.

The list is refreshed every three seconds, by the process that answers webhooks. So one request reads and explains a
limited number of lines: of a long trail only the end, and of a list of changed trails as many as fit. The others are
shown as they were, and come first at the next request.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from itertools import accumulate, takewhile
from typing import Any, NamedTuple

from redis import Redis

from bellhop.call_index import IndexedCall
from bellhop.clock import Micros
from bellhop.domain.outcomes import Tone
from bellhop.explain.summary import CallSummary, Extent, summarize_end, summarize_for, without_summary
from bellhop.store.blocking_client import together
from bellhop.store.keys import trail_key
from bellhop.store.redis_clock import read_time
from bellhop.store.stored_trail import BYTES_OF_LINE
from bellhop.trail import read_trail

MAX_SUMMARIES = 2_000
"""Summaries in memory. Each takes about a kilobyte."""
OPEN_VALID_S = 5.0
"""How long the summary of a call that is not over is used again."""
VALID_S = 60.0
"""How long any other summary is. If a person is forgotten, a line in the middle changes, which `TrailState` does not
show."""

TrailState = tuple[int, bytes]
"""The number of lines and the last line. If both are the same, nothing was added to the trail."""


class KeptSummary(NamedTuple):
    """A summary, the state of the trail from which it was made, and when (by the monotonic clock)."""

    state: TrailState
    summary: CallSummary
    made_at_s: float


class SummaryCache:
    """Makes and keeps summaries. One request explains at most about `most_lines` lines. Thread-safe."""

    def __init__(self, most_lines: int) -> None:
        self._most_lines = most_lines
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, str, str], KeptSummary] = OrderedDict()

    def summaries(
        self, redis: Redis, tenant: str, calls: Sequence[IndexedCall], user: str = ""
    ) -> list[CallSummary | None]:
        """Return the summary of each call; None for a call without a trail. Raises redis.exceptions.RedisError.

        With `user`, each is the result for that user.
        """
        states, now = _states(redis, tenant, calls)
        kept = {call.cid: self._kept.get((tenant, call.cid, user)) for call in calls}
        changed = [call for call in calls if states[call.cid][0] and _is_new(kept[call.cid], states[call.cid])]
        changed.sort(key=lambda call: _made_at_s(kept[call.cid]))  # those that wait longest come first
        left = self._most_lines
        for call in changed:
            lines = min(states[call.cid][0], self._most_lines)
            if lines > left and left < self._most_lines:
                continue
            summary, cost = self._summarize(redis, tenant, call, states[call.cid][0], now, user)
            kept[call.cid] = self._keep(
                (tenant, call.cid, user), KeptSummary(states[call.cid], summary, time.monotonic())
            )
            left -= max(lines, cost)
        return [_shown(call, kept[call.cid], states[call.cid]) for call in calls]

    def _summarize(
        self, redis: Redis, tenant: str, call: IndexedCall, length: int, now: Micros, user: str
    ) -> tuple[CallSummary, int]:
        """Return a summary, and how many lines and users were explained for it."""
        stored: Any = redis.lrange(trail_key(tenant, call.cid), -self._most_lines, -1)
        lines = _end(stored, self._most_lines * BYTES_OF_LINE)
        if len(lines) < length:
            summary = summarize_end(call.cid, read_trail(lines), self._most_lines, now, user)
            return summary or without_summary(call.cid, call.began_at, Extent.TOO_LONG), len(lines)
        summary, users = summarize_for(call.cid, read_trail(lines), self._most_lines, now, user)
        return summary, len(lines) + users

    def _keep(self, key: tuple[str, str, str], summary: KeptSummary) -> KeptSummary:
        with self._lock:
            self._kept[key] = summary
            self._kept.move_to_end(key)
            if len(self._kept) > MAX_SUMMARIES:
                self._kept.popitem(last=False)
        return summary


def _states(redis: Redis, tenant: str, calls: Sequence[IndexedCall]) -> tuple[dict[str, TrailState], Micros]:
    keys = [trail_key(tenant, call.cid) for call in calls]
    commands = [command for key in keys for command in (("LLEN", key), ("LINDEX", key, -1))]
    *answers, redis_time = together(redis, *commands, ("TIME",))
    ends = zip(calls, answers[::2], answers[1::2], strict=True)
    return {call.cid: (length, last or b"") for call, length, last in ends}, read_time(redis_time)


def _is_new(kept: KeptSummary | None, state: TrailState) -> bool:
    """Whether the trail has changed since its summary was made. A call that is not over changes with time too."""
    if kept is None or kept.state != state:
        return True
    is_open = kept.summary.tone is Tone.OPEN and kept.summary.extent is not Extent.TOO_LONG
    return time.monotonic() - kept.made_at_s > (OPEN_VALID_S if is_open else VALID_S)


def _made_at_s(kept: KeptSummary | None) -> float:
    return 0.0 if kept is None else kept.made_at_s


def _shown(call: IndexedCall, kept: KeptSummary | None, state: TrailState) -> CallSummary | None:
    if not state[0]:
        return None
    return kept.summary if kept else without_summary(call.cid, call.began_at, Extent.PENDING)


def _end(lines: Sequence[bytes], most_bytes: int) -> Sequence[bytes]:
    """Return the last lines that have together at most `most_bytes`."""
    sizes = accumulate(len(line) for line in reversed(lines))
    return lines[len(lines) - sum(1 for _ in takewhile(lambda total: total <= most_bytes, sizes)) :]
