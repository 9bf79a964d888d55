"""Copies who was forgotten lately: the new Redis must not take these people in, and erases what it has of them."""

from bellhop.migration.copied_kinds import KINDS, KindToCopy
from bellhop.migration.entries_of_keys import EntryDecision, read_as
from bellhop.migration.merging import Change
from bellhop.migration.sides import Side
from bellhop.privacy.forgetting_people import DAY_US, SECRET_TTL_S
from bellhop.store.keys import ERASURES, FORGOTTEN, FORGOTTEN_HASH_KEY, FORGOTTEN_LIFTS
from bellhop.store.migration_scripts import copy_entries
from bellhop.store.redis_clock import read_time
from bellhop.store.scripts import RawCommand


def copy_tombstones(former: Side, new: Side, secret: bytes, remembers: Side, *, dry_run: bool) -> int:
    """Copy who was forgotten in the former Redis, and who was but has registered again.

    `remembers`: the side that knows what was copied. Returns how many people the new Redis cannot recognize, since it
    has another key of their hashes.
    """
    (hash_key,) = former.run(("GET", FORGOTTEN_HASH_KEY))
    if hash_key is None:
        return 0
    if not dry_run:
        new.run(("SET", FORGOTTEN_HASH_KEY, hash_key, "NX", "EX", SECRET_TTL_S))
    time, new_hash_key = new.run(("TIME",), ("GET", FORGOTTEN_HASH_KEY))
    if new_hash_key not in (hash_key, None):
        return int(former.run(("ZCARD", FORGOTTEN))[0])
    kind = KINDS["forgotten"]
    assert isinstance(kind, KindToCopy)  # noqa: S101 - the table says so
    (key,) = read_as(former, new, {FORGOTTEN: kind}, secret, remembers, remember=not dry_run)
    lifted_since = read_time(time) - DAY_US
    decisions = [
        decision
        for decision in map(_forgetting_wins, key.decisions())
        if decision.change is Change.COPIED or (decision.change is Change.REMOVED and _at(decision) > lifted_since)
    ]  # after a day, the last pass ended it at the former Redis; the new one makes its own last pass
    if decisions and not dry_run:
        new.run(*map(_erasure, decisions), ("EXPIRE", FORGOTTEN_HASH_KEY, SECRET_TTL_S))
        entries = [entry for decision in decisions if (entry := decision.to_copy())]
        new.run(copy_entries(FORGOTTEN, key.copied_key, kind.type, key.left_ms, entries))
        new.run(("INCR", FORGOTTEN_LIFTS))
    return 0


def _forgetting_wins(decision: EntryDecision) -> EntryDecision:
    """Copy a person who was forgotten again, although the person has registered at the new Redis since the last run."""
    is_again = decision.change is Change.KEPT and decision.former is not None
    return decision._replace(change=Change.COPIED) if is_again else decision


def _at(decision: EntryDecision) -> float:
    """Return when the person was forgotten (unix µs)."""
    return float(decision.former or decision.new or b"0")


def _erasure(decision: EntryDecision) -> RawCommand:
    """Return the command that plans a pass over all keys, or ends that: the person registered again."""
    if decision.change is Change.COPIED:
        return ("ZADD", ERASURES, "NX", _at(decision), decision.name)
    return ("ZREM", ERASURES, decision.name)
