"""Times as Stream's REST interface (/api/v2) and its Python SDK have them: unix nanoseconds instead of RFC 3339."""

import re
from datetime import datetime
from typing import Any

STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.(\d{1,9}))?Z")


def with_integers(value: Any) -> Any:
    """Copy an event or an answer, with every RFC 3339 stamp as an integer. No digit is lost."""
    if isinstance(value, dict):
        return {key: with_integers(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [with_integers(entry) for entry in value]
    if isinstance(value, str) and (stamp := STAMP.fullmatch(value)):
        seconds = int(datetime.fromisoformat(f"{value[:19]}+00:00").timestamp())
        return seconds * 1_000_000_000 + int((stamp[1] or "0").ljust(9, "0"))
    return value
