"""The lists of latest calls: one of each tenant, and one of each user. They exist if the console is switched on; those
of users also if `BELLHOP_USER_CALLS` is set.

take_event.lua writes the tenant's list, in the step that applies a ring, a notification or a call.missed. The lists of
users have homes of their own: commands behind the script write them, in the same packet. Callers read a call's trail to
show it: a call may be in a list although its trail has expired. A third list has a line for each ring, with the ids and
names of its people, so that one command reads all that a search compares. Each partition has lists of its own calls;
they are merged here.
"""

from collections.abc import Iterator, Mapping, Sequence
from heapq import merge
from itertools import islice
from typing import Any, NamedTuple

from redis import Redis

from bellhop.clock import Micros
from bellhop.domain.folded_text import folded
from bellhop.store.blocking_client import partitions_of, together
from bellhop.store.homes import names_of
from bellhop.store.keys import calls_key, calls_of_user_key, devices_key, people_of_calls_key
from bellhop.store.scripts import RawCommand

MAX_CALLS = 10_000
"""Longest list of a tenant. Older calls can still be opened by their id, as long as they have a trail."""
MAX_CALLS_OF_USER = 50
"""Longest list of a user."""
MAX_LINES = 15_000
"""Longest list of lines with people: a call that rings again has another line."""
MAX_LINE = 300
"""Characters of ids and names in a line: those of the caller and, usually, of the first ten people."""
FROM_LATEST = Micros(0)
"""As `before`: begin with the latest call."""


class IndexedCall(NamedTuple):
    """An entry of a list."""

    cid: str
    began_at: Micros
    """When the call last began to ring or to notify."""


class NewEntry(NamedTuple):
    """A call that is added to the lists. If it only goes on (not `begins`), it keeps its position."""

    cid: str
    people: Mapping[str, str]
    """The names of the call's users, by id."""
    began_at: Micros
    """By Redis's clock."""
    begins: bool

    @property
    def zadd_option(self) -> str:
        """GT: the call moves to the front. NX: it keeps its position."""
        return "GT" if self.begins else "NX"

    def for_tenant(self) -> dict[str, str]:
        """Return what take_event.lua adds to the tenant's lists."""
        line = _line(self.cid, self.people)
        return {
            "cid": self.cid,
            "how": self.zadd_option,
            "most": str(MAX_CALLS),
            "line": line,
            "most_lines": str(MAX_LINES),
        }

    def for_users(self, tenant: str, ttl_s: int) -> list[RawCommand]:
        """Return the commands that add it to the lists of its users. If they run again, they change nothing."""
        keys = [calls_of_user_key(tenant, user_id) for user_id in self.people if user_id]
        commands: list[RawCommand] = []
        for key in keys:
            commands.append(("ZADD", key, self.zadd_option, self.began_at, self.cid))
            commands.append(("ZREMRANGEBYRANK", key, 0, -1 - MAX_CALLS_OF_USER))
            commands.append(("EXPIRE", key, ttl_s))
        return commands


def _line(cid: str, people: Mapping[str, str]) -> str:
    """Write the call's id, then all that a search compares with its words.

    A name may be cut off, but an id never: when a person is forgotten, a part of the id could not be recognized.
    """
    parts, left = [cid] if cid == folded(cid) else [cid, folded(cid)], MAX_LINE
    for user_id, name in people.items():
        if len(folded(user_id)) > left:
            break
        parts.append(folded(user_id if name in ("", user_id) else f"{user_id} {name}")[:left])
        left -= len(parts[-1])
    return "\t".join(parts)


def listed_calls(redis: Redis, tenant: str, user_id: str, before: Micros, limit: int) -> Iterator[list[IndexedCall]]:
    """Yield calls that began before `before`: the user's, or the tenant's if `user_id` is empty.

    The latest calls come first, in lists of up to `limit`. Raises redis.exceptions.RedisError.
    """
    key = calls_of_user_key(tenant, user_id) if user_id else calls_key(tenant)
    return _latest_first([_calls_of(redis, name, before, limit) for name in names_of(key, partitions_of(redis))], limit)


def calls_with(redis: Redis, tenant: str, text: str, before: Micros, limit: int) -> Iterator[list[IndexedCall]]:
    """Yield calls that have each word of the text in their id, or in the ids and names of their people.

    The latest calls come first, in lists of up to `limit`. Users are also found by their whole id. Raises
    redis.exceptions.RedisError.
    """
    words = [word.encode("utf-8", "surrogatepass") for word in folded(text).split()]
    among = partitions_of(redis)
    indexes, people = names_of(calls_key(tenant), among), names_of(people_of_calls_key(tenant), among)
    (of_user,) = names_of(calls_of_user_key(tenant, text), among)
    own, *answers = together(
        redis,
        ("ZRANGE", of_user, 0, -1),
        *(("ZREVRANGEBYSCORE", index, f"({before}" if before else "+inf", "-inf") for index in indexes),
        *(("LRANGE", lines, 0, -1) for lines in people),
        in_order=False,
    )
    found = [
        _among_calls(redis, index, _with_words(calls, lines, words, own), limit)
        for index, calls, lines in zip(indexes, answers[: len(indexes)], answers[len(indexes) :], strict=True)
    ]
    return _latest_first(found, limit)


def _with_words(calls: list[bytes], lines: list[bytes], words: list[bytes], own: list[bytes]) -> list[bytes]:
    """Return those of the calls that have all words, in the same order."""
    by_id = {cid.lower(): cid for cid in calls}
    ids = list(by_id)
    for word in words:
        lines = [line for line in lines if word in line]
        ids = [cid for cid in ids if word in cid]
    found = {*own, *(line.partition(b"\t")[0] for line in lines), *(by_id[cid] for cid in ids)}
    return [cid for cid in calls if cid in found]


def _among_calls(redis: Redis, index: str, ordered: list[bytes], limit: int) -> Iterator[IndexedCall]:
    """Yield those of these calls that are still in the list, with when they began."""
    for start in range(0, len(ordered), limit):
        part: Any = ordered[start : start + limit]
        scores: Any = redis.zmscore(index, part)
        listed = [(cid, score) for cid, score in zip(part, scores, strict=True) if score is not None]
        yield from (IndexedCall(cid.decode("utf-8", "replace"), Micros(int(score))) for cid, score in listed)


def _latest_first(lists: Sequence[Iterator[IndexedCall]], limit: int) -> Iterator[list[IndexedCall]]:
    """Merge lists, each with its latest call first."""
    calls = merge(*lists, key=lambda call: -call.began_at)
    while batch := list(islice(calls, limit)):
        yield batch


def is_known_user(redis: Redis, tenant: str, user_id: str) -> bool:
    """Return whether the user has a call in the lists, or a device. Raises redis.exceptions.RedisError."""
    return bool(redis.exists(calls_of_user_key(tenant, user_id), devices_key(tenant, user_id)))


def _calls_of(redis: Redis, key: str, before: Micros, limit: int) -> Iterator[IndexedCall]:
    """Yield the calls of one list, the latest first. `limit` of them are read at a time."""
    while True:
        latest = f"({before}" if before else "+inf"
        entries: Any = redis.zrevrangebyscore(key, latest, "-inf", start=0, num=limit, withscores=True)
        yield from (IndexedCall(cid.decode("utf-8", "replace"), Micros(int(score))) for cid, score in entries)
        if len(entries) < limit:
            return
        before = Micros(int(entries[-1][1]))
