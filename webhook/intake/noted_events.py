"""Note that a call exists, from events that Bellhop does nothing for.

If Stream never asks to ring the call, `bellhop explain` finds only this note. Each call has one small hash that
expires, with at most one field for each of these types. A ring costs no extra command.
"""

import contextlib

from redis.exceptions import RedisError

from bellhop.clock import Micros
from bellhop.store.keys import told_key
from bellhop.trail import DAY_S
from webhook.intake.events import Event
from webhook.intake_redis import IntakeRedis

NOTED_TYPES = frozenset({"call.created", "call.session_started", "call.live_started", "call.member_added"})


def note_event(redis: IntakeRedis, tenant: str, event: Event, now: Micros) -> None:
    """Note an ignored event of a call. An error of Redis is ignored, since nothing else needs the event."""
    if event.type not in NOTED_TYPES or not event.cid:
        return
    key = told_key(tenant, event.cid)
    with contextlib.suppress(RedisError):
        redis.together(("HSET", key, event.type, now if event.at is None else event.at), ("EXPIRE", key, DAY_S))
