"""Moments (unix µs) for people. Pure."""

from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LAST = 2**52
"""A moment in the year 2112: dates end at some point, and so does our patience."""
UNITS = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))


def moment(at: int) -> datetime:
    """Turn a moment into a date, within reason."""
    return EPOCH + timedelta(microseconds=min(max(at, 0), LAST))


def iso(at: int) -> str:
    """A moment as ISO 8601, to the millisecond."""
    return moment(at).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def clock(at: int, now: int) -> str:
    """The time of day, UTC; with the date where that is not today's."""
    then, today = moment(at), moment(now)
    return then.strftime("%H:%M:%S" if then.date() == today.date() else "%Y-%m-%d %H:%M:%S") + " UTC"


def ago(at: int, now: int) -> str:
    """How long ago, in the largest unit that fits."""
    seconds = (now - at) // 1_000_000
    for size, unit in UNITS:
        if seconds >= size:
            count = seconds // size
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "just now"


def after(us: int | None) -> str:
    """A moment of a call, counted from its beginning."""
    if us is None:
        return ""
    sign, us = ("+", us) if us >= 0 else ("-", -us)
    if us < 1_000_000:
        return f"{sign}{us / 1000:.0f} ms"
    if us < 60_000_000:
        return f"{sign}{us / 1e6:.1f} s"
    minutes, seconds = divmod(us // 1_000_000, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{sign}{hours} h {minutes:02} min" if hours else f"{sign}{minutes} min {seconds:02} s"
