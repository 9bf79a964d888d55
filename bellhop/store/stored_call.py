"""A call as Redis keeps it, with its rounds."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from bellhop.clock import Micros
from bellhop.store.async_client import Store
from bellhop.store.clock_differences import read_applied
from bellhop.store.homes import partition_with
from bellhop.store.keys import call_key, round_key
from bellhop.store.redis_clock import read_time

ROUND_FIELD = "r:"
"""A call has a field for each round: this, and the start of the round."""


class StoredCall(NamedTuple):
    """A call as Redis keeps it."""

    now: Micros
    """The time by Stream's clock."""
    redis_ahead_us: int
    """How far Redis's clock is ahead of it."""
    fields: Mapping[str, str]
    """The call's stamps, the start of each round (`r:…`), and `version`."""
    rounds: Mapping[Micros, Mapping[str, str]]
    """The fields of each round, by its start."""

    @property
    def redis_now(self) -> Micros:
        """The time by Redis's clock, by which claims end."""
        return Micros(self.now + self.redis_ahead_us)

    @property
    def stamps(self) -> dict[str, Micros]:
        """The call's stamps, by name."""
        fields = self.fields.items()
        return {name: Micros(int(at)) for name, at in fields if not name.startswith(ROUND_FIELD) and name != "version"}


async def read_call(store: Store, tenant: str, cid: str) -> StoredCall:
    """Read a call, then its rounds, except those that it has forgotten. Raises as the store does.

    No script reads them: a script turns each of thousands of fields into a value of Lua and back. An event that comes
    in between changes the call's version.
    """
    key = call_key(tenant, cid)
    clock = read_applied(tenant, partition_with(key, store.partitions))
    call, time, applied_us = await store.together(("HGETALL", key), ("TIME",), clock)
    ahead_us, fields = int(applied_us or 0), read_fields(call)
    starts = round_starts(fields)
    rounds = await store.together(*(("HGETALL", round_key(tenant, cid, started_at)) for started_at in starts))
    by_start = {started_at: read_fields(answer) for started_at, answer in zip(starts, rounds, strict=True)}
    return StoredCall(Micros(read_time(time) - ahead_us), ahead_us, fields, by_start)


def round_starts(names: Iterable[str]) -> list[Micros]:
    """Return when the call's rounds began, by the names of its fields."""
    return [Micros(int(name.removeprefix(ROUND_FIELD))) for name in names if name.startswith(ROUND_FIELD)]


def read_fields(answer: Sequence[bytes]) -> dict[str, str]:
    """Read the answer to HGETALL: names and values in turn."""
    texts = [text.decode() for text in answer]
    return dict(zip(texts[::2], texts[1::2], strict=True))
