"""Read single values of Stream's JSON (`bellhop.domain.stream_json`). Pure.

Not pydantic: its models reject the whole event for one wrong field, and the call would be lost.
"""

import math
from datetime import datetime
from typing import Any

from bellhop.clock import Micros, from_datetime

MAX_TEXT = 255
"""Longest id, which is Stream's own limit, and longest name, in characters."""

EARLIEST_US = 10**15
"""In 2001. An earlier stamp is a zero value (Go writes the year 1) or a time in another unit."""
LATEST_US = 2**53
"""In 2255. Lua's numbers are doubles, which are exact up to here."""


def text(value: Any) -> str:
    """Read a text for people: stripped, cut to MAX_TEXT characters; empty if there is none."""
    if not isinstance(value, str):
        return ""
    kept = value.strip()[:MAX_TEXT]
    return kept if kept.isascii() else _valid_utf8(kept)


def whole_text(value: str | None, limit: int = MAX_TEXT) -> str:
    """Read a text that must not be cut, such as an address; empty if it is longer than `limit` characters."""
    if not value:
        return ""
    complete = value.strip()
    if len(complete) > limit:
        return ""
    return complete if complete.isascii() else _valid_utf8(complete)


identifier = whole_text
"""Reads an id; empty if there is none."""


def _valid_utf8(value: str) -> str:
    """JSON can contain half a surrogate pair (an emoji cut in two). UTF-8 cannot: Redis and HTTP would refuse it."""
    return value.encode("utf-8", "replace").decode("utf-8")


def positive_integer(value: Any) -> int | None:
    """Read a number of at least 1, without its fraction; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 1 <= value < math.inf:
        return None
    return int(value)


def timestamp_us(value: Any) -> Micros | None:
    """Read a time as unix µs, rounded down; None for anything else.

    Webhooks carry RFC 3339 with up to nine fractional digits. Stream's REST interface and the models of its SDKs use
    unix nanoseconds, as a number.
    """
    if value is None:
        return None
    try:
        at_us = _text_us(value.strip()) if isinstance(value, str) else (positive_integer(value) or 0) // 1_000
    except (ValueError, OverflowError):
        return None
    return Micros(at_us) if EARLIEST_US <= at_us <= LATEST_US else None


def _text_us(value: str) -> int:
    if value.isdecimal():
        return int(value) // 1_000
    moment = datetime.fromisoformat(value)
    if moment.tzinfo is None:
        raise ValueError("RFC 3339 requires an offset")
    return from_datetime(moment)
