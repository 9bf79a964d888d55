"""Who looked at whom in the console, and who changed what: the latest entries of each Stream app, for its operators."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

import msgspec
from redis import Redis

from bellhop.clock import MICROS_PER_SECOND, Micros
from bellhop.store.keys import console_audit_key
from bellhop.store.scripts import RawCommand

KEPT_DAYS = 90
_KEPT_S = KEPT_DAYS * 86_400
MOST_KEPT = 5_000
"""How many entries are kept for each Stream app: the latest ones."""


class AuditAction(StrEnum):
    """What somebody did. The words are in log lines and in Redis."""

    PERSON = "person"
    CALL = "call"
    SEARCH = "search"
    AUDIT = "audit"
    ASK_STREAM = "ask_stream"
    TEST_RING = "test_ring"
    DISABLE = "disable"
    ENABLE = "enable"
    RUN_AGAIN = "run_again"
    CHECK = "check"
    LOGOUT_ALL = "logout_all"


class AuditEntry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One look, or one change. Forgetting a person replaces `user` (`bellhop.privacy.key_kinds`)."""

    at: Micros
    by: str
    """The name of the login."""
    way: str
    """How that person logged in: password or proxy."""
    action: str
    user: str = ""
    call: str = ""
    device: str = ""
    job: str = ""


_ENCODER, _DECODER = msgspec.json.Encoder(), msgspec.json.Decoder(AuditEntry)


def keep(tenant: str, entry: AuditEntry) -> list[RawCommand]:
    """Return the commands that keep an entry. Without a tenant, it is about the whole installation."""
    key = console_audit_key(tenant)
    return [
        ("ZADD", key, entry.at, _ENCODER.encode(entry).decode()),
        ("ZREMRANGEBYSCORE", key, "-inf", entry.at - _KEPT_S * MICROS_PER_SECOND),
        ("ZREMRANGEBYRANK", key, 0, -MOST_KEPT - 1),
        ("EXPIRE", key, _KEPT_S),
    ]


def read_audit(redis: Redis, tenant: str, limit: int, user_id: str = "") -> Sequence[AuditEntry]:
    """Read up to `limit` entries, the latest first; with `user_id`, those about this person.

    Raises redis.exceptions.RedisError.
    """
    last = MOST_KEPT if user_id else limit
    stored: Any = redis.zrevrange(console_audit_key(tenant), 0, last - 1)
    entries = (_read(text) for text in stored)
    return [entry for entry in entries if entry and (not user_id or entry.user == user_id)][:limit]


def _read(stored: bytes) -> AuditEntry | None:
    try:
        return _DECODER.decode(stored)
    except msgspec.DecodeError:
        return None
