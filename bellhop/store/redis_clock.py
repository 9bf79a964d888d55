"""Redis's clock, which decides every deadline, and how far this machine's clock is from it."""

import time
from collections.abc import Hashable
from typing import Any, Protocol

from bellhop.clock import MICROS_PER_SECOND, Micros, Seconds, from_nanoseconds, micros, seconds

APART_S = 5.0
"""A clock that differs from Redis's by this much is reported. Rings still end in time, since Redis's clock decides, but
the times in pushes, tokens and log lines are wrong."""
LEAD_VALID_S = 1.0
"""How long a process uses the difference to Stream's clock that it has read."""


class RunsCommands(Protocol):
    """Runs a Redis command; `bellhop.store.async_client.Store` is one."""

    async def call(self, *args: Any) -> Any:
        """Run one command."""
        ...


def read_time(answer: tuple[bytes | int, bytes | int]) -> Micros:
    """Read Redis's answer to TIME: seconds, and the microseconds that go with them."""
    whole_s, rest_us = answer
    return Micros(int(whole_s) * MICROS_PER_SECOND + int(rest_us))


async def ahead_s(store: RunsCommands) -> Seconds:
    """How far this machine's clock is ahead of Redis's; negative if it is behind. Raises as the store does."""
    sent_at = time.time()
    answer = await store.call("TIME")
    return Seconds((sent_at + time.time()) / 2 - seconds(read_time(answer)))


class RedisClock:
    """Redis's clock, as this process knows it: between two readings, the monotonic clock counts on.

    It may be ahead by the time that a reading takes to reach Redis, but not behind: an event would seem to arrive
    before it was sent. Before the first reading, it is this machine's clock.
    """

    def __init__(self) -> None:
        self._ahead_us: int | None = None
        """How far the monotonic clock is ahead of Redis's."""
        self._ahead_of_stream: dict[tuple[str, Hashable], tuple[int, float]] = {}
        """By tenant and server: how far Redis's clock is ahead of Stream's, and when that was read."""

    @property
    def is_known(self) -> bool:
        """Whether there was a reading."""
        return self._ahead_us is not None

    def now(self) -> Micros:
        """Return the time by Redis's clock."""
        if self._ahead_us is None:
            return from_nanoseconds(time.time_ns())
        return Micros(from_nanoseconds(time.monotonic_ns()) - self._ahead_us)

    def ahead_of_stream_us(self, tenant: str, server: Hashable) -> int | None:
        """Return how far Redis's clock is ahead of Stream's, for this app; None if that was not read a moment ago.

        `server`: as the store names it. Each node of a cluster has a clock of its own.
        """
        ahead_us, read_s = self._ahead_of_stream.get((tenant, server), (None, 0.0))
        return ahead_us if time.monotonic() - read_s < LEAD_VALID_S else None

    def note_ahead_of_stream(self, tenant: str, server: Hashable, ahead_us: int) -> None:
        """Note this difference, which was read just now."""
        self._ahead_of_stream[tenant, server] = ahead_us, time.monotonic()

    def note(self, sent_s: float, answered_s: float, redis_time: Micros) -> None:
        """Note a reading. Redis read its clock between `sent_s` and `answered_s`, by the monotonic clock.

        If Redis answered late, the known difference is more precise. So it is kept, unless the reading shows that it
        is wrong.
        """
        least_us, greatest_us = micros(Seconds(sent_s)) - redis_time, micros(Seconds(answered_s)) - redis_time
        if self._ahead_us is None or not least_us <= self._ahead_us <= greatest_us:
            self._ahead_us = least_us


def complaint(whose: str, ahead: float, than: str = "Redis's") -> str:
    """Return a sentence about a clock that differs from another by at least APART_S; otherwise an empty text."""
    if abs(ahead) < APART_S:
        return ""
    return f"{whose} is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} {than}: set both right (NTP)"
