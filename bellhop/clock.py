"""Units of time, and conversions between them. Pure: the time is an argument.

Moments are `Micros`, since Stream's timestamps and Redis's clock count in microseconds. Redis's clock decides every
deadline; it is read in `bellhop.store.redis_clock`.
"""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import NewType

Micros = NewType("Micros", int)
"""A moment: unix time in microseconds. A length of time in microseconds, where the name ends in _us."""
Seconds = NewType("Seconds", float)
"""A length of time in seconds; also a moment of a clock that counts seconds, such as the event loop's."""

MICROS_PER_SECOND = 1_000_000
MINUTE_US = 60 * MICROS_PER_SECOND
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def micros(length_s: Seconds) -> Micros:
    """Convert seconds to microseconds."""
    return Micros(round(length_s * MICROS_PER_SECOND))


def seconds(length_us: int) -> Seconds:
    """Convert microseconds to seconds."""
    return Seconds(length_us / MICROS_PER_SECOND)


def elapsed(since: Micros, now: Micros) -> Seconds:
    """Return the seconds from one moment to a later one; 0 if it is earlier, as clocks of two machines may differ."""
    return seconds(max(0, now - since))


def from_nanoseconds(unix_ns: int) -> Micros:
    """Convert what `time.time_ns` returns."""
    return Micros(unix_ns // 1_000)


def from_datetime(moment: datetime) -> Micros:
    """Convert a datetime that has a time zone, rounded down."""
    return Micros((moment - _EPOCH) // _MICROSECOND)


def as_datetime(moment: Micros) -> datetime:
    """Return a time as a datetime in UTC."""
    return datetime.fromtimestamp(moment / MICROS_PER_SECOND, UTC)


def iso(moment: Micros) -> str:
    """Write a moment as RQ does: ISO 8601 in UTC, with microseconds."""
    second, rest_us = divmod(moment, MICROS_PER_SECOND)
    return f"{_iso_second(second)}.{rest_us:06d}Z"


@lru_cache(maxsize=2)
def _iso_second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).isoformat().removesuffix("+00:00")
