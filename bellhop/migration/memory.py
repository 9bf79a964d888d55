"""What the new Redis remembers of the runs: from where it was filled, when, and the key of the digests of keys."""

import secrets
from typing import NamedTuple

from bellhop.clock import MICROS_PER_SECOND
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

    def check_source(self, keys: int) -> None:
        """Raise SourceLostDataError if many keys are gone: the former Redis has probably lost its data."""
        if self.keys - keys > max(FEW_GONE, self.keys // 10):
            raise SourceLostDataError(f"it has {keys} keys to copy, and had {self.keys} at the last run")


def recall(new: Side, source: str, *, anew: bool) -> Memory:
    """Read what the new Redis remembers of runs that copied from `source`.

    Raises CannotGoOnError if this run would bring back what was removed since, unless it begins `anew`.
    """
    time, stored = new.run(("TIME",), ("HMGET", MIGRATION, "from", "at", "secret", "keys"))
    stored_source, stored_at, secret, keys = stored
    now_s = read_time(time) // MICROS_PER_SECOND
    if secret is None or anew:
        return Memory(secrets.token_bytes(32), now_s, is_first=True)
    if stored_source.decode() != source:
        raise CannotGoOnError(f"it was filled from {stored_source.decode()}")
    if now_s - int(stored_at) > LONGEST_PAUSE_S:
        raise CannotGoOnError("the last run was more than 29 days ago")
    return Memory(secret, now_s, is_first=False, keys=int(keys or 0))


def note_begin(new: Side, source: str, memory: Memory, keys: int) -> None:
    """Note that a run has begun, and how many keys the former Redis has."""
    if memory.is_first:
        new.run(("HSET", MIGRATION, "from", source, "at", memory.began_s, "secret", memory.secret, "keys", keys))


def note_end(new: Side, memory: Memory, keys: int) -> None:
    """Note that a run has looked at all keys, and how many there were."""
    new.run(("HSET", MIGRATION, "at", memory.began_s, "keys", keys))
