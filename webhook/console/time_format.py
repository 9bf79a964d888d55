"""Write times (unix µs) and lengths of time as texts for the console's pages. Pure."""

from datetime import UTC, datetime, timedelta

from bellhop.clock import Micros

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LATEST_US = 2**52
"""In the year 2112. A later time is shown as this one, because Python's dates end in the year 9999."""
UNITS_S = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))


def utc(at: Micros) -> datetime:
    """Convert a time to a datetime in UTC. Times outside 1970 to LATEST_US become the nearest of these."""
    return EPOCH + timedelta(microseconds=min(max(at, 0), LATEST_US))


def iso(at: Micros) -> str:
    """Write a time as ISO 8601 with milliseconds."""
    return utc(at).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def clock(at: Micros, now: Micros) -> str:
    """Write the time of day in UTC, with the date if it is not today."""
    shown, today = utc(at), utc(now)
    form = "%H:%M:%S" if shown.date() == today.date() else "%Y-%m-%d %H:%M:%S"
    return f"{shown.strftime(form)} UTC"


def ago(at: Micros, now: Micros) -> str:
    """Write how long ago a time was, in the largest unit that fits: "2 hours ago"."""
    age_s = (now - at) // 1_000_000
    for unit_s, unit in UNITS_S:
        if age_s >= unit_s:
            count = age_s // unit_s
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "just now"


def after(after_us: Micros | None) -> str:
    """Write the time since the start of the round, with a sign: "+1.2 s"; empty for None."""
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
