"""Tells the caller's app what becomes of a ring, by Stream's custom event of the call."""

import json
import time
from collections.abc import Mapping
from datetime import datetime

from bellhop.clock import Seconds, micros
from bellhop.domain.announcement import for_caller
from bellhop.store.redis_clock import RedisClock
from bellhop.stream_api import StreamApi, StreamRefused
from worker.announcements.outbox import Refused, Result, Sent, TryAgain

ANSWER_S = Seconds(3.0)
"""How long Stream may take to answer."""
BACKOFF_S = (0.25, 8.0)
"""First and longest pause before another try. A ring takes some tens of seconds."""
GIVEN_UP = frozenset({400, 404, 413})
"""Statuses after which another try gets the same answer."""
RING_IS_OVER = "the ring is over"


class CallerTeller:
    """Sends announcements of one Stream app to the participants of their calls."""

    longest_s: Seconds = ANSWER_S
    backoff_s: tuple[float, float] = BACKOFF_S

    def __init__(self, api: StreamApi, tenant: str, clock: RedisClock) -> None:
        self._api, self._tenant, self._clock = api, tenant, clock
        self._paused_until_s = 0.0
        """Until when Stream wants no request, in seconds of the monotonic clock."""

    async def send(self, document: bytes) -> Result:
        """Send one event, unless its ring is over: the app has heard of the end from Stream by then."""
        read = json.loads(document)
        data = read["data"]
        left_s = self._left_s(datetime.fromisoformat(data["ring_ends_at"]))
        if left_s <= 0:
            return Refused(RING_IS_OVER)
        result = await self._sent(data["call_cid"], data["caller_id"], for_caller(read))
        if isinstance(result, TryAgain) and result.after_s >= left_s:
            return Refused(f"{RING_IS_OVER} before Stream takes it: {result.reason}")
        return result

    async def _sent(self, cid: str, caller_id: str, custom: Mapping[str, str]) -> Result:
        if (paused_s := Seconds(self._paused_until_s - time.monotonic())) > 0:
            return TryAgain("too many requests", paused_s)
        try:
            self._pause(await self._api.send_event(cid, caller_id, custom))
        except StreamRefused as refused:
            self._pause(refused.wait_s or Seconds(0.0))
            if refused.permanent or refused.status in GIVEN_UP:
                return Refused(str(refused))
            return TryAgain(str(refused), refused.wait_s or Seconds(0.0))
        return Sent()

    def _pause(self, wait_s: Seconds) -> None:
        self._paused_until_s = max(self._paused_until_s, time.monotonic() + wait_s)

    def _left_s(self, ends_at: datetime) -> Seconds:
        """Return how long the ring goes on: the end is in Stream's time."""
        ahead_us = self._clock.ahead_of_stream_us(self._tenant) or 0
        return Seconds((micros(Seconds(ends_at.timestamp())) - self._clock.now() + ahead_us) / 1e6)
