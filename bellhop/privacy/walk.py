"""Walks over all keys in small steps, without I/O: each step yields commands, and gets their answers.

So the worker (asyncio), the commands and the web process (blocking) share one walk. A step reads some keys. It changes
an entry that names one of the people only if the entry is still as it was read, so writers need no lock.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar, cast

from bellhop.clock import Micros
from bellhop.domain.call import Stamp
from bellhop.domain.stamp_history import PastStamp, history_field
from bellhop.privacy.entries import Entry
from bellhop.privacy.key_kinds import (
    DEVICES,
    EMAILS,
    OWNERS,
    READS,
    Found,
    KeyKind,
    belongs_to,
    context_of,
    found_in,
    kind_of_key,
    known_kind,
    parts_of,
    read_entries,
)
from bellhop.privacy.people import People
from bellhop.store import registry
from bellhop.store.async_client import Store
from bellhop.store.homes import Partition
from bellhop.store.keys import FORGOTTEN_LIFTS, OURS, ROUND_PREFIX, call_key, devices_key, rq_job_key, start_of
from bellhop.store.redis_clock import read_time
from bellhop.store.scanning import Walk, walk_over
from bellhop.store.scripts import Argument, Command
from bellhop.store.steps import Steps, next_step, side_by_side

KEYS_AT_ONCE = 100
"""About how many keys a step looks at."""
STARTS = (OURS, start_of(rq_job_key("")))
"""The starts of all keys that may name people."""
ENTRIES_AT_ONCE = 25
"""How many entries a script changes: it must not take ten milliseconds."""

T = TypeVar("T")


class FoundKey(NamedTuple):
    """A key that names the people."""

    key: str
    kind: KeyKind
    whole: bool
    """Whether the whole key is about one of them."""
    entries: Sequence[Entry]
    """All of its entries."""
    found: Sequence[Found]
    """The entries that name them, if it is not the whole key."""


def next_keys(walk: Walk) -> Steps[tuple[Walk | None, list[tuple[str, KeyKind]], Micros]]:
    """Return where the walk goes on (None at its end), some keys that may name people, with their kinds, and the time.

    The time is Redis's.
    """
    answer, time = yield [walk.command(), ("TIME",)]
    walk_on, names = walk.after(answer)
    texts = [name.decode("utf-8", "surrogateescape") for name in names]
    keys = [(key, kind) for key in texts if (kind := kind_of_key(key)) and _is_text(key)]
    return walk_on, keys, read_time(time)


def steps_of_keys(people: People, walk: Walk) -> Steps[tuple[Walk | None, list[FoundKey], Micros]]:
    """Look at some keys. Returns where the walk goes on, the keys that name the people, and Redis's time."""
    walk_on, keys, now = yield from next_keys(walk)
    types = (yield [("TYPE", key) for key, _ in keys]) if keys else []
    keys = [(key, kind) for (key, kind), type_ in zip(keys, types, strict=True) if _text(type_) == kind.type]
    answers = (yield [READS[kind.type](key) for key, kind in keys]) if keys else []
    found = []
    for (key, kind), answer in zip(keys, answers, strict=True):
        stored = read_entries(kind, answer)
        whole = belongs_to(key, kind, people)
        pairs = [] if whole else found_in(context_of(key, kind, people), kind, stored)
        if stored and (whole or pairs):
            found.append(FoundKey(key, kind, whole, stored, pairs))
    return walk_on, found, now


def erase(read_people: Callable[[], Steps[People]], among: Sequence[Partition]) -> Steps[Counter[str]]:
    """Make people unreadable in all keys. Returns how many entries were changed, by the start of their keys.

    `read_people` is called again if a forgotten person registered again meanwhile. Then this step begins anew, and the
    pass goes on for the others.
    """
    counts: Counter[str] = Counter()
    (lifts,) = yield [("GET", FORGOTTEN_LIFTS)]
    people = yield from read_people()
    walk: Walk | None = walk_over(STARTS, among, KEYS_AT_ONCE)
    while walk:
        walk_on, found, now = yield from steps_of_keys(people, walk)
        for key in found:
            (lifts_now,) = yield [("GET", FORGOTTEN_LIFTS)]
            if lifts_now != lifts:
                lifts, people = lifts_now, (yield from read_people())
                break
            answers = yield from _change(key, now)
            counts[key.kind.start] += sum(answer for answer in answers if isinstance(answer, int))
        else:
            walk = walk_on
    return counts


def _change(found: FoundKey, now: Micros) -> Steps[list[Any]]:
    """Change one key. A device that was registered again meanwhile stays: its entry is not as it was read."""
    is_gone = found.kind.start == EMAILS and any(change is None for _, change in found.found)
    if is_gone:
        return (yield [("DEL", found.key)])
    if found.kind.start == OWNERS:
        tenant, device = parts_of(found.key, found.kind)
        (has_device,) = yield [("HEXISTS", devices_key(tenant, found.entries[0].value.decode()), device)]
        if has_device:  # the owner is removed together with the device
            return []
    if found.whole and found.kind.start == DEVICES:
        tenant, _ = parts_of(found.key, found.kind)
        devices = registry.decode(entry.value for entry in found.entries)
        yield from side_by_side([registry.remove(tenant, device) for device in devices])
    changes = [Found(entry, None) for entry in found.entries] if found.whole else found.found
    commands = list(_end_of_ring(found, now)) if found.kind.start == ROUND_PREFIX else []
    for first in range(0, len(changes), ENTRIES_AT_ONCE):
        commands.append(replace(found.key, found.kind, changes[first : first + ENTRIES_AT_ONCE]))
    return (yield commands)


def replace(key: str, kind: KeyKind, found: Sequence[Found], added: tuple[str, str] = ("", "")) -> Command:
    """Return the script that changes entries of a key. `added`: a field of a hash to add, and its value."""
    args: list[Argument] = [kind.type, kind.counts_changes, *added]
    for entry, change in found:
        args += [entry.name, entry.value, *(("put", *change) if change else ("remove", b"", b""))]
    return Command("privacy/replace_entries", [key], args)


def _end_of_ring(found: FoundKey, now: Micros) -> Iterator[Command]:
    """Yield the commands that remove these people from the call, if this round still rings them."""
    fields = dict(found.entries)
    for entry, change in found.found:
        kind, _, user = entry.name.partition(b":")
        if kind != b"u" or change is None or b"o:" + user in fields:
            continue
        facts = json.loads(fields.get(b"facts", b"{}"))
        call = call_key(facts["tenant"], facts["cid"])
        stamp = PastStamp(max(now, Micros(facts["started_at"])), facts["session_id"])
        name = Stamp.REMOVED + change.name.partition(b":")[2].decode()
        yield replace(call, known_kind(call), (), (history_field(name, stamp), str(stamp.at)))


def _is_text(key: str) -> bool:
    """Tell whether a key is valid Unicode: all keys of ours are."""
    return not any("\ud800" <= char <= "\udfff" for char in key)


def _text(answer: object) -> str:
    return answer.decode() if isinstance(answer, bytes) else str(answer)


async def run(steps: Steps[T], store: Store, between: Callable[[], Awaitable[None]]) -> T:
    """Take all steps with the worker's client; `between` runs after each. Raises as the store does."""
    commands, value = next_step(steps, None)
    while commands is not None:
        answers = await store.together(*commands)
        # A step may read thousands of lines: in a thread, it does not hold up the event loop.
        commands, value = await asyncio.to_thread(next_step, steps, answers)
        await between()
    return cast("T", value)
