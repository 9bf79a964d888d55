"""Read a time as people write it: "2h", "yesterday 15:10", "2026-07-24T10:00:00Z". Pure."""

import re
from datetime import datetime, time, timedelta

from bellhop.clock import Micros, from_datetime

FORMS = 'an RFC 3339 time, "2h", "15:10", "yesterday 15:10" or "2026-07-24 15:10"'
"""The forms of a time, for messages and help texts."""
LATEST_US = 2**53
"""In 2255. Python's dates end in the year 9999."""
_LENGTH = re.compile(r"(\d{1,6}) ?(s|m|min|h|d)(?: ago)?")
_UNIT_S = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400}
_DAY = re.compile(r"(?:(today|yesterday) ?)?(?:(\d{1,2}):(\d\d)(?::(\d\d))?)?")


def read_time_words(text: str, now: datetime) -> Micros | None:
    """Return the time (unix µs) that `text` names; None if it names none.

    A time without a zone is in the zone of `now`. A time of day without a day is the last such time before `now`. A
    time before 1970 or after LATEST_US becomes the nearest of these.
    """
    words = " ".join(text.lower().split())
    try:
        moment = _before(words, now) or _on_a_day(words, now) or _of_a_date(words, now)
        return None if moment is None else Micros(min(max(from_datetime(moment), 0), LATEST_US))
    except (ValueError, OverflowError):
        return None


def _before(words: str, now: datetime) -> datetime | None:
    length = _LENGTH.fullmatch(words)
    return now - timedelta(seconds=int(length[1]) * _UNIT_S[length[2]]) if length else None


def _on_a_day(words: str, now: datetime) -> datetime | None:
    named = _DAY.fullmatch(words)
    if not words or not named:
        return None
    day, hour, minute, second = named.groups(default="0")  # "0" for a part that is not there
    time_of_day = time(int(hour), int(minute), int(second), tzinfo=now.tzinfo)
    moment = datetime.combine(now.date(), time_of_day)
    is_earlier = day == "yesterday" or (day == "0" and moment > now)
    return datetime.combine(now.date() - timedelta(days=1), time_of_day) if is_earlier else moment


def _of_a_date(words: str, now: datetime) -> datetime | None:
    if not re.match(r"\d{4}-\d\d-\d\d", words):
        return None
    moment = datetime.fromisoformat(words.upper())
    return moment if moment.tzinfo else moment.replace(tzinfo=now.tzinfo)
