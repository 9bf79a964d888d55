"""Times and their units: moments in unix microseconds, lengths in seconds, and conversions between forms. Pure.

Redis's clock, which decides every deadline, is read in `bellhop.store.redis_clock`.
"""

from datetime import UTC, datetime
from typing import NewType

Micros = NewType("Micros", int)
"""A moment: unix time in microseconds; or a length of time in microseconds where the name ends in _us."""
Seconds = NewType("Seconds", float)
"""A moment: unix time in seconds; or a length of time in seconds where the name ends in _s."""

MICROS_PER_SECOND = 1_000_000


def micros(seconds: float) -> Micros:
    """Convert seconds to microseconds."""
    return Micros(round(seconds * MICROS_PER_SECOND))


def seconds(us: int) -> Seconds:
    """Convert microseconds to seconds."""
    return Seconds(us / MICROS_PER_SECOND)


def iso(at: int) -> str:
    """Write a moment (unix µs) as RQ does: ISO 8601 in UTC, with microseconds."""
    return datetime.fromtimestamp(at / 1e6, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
