"""Bodies of webhooks with anything wrong in them, made fast and from a seed."""

import json
import random
from collections.abc import Iterator
from typing import Any

from tests.webhook.intake.strategies import EVENTS, PLACES

SAMPLES = {name: json.dumps(event) for name, event in EVENTS.items()}
LONG = "9" * 4_301
ODD_VALUES = [
    "null", "true", "false", "0", "-0", "0.0", "0.5", "1.0", "-5", "7", "1e3", "1e999", "-1e999", "30000", "2.5e4",
    "1794994201041230977", "1794994201041230977.0", "18446744073709551616", "9" * 40, "9" * 4_300, LONG, "NaN",
    "Infinity", '""', '" "', '"x"', '"ben-osei"', '" ben "', '"2026-11-18T09:30:01Z"', '"2026-11-18T09:30:01"',
    '"1794994201041230977"', '"0001-01-01T00:00:00Z"', f'"{LONG}"', f'"{"a" * 255}"', f'"{"b" * 256} "',
    f'"{" " * 300}c"', '"\\ud83d"', '"\\ud83d\\ude00"', '"\u00e9\U0001f600"', '"\\u0000"', '"\\/\\b\\f\\n"', '"\x7f"',
    "[]", "{}", "[null]", '["ben-osei", 7, "ben-osei"]', '[{"user_id": "zoe"}, 5, null, [], {"user": {"id": 9}}]',
    '[{"user": "zoe"}]', '{"id": "zoe"}', '{"id": 12, "name": "Zo\u00eb"}', '{"user_id": true}', '{"a": 1, "a": "2"}',
    '{"zoe": "2026-11-18T09:30:01Z", "ben": null, "": 5}', '{"display_name": 5, "name": "\\ud800", "title": "t"}',
    '{"x": 1.0, "y": 10000000000000000000000, "z": true, "w": " v "}', "[" * 50 + "]" * 50, "1 2", "01", "+1", ".5",
    "tru", '"\x01"', "'x'", "[1,]", '{"a":}', "\u00a0", "",
]  # fmt: skip
"""JSON values of every type, valid and not, for any place."""
ODD_BYTES = [b"\xff", b"\xed\xa0\x80", b"\x00", b"\xc3", b"\xc3\xa9", b'"', b"\\", b"{", b"}", b",", b" ", b"\n", b"9"]
TYPES = [*(event["type"] for event in EVENTS.values()), "user.deleted", "call.kicked_user", "call.of_2027", " ", 7]
MISSING = object()


def odd_bodies(seed: int, count: int) -> Iterator[bytes]:
    """Sample events in which a few values, names and bytes are changed."""
    chance = random.Random(seed)
    names = sorted(EVENTS)
    for _ in range(count):
        name = chance.choice(names)
        event = json.loads(SAMPLES[name])
        marks = {f"@{number}@": _change(chance, event, name, f"@{number}@") for number in range(chance.randrange(4))}
        text = json.dumps(event, ensure_ascii=chance.random() < 0.5)
        for mark, value in marks.items():
            text = text.replace(f'"{mark}"', value)
        body = text.encode("utf-8", "surrogatepass")
        yield _disfigured(chance, body) if chance.random() < 0.2 else body


def _change(chance: random.Random, event: dict[str, Any], name: str, mark: str) -> str:
    """Put `mark` in the place of a value; returns the JSON that replaces it."""
    if chance.random() < 0.15:
        event["type"] = chance.choice(TYPES)
    *path, key = chance.choice(PLACES[name])
    holder: Any = event
    for step in path:
        holder = holder[step] if isinstance(holder, dict | list) and _has(holder, step) else MISSING
    if isinstance(holder, dict | list) and _has(holder, key):
        if chance.random() < 0.2:
            del holder[key]
        elif isinstance(holder, dict) and chance.random() < 0.1:
            holder[f"{key}{mark}"] = mark
            return f'0, "{key}": {chance.choice(ODD_VALUES)}'  # the name stands twice
        else:
            holder[key] = mark
    return chance.choice(ODD_VALUES)


def _has(holder: Any, key: Any) -> bool:
    return key in holder if isinstance(holder, dict) else isinstance(key, int) and key < len(holder)


def _disfigured(chance: random.Random, body: bytes) -> bytes:
    at = chance.randrange(len(body))
    match chance.randrange(6):
        case 0:
            return body[:at]
        case 1:
            return body.decode("utf-8", "replace").encode(chance.choice(["utf-16", "utf-8-sig", "utf-32-le"]))
        case 2:
            return (
                chance.choice([b" ", b"\n", b"\x00", b"[", b"x"]) + body + chance.choice([b" ", b"\t", b"}", b"\x00"])
            )
    return body[:at] + chance.choice(ODD_BYTES) + body[at + chance.randrange(2) :]
