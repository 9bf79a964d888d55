"""Which kinds of keys `bellhop migrate` copies, and why it leaves the others. Pure.

A test compares this table with `bellhop.store.keys`.
"""

from typing import Literal, NamedTuple

from bellhop.store.keys import FORGOTTEN


class KindToCopy(NamedTuple):
    """A kind of key that is copied, with its entries one by one."""

    type: Literal["hash", "zset", "string"]
    expires: bool = False
    """Whether the whole key has a time to live."""


_CALLS_END = "calls end at the former Redis, within minutes"
_EXPIRES = "it counts or limits something for seconds or minutes"
_HISTORY = "the former Redis keeps the history of its calls until it expires"
_OF_PROCESSES = "workers and web processes write it anew"
_WITH_OTHERS = "it is copied together with other keys"

KINDS: dict[str, KindToCopy | str] = {
    "devices": KindToCopy("hash"),
    "person": KindToCopy("hash"),
    "phones": KindToCopy("hash", expires=True),
    "missed": KindToCopy("zset", expires=True),
    "unsubscribed": KindToCopy("string"),
    "console-audit": KindToCopy("zset", expires=True),
    "dead-letters": KindToCopy("zset", expires=True),
    "forgotten": KindToCopy("zset", expires=True),
    **dict.fromkeys(("token", "erasures", "forgotten-hash-key", "forgotten-lifts"), _WITH_OTHERS),
    **dict.fromkeys(("call", "round", "rung", "told", "question", "webhook", "outbox", "draining", "live"), _CALLS_END),
    **dict.fromkeys(("agenda", "inflight", "turns", "bell", "rq", "letter", "letter-open", "mailed"), _CALLS_END),
    **dict.fromkeys(("trail", "calls", "calls-people", "calls-of", "unreadable"), _HISTORY),
    **dict.fromkeys(("rings-of", "rings-open", "rings-by", "rings-to", "held-back", "announced"), _EXPIRES),
    **dict.fromkeys(("fetched", "writes", "test-rings", "mails-by", "mails-to", "fetches", "questions"), _EXPIRES),
    **dict.fromkeys(("turned-away", "last-hour", "brake", "tokens", "console", "check", "check-runs"), _EXPIRES),
    **dict.fromkeys(("exports", "export-runs", "erasure-turn", "unused-data-turn"), _EXPIRES),
    **dict.fromkeys(("worker", "workers", "status", "buried", "worker-failed", "foreign-workers"), _OF_PROCESSES),
    **dict.fromkeys(("web-processes", "last-check", "last-webhook", "stream-clock", "missed-seen"), _OF_PROCESSES),
    "apns-token": "workers make another one",
    "metrics": "Prometheus expects that counters begin again at 0",
    "probe": "it never exists",
    "{partitions}": "it is the number of partitions of one cluster",
    "copied": "it is what this command remembers",
    "migration": "it is what this command remembers",
}
"""By the first part of a key behind `bellhop:`; all keys of RQ are one kind. A text: why it is not copied."""


def kind_of(key: str) -> str:
    """Return the kind of a key."""
    space, kind, *_ = key.split(":")
    return "rq" if space == "rq" else kind


def walked_as(key: str) -> KindToCopy | None:
    """Return how a key is copied that a walk over all keys found; None if it is not copied, or not by the walk."""
    kind = KINDS.get(kind_of(key))
    return kind if isinstance(kind, KindToCopy) and key != FORGOTTEN else None
