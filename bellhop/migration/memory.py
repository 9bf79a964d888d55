"""What the new Redis remembers of the runs: from where it was filled, when, and the key of the digests of keys."""

import secrets
from typing import NamedTuple

from bellhop.clock import MICROS_PER_SECOND
from bellhop.migration.entries_of_keys import count_keys
from bellhop.migration.sides import Side
from bellhop.store.keys import MIGRATION
from bellhop.store.migration_scripts import REMEMBERED_S
from bellhop.store.redis_clock import read_time

LONGEST_PAUSE_S = REMEMBERED_S - 24 * 3600
"""What was copied by a run is remembered for a day longer: a run may take hours."""


FEW_GONE = 20
"""So many keys of users may disappear between two runs, or a tenth of all, if that is more."""


class CannotGoOnError(Exception):
    """The new Redis does not remember what was copied from this one. The text says so."""


class SourceLostDataError(Exception):
    """The former Redis has far fewer keys than at the last run. The text says how many."""


class Memory(NamedTuple):
    """What the new Redis remembers."""

    secret: bytes
    began_s: int
    """When this run began, by the clock of the new Redis."""
    is_first: bool
    keys: int = 0
    """How many keys the former Redis had at the last run."""
    goes_back: bool = False
    """Whether the former Redis was filled from the new one: then it remembers what both had at that time."""

    def check_source(self, keys: int) -> None:
        """Raise SourceLostDataError if many keys are gone: the former Redis has probably lost its data."""
        if _are_many_gone(self.keys, keys):
            raise SourceLostDataError(f"it has {keys} keys to copy, and had {self.keys} at the last run")


def recall(former: Side, new: Side, source: str, target: str, *, anew: bool) -> Memory:
    """Read what the two remember of runs: `source` and `target` are their names.

    On the way back, the former Redis remembers what both had. Raises CannotGoOnError if this run would bring back what
    was removed since, unless it begins `anew`.
    """
    (time,) = new.run(("TIME",))
    now_s = read_time(time) // MICROS_PER_SECOND
    ours, theirs = _stored(new), _stored(former)
    if theirs and (theirs.source != target or (ours and ours.at_s >= theirs.at_s) or _lost_data(new, theirs.keys)):
        theirs = None
    last = theirs or ours
    if last is None or anew:
        return Memory(secrets.token_bytes(32), now_s, is_first=True)
    if last is ours and last.source != source:
        raise CannotGoOnError(f"it was filled from {last.source}")
    if now_s - last.at_s > LONGEST_PAUSE_S:
        raise CannotGoOnError("the last run was more than 29 days ago")
    return Memory(last.secret, now_s, is_first=False, keys=last.keys, goes_back=last is theirs)


class _Stored(NamedTuple):
    source: str
    at_s: int
    secret: bytes
    keys: int


def _stored(side: Side) -> _Stored | None:
    """Read what a Redis remembers of the last run that filled it; None if none did."""
    ((source, at_s, secret, keys),) = side.run(("HMGET", MIGRATION, "from", "at", "secret", "keys"))
    return None if secret is None else _Stored(source.decode(), int(at_s), secret, int(keys or 0))


def _lost_data(side: Side, before: int) -> bool:
    """Return whether a Redis that had so many keys has none, or many fewer."""
    keys = count_keys(side)
    return not keys or _are_many_gone(before, keys)


def _are_many_gone(before: int, now: int) -> bool:
    return before - now > max(FEW_GONE, before // 10)


def note_begin(new: Side, source: str, memory: Memory, keys: int) -> None:
    """Note that a run has begun, and how many keys the former Redis has."""
    if memory.is_first or memory.goes_back:
        new.run(("HSET", MIGRATION, "from", source, "at", memory.began_s, "secret", memory.secret, "keys", keys))


def note_end(new: Side, memory: Memory, keys: int) -> None:
    """Note that a run has looked at all keys, and how many there were."""
    new.run(("HSET", MIGRATION, "at", memory.began_s, "keys", keys))
