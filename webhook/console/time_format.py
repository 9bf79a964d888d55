"""Times (unix µs) as texts for people. Pure."""

from datetime import UTC, datetime, timedelta

from bellhop.clock import Micros

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LATEST_US = 2**52
"""In the year 2112. Later times are shown as this one, because Python's dates have an end."""
UNITS = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))


def utc(at: Micros) -> datetime:
    """Convert a time to a datetime in UTC, between 1970 and LATEST_US."""
    return EPOCH + timedelta(microseconds=min(max(at, 0), LATEST_US))


def iso(at: Micros) -> str:
    """Write a time as ISO 8601 with milliseconds."""
    return utc(at).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def clock(at: Micros, now: Micros) -> str:
    """Write the time of day in UTC, with the date if it is not today."""
    then, today = utc(at), utc(now)
    return then.strftime("%H:%M:%S" if then.date() == today.date() else "%Y-%m-%d %H:%M:%S") + " UTC"


def ago(at: Micros, now: Micros) -> str:
    """Write how long ago it was, in the largest unit that fits."""
    seconds = (now - at) // 1_000_000
    for size, unit in UNITS:
        if seconds >= size:
            count = seconds // size
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "just now"


def after(after_us: Micros | None) -> str:
    """Write the time since the call's beginning; empty for None."""
    if after_us is None:
        return ""
    sign, length_us = ("+", after_us) if after_us >= 0 else ("-", -after_us)
    if length_us < 1_000_000:
        return f"{sign}{length_us / 1000:.0f} ms"
    if length_us < 60_000_000:
        return f"{sign}{length_us / 1e6:.1f} s"
    minutes, seconds = divmod(length_us // 1_000_000, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{sign}{hours} h {minutes:02} min" if hours else f"{sign}{minutes} min {seconds:02} s"
