"""Values as JSON, whatever texts they hold. Pure."""

import json
from collections.abc import Callable
from typing import Any

from pydantic_core import to_json


def encoded(said: Any, fallback: Callable[[Any], Any] | None = None) -> bytes:
    """Write JSON; `fallback` makes of what JSON does not know something that it does.

    A provider's or a mail server's words may hold half a character, which UTF-8 cannot say: it becomes a question mark,
    since strict readers refuse the escape that JSON has for it.
    """
    try:
        return to_json(said, fallback=fallback)
    except ValueError:
        return json.dumps(said, separators=(",", ":"), ensure_ascii=False, default=fallback).encode("utf-8", "replace")
