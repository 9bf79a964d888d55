"""The latest calls of the call index, with their trails: for commands."""

from collections.abc import Iterator
from typing import NamedTuple

from redis import Redis

from bellhop.call_index import FROM_LATEST, IndexedCall, calls_with, listed_calls
from bellhop.clock import Micros
from bellhop.explain.explanation import LatestRounds, explain_for
from bellhop.explain.summary import MAX_LINES
from bellhop.store.blocking_client import partitions_of, together
from bellhop.store.homes import names_of
from bellhop.store.keys import calls_key, calls_of_user_key, told_key, trail_key
from bellhop.store.stored_trail import StoredTrail, read_stored_trail
from bellhop.trail import read_trail

READ_AT_ONCE = 100
MOST_CALLS = 2_000
"""Calls that one command looks at: each may have a trail of thousands of lines."""
TYPES = ("default", "audio_room", "livestream", "development")
"""The types of calls that each app has at Stream."""


class ListedCall(NamedTuple):
    """A call of the index, with its trail."""

    call: IndexedCall
    stored: StoredTrail

    def explained(self, user_id: str = "") -> LatestRounds:
        """Explain the latest rounds of the call; with `user_id`, the user's part if the user was called."""
        cid, (lines, now, told, today) = self.call.cid, self.stored
        return explain_for(cid, read_trail(lines), MAX_LINES, user_id, now, told, today)


def latest_calls(redis: Redis, tenant: str, user: str, since: Micros) -> Iterator[ListedCall]:
    """Yield the calls that began at `since` or later, the latest first; with `user`, those of this user.

    `user` is an id, or words of ids and names. At most MOST_CALLS are read. A call whose trail has expired is left out.
    Raises redis.exceptions.RedisError.
    """
    read = 0
    for calls in _calls(redis, tenant, user):
        for call in calls:
            if call.began_at < since:
                return
            stored = read_stored_trail(redis, tenant, call.cid)
            if stored.lines:
                yield ListedCall(call, stored)
        read += len(calls)
        if read >= MOST_CALLS:
            return


def calls_with_id(redis: Redis, tenant: str, call_id: str) -> list[str]:
    """Return the calls with this id, of any type: those of Stream's own types, and those in the list.

    Raises redis.exceptions.RedisError.
    """
    usual = [f"{type_}:{call_id}" for type_ in TYPES]
    reads = (("EXISTS", trail_key(tenant, cid), told_key(tenant, cid)) for cid in usual)
    known = together(redis, *reads, in_order=False)
    listed = (call.cid for calls in calls_with(redis, tenant, call_id, FROM_LATEST, READ_AT_ONCE) for call in calls)
    found = [cid for cid, exists in zip(usual, known, strict=True) if exists]
    return list(dict.fromkeys([*found, *(cid for cid in listed if cid.partition(":")[2] == call_id)]))


def has_list(redis: Redis, tenant: str) -> bool:
    """Return whether calls of this app are listed. Raises redis.exceptions.RedisError."""
    lists = names_of(calls_key(tenant), partitions_of(redis))
    return any(together(redis, *(("EXISTS", key) for key in lists), in_order=False))


def _calls(redis: Redis, tenant: str, user: str) -> Iterator[list[IndexedCall]]:
    if user and not redis.exists(calls_of_user_key(tenant, user)):
        return calls_with(redis, tenant, user, FROM_LATEST, READ_AT_ONCE)
    return listed_calls(redis, tenant, user, FROM_LATEST, READ_AT_ONCE)
