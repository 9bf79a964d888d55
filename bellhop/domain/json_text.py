"""JSON for texts that may not be valid Unicode. Pure."""

import json
from collections.abc import Callable
from typing import Any

from pydantic_core import to_json


def encoded(value: Any, fallback: Callable[[Any], Any] | None = None) -> bytes:
    """Write a value as JSON. `fallback` converts values that JSON has no form for.

    A provider's answer may hold half of a surrogate pair, which UTF-8 cannot write. It becomes a question mark: strict
    readers refuse JSON's escape for it.
    """
    try:
        return to_json(value, fallback=fallback)
    except ValueError:
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False, default=fallback).encode("utf-8", "replace")
