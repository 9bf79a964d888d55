"""Tells the caller's app about a ring, by Stream's custom event of the call.

The worker also sends declines to Stream, by jobs of the same queue, and asks it for the state of rings. These events
must not delay that. So they have separate connections, and their jobs do not wait while Stream does not answer.
"""

import json
import time
from collections.abc import Mapping
from datetime import datetime

import aiohttp

from bellhop.backoff import pause_s
from bellhop.clock import Micros, Seconds, micros, seconds
from bellhop.domain.announcement import for_caller
from bellhop.queue.job_payloads import OutboxRef
from bellhop.settings import Settings
from bellhop.store.async_client import Store
from bellhop.store.redis_clock import RedisClock
from bellhop.store.stream_time import ahead_of_stream_us
from bellhop.stream_api import StreamApi, StreamRefused, stream_apis
from worker.announcements.outbox import Refused, Result, Sent, TryAgain

ANSWER_S = Seconds(3.0)
"""How long Stream may take to answer."""
BACKOFF_S = (0.25, 8.0)
"""First and longest pause before another try. A ring takes some tens of seconds."""
AT_ONCE = 100
"""Requests at the same time."""
FAILURES = 3
"""After this number of failures in a row, there is a pause, and then one request at a time until Stream answers one."""
BUSY_S = Seconds(1.5)
"""Pause if there may be no further request now. It is long enough for the job to end."""
GIVEN_UP = frozenset({400, 404, 413})
"""Statuses after which another try gets the same answer."""
RING_IS_OVER = "the ring is over"


class CallerTellers:
    """A `CallerTeller` for each Stream app of the settings. All of them share one set of connections."""

    def __init__(self, settings: Settings, store: Store, clock: RedisClock) -> None:
        """Make them in a running event loop."""
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=ANSWER_S), connector=aiohttp.TCPConnector(limit=AT_ONCE)
        )
        apis = stream_apis(settings, self._session)
        self._tellers = {tenant: CallerTeller(api, tenant, store, clock) for tenant, api in apis.items()}

    def find(self, ref: OutboxRef) -> "CallerTeller | None":
        """Return what sends the announcements of this outbox."""
        return self._tellers.get(ref.tenant)

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()


class CallerTeller:
    """Sends announcements of one Stream app to the participants of their calls."""

    longest_s: Seconds = Seconds(ANSWER_S + 1)
    backoff_s: tuple[float, float] = BACKOFF_S

    def __init__(self, api: StreamApi, tenant: str, store: Store, clock: RedisClock) -> None:
        self._api, self._tenant, self._store, self._clock = api, tenant, store, clock
        self._paused_until_s = 0.0
        """Until when there is no request, in seconds of the monotonic clock."""
        self._why_paused = ""
        self._under_way = self._failures = 0

    async def send(self, document: bytes) -> Result:
        """Send one event, unless its ring is over: the app has heard of the end from Stream by then."""
        read = json.loads(document)
        data = read["data"]
        left_s = await self._left_s(data["call_cid"], datetime.fromisoformat(data["ring_ends_at"]))
        if left_s <= 0:
            return Refused(RING_IS_OVER)
        result = self._not_now() or await self._sent(data["call_cid"], data["caller_id"], for_caller(read))
        if isinstance(result, TryAgain) and result.after_s >= left_s:
            return Refused(f"{RING_IS_OVER} before Stream takes it: {result.reason}")
        return result

    def _not_now(self) -> TryAgain | None:
        """Return why there is no request now; None if there may be one."""
        if (paused_s := Seconds(self._paused_until_s - time.monotonic())) > 0:
            return TryAgain(self._why_paused, Seconds(max(paused_s, BUSY_S)))
        if self._under_way >= (1 if self._failures >= FAILURES else AT_ONCE):
            return TryAgain("Stream has not answered earlier requests yet", BUSY_S)
        return None

    async def _sent(self, cid: str, caller_id: str, custom: Mapping[str, str]) -> Result:
        self._under_way += 1
        try:
            wait_s = await self._api.send_event(cid, caller_id, custom)
        except StreamRefused as refused:
            return self._refused(refused)
        finally:
            self._under_way -= 1
        self._failures = 0
        self._pause(wait_s, "too many requests")
        return Sent()

    def _refused(self, refused: StreamRefused) -> Result:
        reason, served = str(refused), 0 < refused.status < 500
        self._failures = 0 if served else self._failures + 1
        if self._failures >= FAILURES:
            self._pause(pause_s(self._failures - FAILURES, *BACKOFF_S), reason)
        self._pause(refused.wait_s or Seconds(0.0), reason)
        if refused.permanent or refused.status in GIVEN_UP:
            return Refused(reason, is_away=refused.permanent)
        return TryAgain(reason, refused.wait_s or Seconds(0.0))

    def _pause(self, wait_s: Seconds, reason: str) -> None:
        until_s = time.monotonic() + wait_s
        if until_s > self._paused_until_s:
            self._paused_until_s, self._why_paused = until_s, reason

    async def _left_s(self, cid: str, ends_at: datetime) -> Seconds:
        """Return how long the ring goes on: the end is in Stream's time."""
        ahead_us = await ahead_of_stream_us(self._store, self._clock, self._tenant, cid)
        return seconds(Micros(micros(Seconds(ends_at.timestamp())) + ahead_us - self._clock.now()))
