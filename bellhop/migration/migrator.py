"""Copies keys in batches from one Redis to another. It may be stopped at any time, and may run again.

Nothing is locked. A script changes an entry in the new Redis only if it still is as it was read; otherwise the entry
counts as `kept`, and the next run decides about it.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import TypeVar

from bellhop.migration.copied_kinds import kind_of
from bellhop.migration.device_owners import Token, make_owners, take_free_tokens
from bellhop.migration.entries_of_keys import (
    EntryDecision,
    KeyOnBothSides,
    carry_memory,
    keys_of,
    read_both,
    user_of,
)
from bellhop.migration.memory import Memory
from bellhop.migration.merging import Change
from bellhop.migration.sides import Side
from bellhop.migration.tombstones import copy_tombstones
from bellhop.privacy.forgetting_people import KnownForgotten
from bellhop.store import registry
from bellhop.store.keys import FORGOTTEN
from bellhop.store.migration_scripts import copy_entries
from bellhop.store.steps import side_by_side

Item = TypeVar("Item")
Decided = Sequence[tuple[KeyOnBothSides, Sequence[EntryDecision]]]
"""Keys with the decisions about their entries."""

KEYS_AT_ONCE = 500
ENTRIES_AT_ONCE = 100
"""How many entries one script changes."""


@dataclass
class Migrator:
    """One run. Its methods raise SideError."""

    former: Side
    new: Side
    memory: Memory
    dry_run: bool = False
    counts: dict[str, Counter[Change]] = field(default_factory=dict)
    """How many entries of each kind were changed in which way."""

    unknown_forgotten: int = 0
    """How many forgotten people the new Redis cannot recognize."""

    def __post_init__(self) -> None:
        self._forgotten_in_former, self._forgotten_in_new = KnownForgotten(), KnownForgotten()

    @property
    def _remembers(self) -> Side:
        """The side that remembers what was copied. `carry_memory` makes it the new Redis."""
        return self.former if self.memory.goes_back and self.dry_run else self.new

    def carry_memory(self) -> None:
        """On the way back, take along what the former Redis remembers. It is needed as a whole before the first key."""
        if self.memory.goes_back:
            for batch in batches(chain([FORGOTTEN], keys_of(self.former), keys_of(self.new)), KEYS_AT_ONCE):
                carry_memory(self.former, self.new, batch, self.memory.secret)

    def keys(self) -> Iterator[str]:
        """Yield the keys to copy: first those that the former Redis does not have any more."""
        self._copy_forgotten()
        if not self.memory.is_first:
            for batch in batches(keys_of(self.new), KEYS_AT_ONCE):
                answers = self.former.run(*(("EXISTS", key) for key in batch))
                yield from (key for key, exists in zip(batch, answers, strict=True) if not exists)
        yield from keys_of(self.former)

    def _copy_forgotten(self) -> None:
        self.unknown_forgotten = copy_tombstones(
            self.former, self.new, self.memory.secret, self._remembers, dry_run=self.dry_run
        )

    def copy(self, keys: Sequence[str]) -> None:
        """Copy some keys, and before them who was forgotten meanwhile."""
        self._copy_forgotten()
        self.former.use(self._forgotten_in_former.read)
        self.new.use(self._forgotten_in_new.read)
        remember = not (self.dry_run or self.memory.is_first)
        both = read_both(self.former, self.new, keys, self.memory.secret, self._remembers, remember=remember)
        decided = [(key, self._decisions(key)) for key in both]
        # A removed device takes the record of its phone along. So devices come last.
        self._change([pair for pair in decided if kind_of(pair[0].key) != "devices"])
        self._change_devices([pair for pair in decided if kind_of(pair[0].key) == "devices"])

    def _decisions(self, key: KeyOnBothSides) -> list[EntryDecision]:
        """Decide about the entries of a key. A forgotten person does not come back."""
        tenant, user_id = user_of(key.key)
        if tenant and self._forgotten_in_former.people.of(tenant)(user_id):
            key = key._replace(former={})
        elif tenant and self._forgotten_in_new.people.of(tenant)(user_id):
            return [decision.kept() for decision in key.decisions()]
        return list(key.decisions())

    def _change_devices(self, decided: Decided) -> None:
        tokens = {
            (key.key, decision.name): Token(*user_of(key.key), decision.name.decode())
            for key, decisions in decided
            for decision in decisions
            if decision.change is Change.COPIED
        }
        theirs = make_owners(self.new, list(tokens.values()), self.memory.secret, self._remembers, dry_run=self.dry_run)
        others = {entry for entry, token in tokens.items() if token not in theirs}
        decided = [
            (key, [decision.kept() if (key.key, decision.name) in others else decision for decision in decisions])
            for key, decisions in decided
        ]
        self._change(decided if self.dry_run else self._without_removed(decided))
        if not self.dry_run:
            take_free_tokens(self.new, list(theirs))  # a removal may have ended meanwhile

    def _without_removed(self, decided: Decided) -> Decided:
        """Remove devices with their owners; what is left to do is to forget that they were copied."""
        removals = {
            (key.key, decision.name): registry.remove(user_of(key.key)[0], device)
            for key, decisions in decided
            for decision in decisions
            if decision.change is Change.REMOVED and decision.new is not None
            for device in registry.decode([decision.new])
        }
        answers = self.new.run_steps(side_by_side([*removals.values()])) if removals else []
        removed = {entry for entry, answer in zip(removals, answers, strict=True) if answer != "changed"}
        return [
            (
                key,
                [decision._replace(new=None) if (key.key, decision.name) in removed else decision for decision in each],
            )
            for key, each in decided
        ]

    def _change(self, decided: Decided) -> None:
        """Change the entries as was decided, and count."""
        commands, changes = [], []
        for key, decisions in decided:
            counts = self.counts.setdefault(kind_of(key.key), Counter())
            pairs = [(decision.change, decision.to_copy()) for decision in decisions]
            counts.update(change for change, entry in pairs if entry is None or self.dry_run)
            to_do = [(change, entry) for change, entry in pairs if entry is not None and not self.dry_run]
            for part in batches(to_do, ENTRIES_AT_ONCE):
                entries = [entry for _, entry in part]
                commands.append(copy_entries(key.key, key.copied_key, key.kind.type, key.left_ms, entries))
                changes.append((counts, [change for change, _ in part]))
        for (counts, planned), answers in zip(changes, self.new.run(*commands), strict=True):
            counts.update(change if done else Change.KEPT for change, done in zip(planned, answers, strict=True))


def batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Yield up to `size` items at a time."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
