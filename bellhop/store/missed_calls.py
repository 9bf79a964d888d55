"""Which missed calls a user has not seen. They are kept if `BELLHOP_USER_CALLS` is set.

They are written before the standing is recorded, by commands of the user's home, so that a notice counts its own call.
If a process dies in between, and the user answers before the call is settled, the call counts as missed.
"""

from collections.abc import Sequence

from bellhop.clock import Micros
from bellhop.store.keys import missed_calls_key
from bellhop.store.scripts import RawCommand

MOST_UNSEEN = 100
"""Older missed calls count as seen."""


def note_missed(tenant: str, user_id: str, cid: str, began_at: Micros, kept_s: int) -> tuple[RawCommand, ...]:
    """Return the commands that note a missed call. They may run twice."""
    key = missed_calls_key(tenant, user_id)
    return (
        ("ZADD", key, "GT", began_at, cid),
        ("ZREMRANGEBYRANK", key, 0, -1 - MOST_UNSEEN),
        ("EXPIRE", key, kept_s),
    )


def note_seen(tenant: str, user_id: str, until: Micros | None, cids: Sequence[str]) -> list[RawCommand]:
    """Return the commands that note which calls the user has seen: those that began by `until`, and these."""
    key = missed_calls_key(tenant, user_id)
    commands: list[RawCommand] = []
    if until is not None:
        commands.append(("ZREMRANGEBYSCORE", key, "-inf", until))
    if cids:
        commands.append(("ZREM", key, *cids))
    return commands


def read_unseen(tenant: str, user_id: str) -> RawCommand:
    """Return the command that reads the missed calls that the user has not seen."""
    return ("ZRANGE", missed_calls_key(tenant, user_id), 0, -1)


def count_unseen(tenant: str, user_id: str) -> RawCommand:
    """Return the command that counts them."""
    return ("ZCARD", missed_calls_key(tenant, user_id))
