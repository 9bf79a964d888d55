"""Walks over all keys by SCAN, a part at a time: it never holds up other commands.

On a cluster, each partition is walked by itself, by the tag in its keys. Newer servers then look at the keys of this
partition alone; others look at all keys of the node.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from redis import Redis

from bellhop.store.blocking_client import partitions_of, together
from bellhop.store.homes import Partition, without_tag
from bellhop.store.scripts import Argument

SCANNED_AT_ONCE = 1_000


class Walk(NamedTuple):
    """How far a walk is. A key may come twice."""

    patterns: Sequence[str]
    """The patterns of keys that are not done. The first is under way; an empty one matches all keys."""
    cursor: int = 0

    def command(self, count: int) -> tuple[Argument, ...]:
        """Return the command for the next part, of about `count` keys."""
        pattern = self.patterns[0]
        return ("SCAN", self.cursor, *(("MATCH", pattern) if pattern else ()), "COUNT", count)

    def after(self, answer: Sequence[Any]) -> "tuple[Walk | None, list[bytes]]":
        """Return the walk after this answer (None at its end), and the keys of the part."""
        cursor, found = int(answer[0]), answer[1]
        if cursor:
            return self._replace(cursor=cursor), found
        return (Walk(self.patterns[1:]) if self.patterns[1:] else None), found


def walk_over(starts: Sequence[str], among: Sequence[Partition], pattern: str = "") -> Walk:
    """Begin a walk over the keys with one of these starts. `pattern`: what follows a start; empty: anything.

    On a single Redis, several starts are one walk, over all keys.
    """
    if not among[0].tag and len(starts) > 1:
        return Walk([""])
    behind = pattern or "*"
    return Walk([literal(partition.key(start)) + behind for partition in among for start in starts])


def scan(redis: Redis, start: str, pattern: str = "") -> Iterator[str]:
    """Yield the keys with this start, without the tags of their partitions. Raises redis.exceptions.RedisError."""
    walk: Walk | None = walk_over([start], partitions_of(redis), pattern)
    while walk:
        walk, found = walk.after(together(redis, walk.command(SCANNED_AT_ONCE))[0])
        yield from (without_tag(key.decode(errors="replace")) for key in found)


def literal(text: str) -> str:
    """Write a text as a pattern that matches nothing else."""
    return "".join(f"\\{character}" if character in "*?[\\" else character for character in text)
