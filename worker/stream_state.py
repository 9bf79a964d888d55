"""Asks Stream for the state of a ring when a webhook may have been lost: before a late attempt and before a notice."""

import asyncio
import itertools
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import NamedTuple

from bellhop.clock import Micros, Seconds, micros, seconds
from bellhop.domain.push import PushKind
from bellhop.queue.job_payloads import QueuedRound
from bellhop.ring_question import AskedRing, StreamQuestions
from bellhop.store.redis_clock import RedisClock
from worker.stream_subscriptions import StreamSubscriptions

LATE_US = micros(Seconds(5.0))
"""An attempt that starts so long after its ring is late."""
LATEST_US = micros(Seconds(20.0))
"""Stream repeats an event for 15 seconds. If a ring seems to have arrived later than this after its start, the clocks
of Redis and Stream differ."""
LOOK_S = 0.05
"""The shortest time between two looks at the waits that have become late. There may be thousands."""
AGAIN_S = 1.0
"""Before attempts, a process asks about a call at most once in this time, although many phones of the call wait."""


class DerivedNotice(NamedTuple):
    """A ring that is over as far as Bellhop knows, although no call.missed has come."""

    round: QueuedRound
    ended_at: Micros
    """When it ended, as far as Bellhop knows."""


class StreamState:
    """Decides when a worker asks Stream."""

    def __init__(
        self,
        questions: StreamQuestions,
        subscriptions: StreamSubscriptions | None = None,
        clock: RedisClock | None = None,
    ) -> None:
        """`subscriptions`: None if the settings of the apps at Stream are not read."""
        self._questions, self._subscriptions, self._clock = questions, subscriptions, clock or RedisClock()
        self._asking: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._waits: dict[int, tuple[float, QueuedRound]] = {}
        """By number: when an attempt that waits becomes late (monotonic), and its round."""
        self._numbers = itertools.count()
        self._timer: asyncio.TimerHandle | None = None
        """Ends when the first wait becomes late, or earlier. One for all waits: almost every wait ends before."""
        self._look_at_s = 0.0
        """When it ends (monotonic)."""

    def late_at_s(self, round_: QueuedRound, job_began_s: Seconds) -> Seconds:
        """Return from when on (monotonic) an attempt of this ring is late.

        `job_began_s`: when its job began (monotonic). The ring began before that, whatever the clocks say.
        """
        by_clock_s = time.monotonic() + seconds(Micros(_began(round_) + LATE_US - self._clock.now()))
        return Seconds(min(by_clock_s, job_began_s + seconds(LATE_US)))

    def before_attempt(self, round_: QueuedRound, shortest_s: Seconds, late_at_s: Seconds) -> Callable[[], object]:
        """Ask in the background while an attempt waits, as soon as it is clear that it starts late.

        The attempt does not wait for the answer. If the answer comes in time and ends the ring, the fence refuses the
        attempt. `shortest_s`: how long it waits at least. Returns a function to call when the attempt waits no longer.
        """
        if time.monotonic() + shortest_s >= late_at_s:
            self._ask_soon(round_)
            return lambda: None
        number = next(self._numbers)
        self._waits[number] = late_at_s, round_
        if self._timer is None or late_at_s < self._look_at_s:
            self._look_at(late_at_s)
        return partial(self._waits.pop, number, None)

    def _look_at(self, when_s: float) -> None:
        """Look at the waits at this time (monotonic), and not before."""
        if self._timer is not None:
            self._timer.cancel()
        self._look_at_s = when_s
        self._timer = asyncio.get_running_loop().call_later(when_s - time.monotonic(), self._look)

    def _look(self) -> None:
        """Ask about the rings whose attempts have become late while they wait."""
        self._timer, now_s = None, time.monotonic()
        for number in [number for number, (late_at_s, _) in self._waits.items() if late_at_s <= now_s]:
            _, round_ = self._waits.pop(number)
            self._ask_soon(round_)
        if self._waits:
            first_s = min(late_at_s for late_at_s, _ in self._waits.values())
            self._look_at(max(first_s, now_s + LOOK_S))

    def _ask_soon(self, round_: QueuedRound) -> None:
        call = (round_.tenant, round_.cid)
        if call not in self._asking:
            self._asking[call] = asyncio.create_task(self._ask_before_attempt(call, AskedRing.of(round_)))

    async def _ask_before_attempt(self, call: tuple[str, str], ring: AskedRing) -> None:
        try:
            await self._questions.ask(ring, PushKind.RING)
            await asyncio.sleep(AGAIN_S)
        finally:
            del self._asking[call]

    async def before_notices(self, notices: Iterable[DerivedNotice]) -> None:
        """Ask about these rings of one call, and wait for the answers, at most for the time of one question."""
        questions = (
            self._questions.ask(AskedRing.of(round_), PushKind.MISSED, since=ended_at) for round_, ended_at in notices
        )
        await asyncio.gather(*questions)

    def may_send_missed(self, tenant: str) -> bool:
        """Tell whether Stream may send call.missed, as far as the app's settings at Stream are known."""
        return self._subscriptions is None or self._subscriptions.may_send(tenant, "call.missed")


def _began(round_: QueuedRound) -> Micros:
    """Return when a ring began, by Redis's clock: its start is Stream's, its arrival (`queued_at`) is Redis's."""
    arrived = round_.queued_at or round_.started_at
    return round_.started_at if 0 <= arrived - round_.started_at <= LATEST_US else arrived
