"""Dumps the contents of a Redis as JSON, and loads them into any version of Redis or Valkey at a later time.

The rule for times: a state records when it was made. When it is loaded, every stamp in it moves by the time since then,
in whole seconds. A stamp is, anywhere in a key, a field, a member, a score or a value:

- a number of 10, 13 or 16 digits that stands alone and is unix seconds, milliseconds or microseconds within two days of
  that moment, or
- a date and time in ISO 8601 to the second, within the same two days.

A key, member or value that contains the text `unmoved` keeps its stamps: a receipt is signed together with the stamp
of its ring, so the stamps of that call must not move.
"""

import base64
import json
import re
from datetime import UTC, datetime, timedelta

UNMOVED = "unmoved"
NEAR_S = 2 * 24 * 3600
NUMBER = re.compile(r"(?<![0-9A-Za-z.])(?:\d{16}|\d{13}|\d{10})(?![0-9A-Za-z])")
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")
UNIT = {10: 1, 13: 1_000, 16: 1_000_000}
TTLS_S = (1, 3, 5, 10, 60, 120, 300, 600, 900, 3600, 7200, 86_400, 93_600, 259_200, 604_800, 7_776_000)
"""The times to live that Bellhop uses. A remaining time is rounded up to the next of them."""


class Moved:
    """Moves the stamps of texts by `by_s` seconds, if they are near `made_at_s`."""

    def __init__(self, made_at_s, by_s):
        self.made_at_s, self.by_s = made_at_s, by_s

    def text(self, text):
        if UNMOVED in text:
            return text
        return MOMENT.sub(self._moment, NUMBER.sub(self._number, text))

    def _number(self, match):
        digits, unit = match[0], UNIT[len(match[0])]
        near = abs(int(digits) / unit - self.made_at_s) <= NEAR_S
        return str(int(digits) + self.by_s * unit) if near else digits

    def _moment(self, match):
        moment = datetime.fromisoformat(match[0]).replace(tzinfo=UTC)
        near = abs(moment.timestamp() - self.made_at_s) <= NEAR_S
        return (moment + timedelta(seconds=self.by_s)).strftime("%Y-%m-%dT%H:%M:%S") if near else match[0]


def dump(client, hide):
    """Read everything: a list of {key, type, ttl_s, value}, sorted by key.

    `client` answers bytes. `hide` replaces in a text what tells of this machine.
    """

    def text(data):
        try:
            return hide(data.decode())
        except UnicodeDecodeError:
            return {"base64": base64.b64encode(data).decode()}

    entries = []
    for key in client.scan_iter(count=1000):
        kind, left_ms = client.type(key).decode(), client.pttl(key)
        if kind == "none":  # expired meanwhile
            continue
        read = {
            "string": lambda key: None if (data := client.get(key)) is None else text(data),
            "hash": lambda key: {text(field): text(value) for field, value in client.hgetall(key).items()},
            "list": lambda key: [text(item) for item in client.lrange(key, 0, -1)],
            "set": lambda key: sorted(text(member) for member in client.smembers(key)),
            "zset": lambda key: [
                [text(member), _score(score)] for member, score in client.zrange(key, 0, -1, withscores=True)
            ],
            "stream": lambda key: [
                [text(entry), {text(field): text(value) for field, value in fields.items()}]
                for entry, fields in client.xrange(key)
            ],
        }[kind]
        value = read(key)
        if value is None:  # expired between the two commands
            continue
        entries.append({"key": text(key), "type": kind, "ttl_s": _ttl_s(left_ms), "value": value})
    return sorted(entries, key=lambda entry: entry["key"])


def _score(score):
    return "+inf" if score == float("inf") else str(int(score)) if score == int(score) else repr(score)


def _ttl_s(left_ms):
    return None if left_ms < 0 else next(ttl for ttl in TTLS_S if ttl * 1000 >= left_ms)


def load(client, state, age_s):
    """Write a state into a Redis, beside what is there, as if it had been made `age_s` seconds ago.

    Returns the `Moved` that was used.
    """
    now_s, _ = client.time()
    moved = Moved(state["made_at_s"], now_s - age_s - state["made_at_s"])

    def data(text):
        return base64.b64decode(text["base64"]) if isinstance(text, dict) else moved.text(text)

    pipeline = client.pipeline(transaction=False)
    for entry in state["redis"]:
        value, unmoved = entry["value"], UNMOVED in entry["key"]
        read = (lambda text: text) if unmoved else data
        key = read(entry["key"])
        match entry["type"]:
            case "string":
                pipeline.set(key, read(value))
            case "hash":
                for field, text in value.items():
                    pipeline.hset(key, read(field), read(text))
            case "list":
                pipeline.rpush(key, *map(read, value))
            case "set":
                pipeline.sadd(key, *map(read, value))
            case "zset":
                for member, score in value:
                    pipeline.execute_command("ZADD", key, score if UNMOVED in member else read(score), read(member))
            case "stream":
                for number, fields in value:
                    parts = [read(part) for pair in fields.items() for part in pair]
                    pipeline.execute_command("XADD", key, read(number), *parts)
        if entry["ttl_s"] is not None:
            pipeline.expire(key, entry["ttl_s"])
    pipeline.execute()
    return moved


def moved_document(moved, document):
    """Move the stamps of a JSON document that belongs to a state."""
    return json.loads(moved.text(json.dumps(document)))
