"""The Retry-After header. Pure."""

from email.utils import parsedate_to_datetime

from bellhop.clock import Seconds


def retry_after_s(value: str | None, now: Seconds) -> Seconds | None:
    """Return how many seconds to wait, at least 0. The header holds seconds or a date (RFC 9110, section 10.2.3).

    `now` is unix time. None if there is no header, or if it is not valid.
    """
    text = (value or "").strip()
    if text.isascii() and text.isdigit():
        return Seconds(float(text[:9]))
    try:
        return Seconds(max(0.0, parsedate_to_datetime(text).timestamp() - now))
    except (ValueError, OverflowError):
        return None
