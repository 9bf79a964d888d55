"""Walks over all keys by SCAN, a part at a time: it never holds up other commands.

On a cluster, each partition is walked by itself, by the tag in its keys. Newer servers then look at the keys of this
partition alone; others look at all keys of the node.
"""

import math
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from redis import Redis

from bellhop.store.blocking_client import partitions_of, together
from bellhop.store.homes import Partition, without_tag
from bellhop.store.scripts import RawCommand

SCANNED_AT_ONCE = 1_000
MOST_LOOKED_AT = 2_000
"""How many keys Redis looks at in one part, at most: it takes less than a millisecond."""


class Walk(NamedTuple):
    """How far a walk is. A key may come twice."""

    patterns: Sequence[str]
    """The patterns of keys that are not done. The first is under way; an empty one matches all keys."""
    at_once: int
    """About how many keys a part should have."""
    looked_at: int
    """How many keys Redis looks at for the next part."""
    cursor: int = 0

    def command(self) -> RawCommand:
        """Return the command for the next part."""
        pattern = self.patterns[0]
        return ("SCAN", self.cursor, *(("MATCH", pattern) if pattern else ()), "COUNT", self.looked_at)

    def after(self, answer: Sequence[Any]) -> "tuple[Walk | None, list[bytes]]":
        """Return the walk after this answer (None at its end), and the keys of the part."""
        cursor, found = int(answer[0]), answer[1]
        if cursor:
            return self._replace(looked_at=self._looked_at_after(len(found)), cursor=cursor), found
        left = self.patterns[1:]
        return (Walk(left, self.at_once, self.at_once) if left else None), found

    def _looked_at_after(self, found: int) -> int:
        """Return how many keys are looked at next. If few of them match, more are."""
        if found * 2 <= self.at_once:
            return min(self.looked_at * 2, MOST_LOOKED_AT)
        return max(self.looked_at // 2, self.at_once) if found > self.at_once else self.looked_at


def walk_over(starts: Sequence[str], among: Sequence[Partition], at_once: int, pattern: str = "") -> Walk:
    """Begin a walk over the keys with one of these starts. `pattern`: what follows a start; empty: anything.

    On a single Redis, several starts are one walk, over all keys.
    """
    if not among[0].tag and len(starts) > 1:
        return Walk([""], at_once, at_once)
    behind = pattern or "*"
    patterns = [literal(partition.key(start)) + behind for partition in among for start in starts]
    return Walk(patterns, at_once, at_once)


def scan(redis: Redis, start: str, pattern: str = "", *, until_s: float = math.inf) -> Iterator[str]:
    """Yield the keys with this start, without the tags of their partitions. Raises redis.exceptions.RedisError.

    The walk ends early at `until_s`, by the monotonic clock.
    """
    walk: Walk | None = walk_over([start], partitions_of(redis), SCANNED_AT_ONCE, pattern)
    while walk and time.monotonic() < until_s:
        walk, found = walk.after(together(redis, walk.command())[0])
        yield from (without_tag(key.decode(errors="replace")) for key in found)


def literal(text: str) -> str:
    """Write a text as a pattern that matches nothing else."""
    return "".join(f"\\{character}" if character in "*?[\\" else character for character in text)
