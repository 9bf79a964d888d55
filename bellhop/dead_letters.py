"""Events that could not be sent to an endpoint for a day: they are kept, listed, and sent again on request."""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple, Self

from redis import Redis

from bellhop.audience import Destination, outbox_of
from bellhop.clock import Micros, iso
from bellhop.store.blocking_client import run_script, together
from bellhop.store.keys import dead_letters_key
from bellhop.store.outbox_scripts import fill_outboxes
from bellhop.store.scripts import RawCommand

MOST = 10_000
"""How many dead letters are kept for each endpoint: the latest ones."""


class DeadLetter(NamedTuple):
    """An event that could not be sent."""

    endpoint: str
    tenant: str
    subject: str
    """What it is about: a call's cid, `device:<key>` or `alarm`."""
    document: str
    """The event, as it was signed."""
    reason: str
    """Why the last request failed."""
    at: Micros
    """When it was given up."""

    @property
    def event(self) -> dict[str, Any]:
        """The event's fields."""
        fields: dict[str, Any] = json.loads(self.document)
        return fields

    def stored(self) -> str:
        """Write what the key and the score do not say."""
        return json.dumps([self.tenant, self.subject, self.document, self.reason])

    @classmethod
    def read(cls, endpoint: str, stored: bytes, at: float) -> Self:
        """Read what `stored` wrote."""
        tenant, subject, document, reason = json.loads(stored)
        return cls(endpoint, tenant, subject, document, reason, Micros(int(at)))


def keep_dead_letter(letter: DeadLetter, keep_s: int) -> list[RawCommand]:
    """Return the commands that keep a dead letter for `keep_s`. They may run twice."""
    key = dead_letters_key(letter.endpoint)
    return [
        ("ZADD", key, "NX", letter.at, letter.stored()),
        ("ZREMRANGEBYSCORE", key, "-inf", letter.at - keep_s * 1_000_000),
        ("ZREMRANGEBYRANK", key, 0, -MOST - 1),
        ("EXPIRE", key, keep_s),
    ]


def dead_letters(redis: Redis, endpoint: str, limit: int = MOST) -> list[DeadLetter]:
    """Read up to `limit` dead letters of an endpoint: the latest ones, the oldest of them first."""
    stored: Any = redis.zrange(dead_letters_key(endpoint), -limit, -1, withscores=True)
    return [DeadLetter.read(endpoint, text, at) for text, at in stored]


def count_dead_letters(redis: Redis, endpoints: Sequence[str]) -> dict[str, int]:
    """Count the dead letters of each endpoint, in one round trip."""
    counts = together(redis, *(("ZCARD", dead_letters_key(endpoint)) for endpoint in endpoints)) if endpoints else []
    return dict(zip(endpoints, counts, strict=True))


def send_again(redis: Redis, destination: Destination, letter: DeadLetter, now: Micros) -> None:
    """Put a dead letter into its outbox. If this process dies in between, the event is sent twice, with the same id."""
    again = OutboxEntry(letter.document, now).written()
    run_script(redis, fill_outboxes(again, [outbox_of(destination, letter.tenant, letter.subject, now)], now))
    redis.zrem(dead_letters_key(letter.endpoint), letter.stored())


class OutboxEntry(NamedTuple):
    """What an outbox holds for an endpoint: an event, or an event that is sent again."""

    document: str
    since: Micros | None = None
    """When it was put into the outbox again; None if it was not."""

    def written(self) -> str:
        """Write an event that is sent again. The event's own text does not change: the receiver gets the same bytes."""
        return json.dumps(
            {"timestamp": iso(self.since or Micros(0)), "again": str(self.since), "document": self.document}
        )

    @classmethod
    def read(cls, text: str) -> tuple[Self, dict[str, Any]]:
        """Read an entry, and the fields of its event."""
        fields: dict[str, Any] = json.loads(text)
        if "again" not in fields:
            return cls(text), fields
        entry = cls(fields["document"], Micros(int(fields["again"])))
        return entry, json.loads(entry.document)
