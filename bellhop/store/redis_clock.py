"""Redis's clock, which every deadline goes by, and how far this machine's is from it."""

import time
from typing import Any, Protocol

from bellhop.clock import MICROS_PER_SECOND, Micros, Seconds, seconds

APART_S = 5.0
"""From here on clocks that differ are an operator's to set. No ring ends sooner or later for it, but what is said of
the time in a push, a token or a line of the log is wrong."""


class RunsCommands(Protocol):
    """The one Redis command that is needed; `bellhop.store.async_client.Store` has it."""

    async def call(self, *args: Any) -> Any:
        """Run one command."""
        ...


def of(answer: tuple[bytes | int, bytes | int]) -> Micros:
    """Read what Redis's TIME answers: unix time in µs."""
    whole_s, rest_us = answer
    return Micros(int(whole_s) * MICROS_PER_SECOND + int(rest_us))


async def ahead_s(store: RunsCommands) -> Seconds:
    """How far this machine's clock is ahead of Redis's; negative if it is behind. Raises as the store does."""
    asked_at = time.time()
    answer = await store.call("TIME")
    return Seconds((asked_at + time.time()) / 2 - seconds(of(answer)))


def complaint(whose: str, ahead: float) -> str:
    """Say that a clock is wrong; empty when it is right enough."""
    if abs(ahead) < APART_S:
        return ""
    return f"{whose} is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} Redis's: set both right (NTP)"
