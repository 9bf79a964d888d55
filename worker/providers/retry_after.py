"""The Retry-After header. Pure."""

from email.utils import parsedate_to_datetime

from bellhop.clock import Seconds


def retry_after_s(value: str | None, now: Seconds) -> Seconds | None:
    """Read how many seconds to wait, at least 0: the header counts them or names a date (RFC 9110, section 10.2.3).

    `now` is Unix time in seconds. None when there is no header, or none that makes sense.
    """
    text = (value or "").strip()
    if text.isascii() and text.isdigit():
        return Seconds(float(text[:9]))
    try:
        return Seconds(max(0.0, parsedate_to_datetime(text).timestamp() - now))
    except (ValueError, OverflowError):
        return None
