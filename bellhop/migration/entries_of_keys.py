"""Reads keys in both Redis, and decides about each of their entries."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from itertools import chain
from typing import Any, NamedTuple

from bellhop.migration.copied_kinds import KindToCopy, kind_of, walked_as
from bellhop.migration.merging import Change, change_of, digest
from bellhop.migration.sides import Side
from bellhop.privacy.key_kinds import READS, KeyKind, read_entries
from bellhop.store.blocking_client import partitions_of
from bellhop.store.homes import partition_with
from bellhop.store.keys import OURS, copied_key, owner_key
from bellhop.store.migration_scripts import REMEMBERED_S, EntryToCopy
from bellhop.store.scanning import scan
from bellhop.store.scripts import RawCommand

NAME_BYTES = 16
GONE = -2
"""What Redis answers to PTTL if there is no such key."""
OF_USERS = ("devices", "person", "phones", "missed")
"""The kinds of keys that name one user."""
Entries = Mapping[bytes, bytes]


class KeyOnBothSides(NamedTuple):
    """A key, as the former Redis and the new one have it."""

    key: str
    kind: KindToCopy
    copied_key: str
    former: Entries
    left_ms: int
    """How long the former Redis keeps the key; negative if it has no limit."""
    new: Entries
    copied: Entries
    """The digests of the values that were copied, by those of their names."""

    def decisions(self) -> "Iterator[EntryDecision]":
        """Yield what happens to each entry."""
        for name in dict.fromkeys([*self.former, *self.new]):
            name_digest = digest(name)
            former, copied, new = self.former.get(name), self.copied.get(name_digest), self.new.get(name)
            yield EntryDecision(name, change_of(former, copied, new), former, new, name_digest, copied)


class EntryDecision(NamedTuple):
    """An entry, and what happens to it."""

    name: bytes
    change: Change
    former: bytes | None
    new: bytes | None
    name_digest: bytes
    copied: bytes | None

    def kept(self) -> "EntryDecision":
        """Return the decision that nothing is copied."""
        return self._replace(change=Change.KEPT) if self.change is Change.COPIED else self

    def to_copy(self) -> EntryToCopy | None:
        """Return what the new Redis must change or remember; None for nothing."""
        former_digest = digest(self.former) if self.former is not None else None
        if former_digest == self.copied:
            return None
        action = {Change.COPIED: "put", Change.REMOVED: "remove"}.get(self.change, "keep")
        return EntryToCopy(self.name, self.new, action, self.former, self.name_digest, former_digest)  # type: ignore[arg-type]


def user_of(key: str) -> tuple[str, str]:
    """Return the tenant and the user of a key of OF_USERS; both are empty for other keys."""
    _, kind, *rest = key.split(":", 3)
    return (rest[0], rest[1]) if kind in OF_USERS else ("", "")


def keys_of(side: Side) -> Iterator[str]:
    """Yield the keys that are copied, some perhaps twice."""
    return (key for key in side.each(lambda redis: scan(redis, OURS)) if walked_as(key))


def count_keys(side: Side) -> int:
    """Count the keys that are copied."""
    return sum(1 for _ in keys_of(side))


def read_both(
    former: Side, new: Side, keys: Iterable[str], secret: bytes, remembers: Side, *, remember: bool
) -> list[KeyOnBothSides]:
    """Read keys. `remembers`: the side that knows what was copied. `remember`: it knows that for another 30 days."""
    kinds = {key: kind for key in keys if (kind := walked_as(key))}
    return read_as(former, new, kinds, secret, remembers, remember=remember)


def read_as(
    former: Side, new: Side, kinds: Mapping[str, KindToCopy], secret: bytes, remembers: Side, *, remember: bool
) -> list[KeyOnBothSides]:
    """Read keys whose kinds are known."""
    in_former, left = _read(former, kinds), _left(former, kinds)
    in_former |= {key: {} for key, left_ms in left.items() if left_ms == GONE}  # it has expired meanwhile
    _leave_out_moved_devices(former, in_former)
    in_new = _read(new, kinds)
    copied = {key: copied_key_of(key, secret, new) for key in kinds}
    memory = remembers.run(*(("HGETALL", copied_key_of(key, secret, remembers)) for key in kinds))
    if remember:
        new.run(*(("EXPIRE", name, REMEMBERED_S) for name in copied.values()))
    return [
        KeyOnBothSides(key, kind, copied[key], in_former[key], left.get(key, -1), in_new[key], remembered)
        for (key, kind), remembered in zip(kinds.items(), memory, strict=True)
    ]


def carry_memory(former: Side, new: Side, keys: Sequence[str], secret: bytes) -> None:
    """Make the new Redis remember of these keys what the former one does, and nothing else."""
    memory = former.run(*(("HGETALL", copied_key_of(key, secret, former)) for key in keys))
    names = [copied_key_of(key, secret, new) for key in keys]
    new.run(*(("DEL", name) for name in names))
    remembered = {name: digests for name, digests in zip(names, memory, strict=True) if digests}
    new.run(*(("HSET", name, *chain(*digests.items())) for name, digests in remembered.items()))
    new.run(*(("EXPIRE", name, REMEMBERED_S) for name in remembered))


def copied_key_of(key: str, secret: bytes, new: Side) -> str:
    """Return the name of the hash that remembers what was copied of a key. It does not say whose key that is."""
    name = blake2b(key.encode("utf-8", "surrogatepass"), key=secret, digest_size=NAME_BYTES).hexdigest()
    return partition_with(key, partitions_of(new.redis)).key(copied_key(name))


def _read(side: Side, kinds: Mapping[str, KindToCopy]) -> dict[str, Entries]:
    answers = side.run(*(READS[kind.type](key) for key, kind in kinds.items()))
    return {key: _entries(kind, answer) for (key, kind), answer in zip(kinds.items(), answers, strict=True)}


def _left(side: Side, kinds: Mapping[str, KindToCopy]) -> dict[str, int]:
    """Read how long the keys last that expire, in milliseconds."""
    keys = [key for key, kind in kinds.items() if kind.expires]
    return dict(zip(keys, side.run(*(("PTTL", key) for key in keys)), strict=True))


def _entries(kind: KindToCopy, answer: Any) -> Entries:
    found = read_entries(KeyKind("", kind.type, ""), answer)
    if kind.type == "zset":  # two versions of Redis may write the same score in two ways
        return {name: f"{float(score):.17g}".encode() for name, score in found}
    return dict(found)


def _leave_out_moved_devices(former: Side, entries: dict[str, Entries]) -> None:
    """Leave out devices whose token another user has: they count for nobody."""
    devices = {key: user_of(key) for key in entries if kind_of(key) == "devices"}
    owners: Sequence[RawCommand] = [
        ("GET", owner_key(tenant, name.decode())) for key, (tenant, _) in devices.items() for name in entries[key]
    ]
    answers = iter(former.run(*owners))
    for key, (_, user_id) in devices.items():
        entries[key] = {name: value for name, value in entries[key].items() if next(answers) == user_id.encode()}
