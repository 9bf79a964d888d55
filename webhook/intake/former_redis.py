"""What a Redis knows of a webhook and its call. While an installation moves, the former Redis is asked first.

Calls that began there end there (docs/moving-redis.md). No ring depends on it: if it does not answer, webhooks go on
without it.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

from redis.exceptions import RedisError

from bellhop.clock import Micros
from bellhop.domain.call import Stamp
from bellhop.queue.other_databases import no_former_worker
from bellhop.store.homes import partition_with
from bellhop.store.keys import WORKERS, call_key, webhook_key
from bellhop.store.redis_clock import read_time
from bellhop.store.stored_call import ROUND_FIELD, read_fields
from bellhop.telemetry.outage import RedisOutage
from webhook.intake_redis import IntakeRedis

PAUSE_S = 1.0
"""While the former Redis is away, one webhook tries it in this time; the others do not wait for it."""
T = TypeVar("T")


class KnownCall(NamedTuple):
    """What a Redis knows of a webhook and its call."""

    taken: bool = False
    """Whether this Redis has taken the webhook."""
    is_known: bool = False
    """Whether this Redis has anything of the call."""
    fields: Mapping[str, str] = MappingProxyType({})
    """Of the call's hash; empty if they were not read."""
    has_workers: bool = False
    now: Micros = Micros(0)
    """The time by the clock of this Redis."""

    @property
    def has_rung(self) -> bool:
        """Whether this Redis has a round of the call: of a ring, or of a call.missed without its ring."""
        return any(name.startswith(ROUND_FIELD) for name in self.fields)

    @property
    def stamps(self) -> list[tuple[str, Micros]]:
        """The latest stamp of each name."""
        names = (name for name in self.fields if name == Stamp.ENDED or ":" in name)
        return [(name, Micros(int(self.fields[name]))) for name in names if not name.startswith((ROUND_FIELD, "at:"))]

    @property
    def history(self) -> list[tuple[str, Micros]]:
        """The fields that keep stamps one by one (`bellhop.domain.stamp_history`)."""
        return [(name, Micros(int(at))) for name, at in self.fields.items() if name.startswith("at:")]


UNKNOWN = KnownCall()


def look(redis: IntakeRedis, tenant: str, cid: str, webhooks: Iterable[str], *, with_fields: bool) -> KnownCall:
    """Look up a call, and a webhook by its digests, in one round trip. Raises redis.exceptions.RedisError.

    `with_fields`: a large call has thousands, so they are not read for each answer.
    """
    call = call_key(tenant, cid)
    partition = partition_with(call, redis.partitions)
    taken, known, workers, now = redis.together(
        ("EXISTS", *(partition.key(webhook_key(webhook)) for webhook in webhooks)),
        ("HGETALL" if with_fields else "EXISTS", call),
        ("EXISTS", partition.key(WORKERS)),
        ("TIME",),
    )
    fields = _fields(known) if with_fields else {}
    return KnownCall(bool(taken), bool(known), fields, bool(workers), read_time(now))


def _fields(answer: Any) -> Mapping[str, str]:
    """Read the answer to HGETALL: redis-py's client in a thread has made a dict of it."""
    return read_fields(list(chain.from_iterable(answer.items())) if isinstance(answer, dict) else answer)


class FormerRedis:
    """The former Redis. While it is away, it is asked once a second; each outage is logged."""

    def __init__(self, redis: IntakeRedis, outage: RedisOutage) -> None:
        self._redis, self._outage, self._ask_again_s = redis, outage, 0.0

    def look(self, tenant: str, cid: str, webhooks: Iterable[str], *, with_fields: bool) -> KnownCall:
        """Return what this Redis knows; UNKNOWN while it is away. Without workers, it is probably the wrong Redis."""
        known = self.ask(lambda redis: look(redis, tenant, cid, webhooks, with_fields=with_fields))
        if known is None:
            return UNKNOWN
        if known.has_workers:
            self._outage.note_answer()
        else:
            self._outage.note_error("NoWorkers", advice=no_former_worker("there"))
        return known

    def ask(self, request: Callable[[IntakeRedis], T]) -> T | None:
        """Return the answer to a request; None while this Redis is away."""
        now_s = time.monotonic()
        if now_s < self._ask_again_s:
            return None
        if self._ask_again_s:
            self._ask_again_s = now_s + PAUSE_S
        try:
            answer = request(self._redis)
        except Exception as error:  # a wrong URL may raise any: no ring depends on this Redis
            self._ask_again_s = time.monotonic() + PAUSE_S
            self.note_error(error)
            return None
        self._ask_again_s = 0.0
        return answer

    def note_error(self, error: Exception) -> None:
        """Note that this Redis has failed. The repeat of the webhook looks again, without a pause."""
        if isinstance(error, RedisError):
            self._outage.note_redis_error(error, "BELLHOP_REDIS_FORMER_URL")
        else:
            self._outage.note_error(type(error).__name__, advice="correct BELLHOP_REDIS_FORMER_URL")
