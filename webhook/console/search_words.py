"""Read what is typed into the search box: words, a time, or both, such as "jane yesterday 15:10". Pure."""

import re
from datetime import datetime, timedelta
from typing import NamedTuple

from bellhop.clock import MINUTE_US, Micros, as_datetime
from bellhop.spoken_time import read_time_words

AROUND_US = 10 * MINUTE_US
"""Calls that began this much earlier or later are found too, since people remember only roughly when a call was."""
MOST_WORDS = 3
"""How many words a time may have."""
NAMES_A_TIME = re.compile(r"today|yesterday|\d{1,2}:\d\d|\d{4}-\d\d-\d\d", re.IGNORECASE)
"""How the words of a time begin, if there are other words before them."""


class Search(NamedTuple):
    """What to look for."""

    text: str
    """Words of an id or a name; empty if only a time is given."""
    since: Micros = Micros(0)
    until: Micros = Micros(0)
    """Between which times the calls began; 0 if no time is given."""


def read_search(text: str, now: datetime) -> Search:
    """Read what was typed. A time is in the zone of `now`; without a day, it is the last such time."""
    words = text.split()
    for start in range(max(0, len(words) - MOST_WORDS), len(words)):
        time = " ".join(words[start:])
        if start and not NAMES_A_TIME.match(time):
            continue
        moment = read_time_words(time, now)
        if moment is not None:
            return _around(" ".join(words[:start]), moment, whole_day=_is_day(time), now=now)
    return Search(text)


def _is_day(time: str) -> bool:
    return ":" not in time and NAMES_A_TIME.match(time) is not None


def _around(text: str, moment: Micros, *, whole_day: bool, now: datetime) -> Search:
    if not whole_day:
        return Search(text, Micros(moment - AROUND_US), Micros(moment + MINUTE_US + AROUND_US))
    begin = as_datetime(moment).astimezone(now.tzinfo)
    end = begin + timedelta(days=1)  # in local time: a day may have 23 or 25 hours
    return Search(text, moment, Micros(round(end.timestamp() * 1e6)))
