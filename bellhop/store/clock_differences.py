"""What is known of the difference between Redis's clock and Stream's, as Redis keeps it: one hash for each Stream app.

Each partition has such a hash, which the events of its calls teach: each server of a cluster has a clock of its own,
and a server that is away must not hold up the calls of others. Processes read it, learn, and write what they learned.
If two of them write at the same time, what one of them learned is lost. The next event teaches it again.
"""

from collections.abc import Iterable, Sequence

import msgspec

from bellhop.clock import Micros
from bellhop.domain.clock_offset import ClockOffset
from bellhop.store.homes import Partition
from bellhop.store.keys import stream_clock_key
from bellhop.store.scripts import Argument, RawCommand

KEPT_S = 7 * 24 * 3600
"""How long the difference is remembered without events."""
FIELDS = ClockOffset.__struct_fields__


def read(tenant: str, partition: Partition) -> RawCommand:
    """Return the command that reads it; `read_answer` reads what the command returns."""
    return ("HMGET", partition.key(stream_clock_key(tenant)), *FIELDS)


def read_answer(answer: Sequence[bytes | None]) -> ClockOffset:
    """Read it. A field that Redis does not have keeps its default."""
    values = zip(FIELDS, answer, strict=True)
    return ClockOffset(**{name: Micros(int(value)) for name, value in values if value is not None})


def latest(answers: Iterable[Sequence[bytes | None]]) -> ClockOffset:
    """Return what the latest event taught, in whichever partition."""
    return max(map(read_answer, answers), key=lambda known: known.fitted_at)


def read_applied(tenant: str, partition: Partition) -> RawCommand:
    """Return the command that reads `applied_us`, as text; None if nothing is known."""
    return ("HGET", partition.key(stream_clock_key(tenant)), "applied_us")


def write(tenant: str, known: ClockOffset, partition: Partition) -> list[RawCommand]:
    """Return the commands that write it. The scripts of calls read `applied_us`."""
    fields = {**msgspec.structs.asdict(known), "applied_us": known.applied_us}
    pairs: list[Argument] = [part for field in fields.items() for part in field]
    key = partition.key(stream_clock_key(tenant))
    return [("HSET", key, *pairs), ("EXPIRE", key, KEPT_S)]
