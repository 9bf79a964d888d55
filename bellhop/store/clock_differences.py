"""What is known of the difference between Redis's clock and Stream's, as Redis keeps it: one hash for each Stream app.

Processes read it, learn, and write what they learned. If two of them write at the same time, what one of them learned
is lost. The next event teaches it again.
"""

from collections.abc import Sequence

import msgspec

from bellhop.clock import Micros
from bellhop.domain.clock_offset import ClockOffset
from bellhop.store.keys import stream_clock_key
from bellhop.store.redis_clock import RunsCommands, read_time
from bellhop.store.scripts import Argument

KEPT_S = 7 * 24 * 3600
"""How long the difference is remembered without events."""
FIELDS = ClockOffset.__struct_fields__


def read(tenant: str) -> tuple[Argument, ...]:
    """Return the command that reads it; `read_answer` reads what the command returns."""
    return ("HMGET", stream_clock_key(tenant), *FIELDS)


def read_answer(answer: Sequence[bytes | None]) -> ClockOffset:
    """Read it. A field that Redis does not have keeps its default."""
    values = zip(FIELDS, answer, strict=True)
    return ClockOffset(**{name: Micros(int(value)) for name, value in values if value is not None})


async def read_with_time(store: RunsCommands, tenant: str) -> tuple[Micros, ClockOffset]:
    """Read it, and the time by Redis's clock. Raises as the store does."""
    known = read_answer(await store.call(*read(tenant)))
    return read_time(await store.call("TIME")), known


def write(tenant: str, known: ClockOffset) -> list[tuple[Argument, ...]]:
    """Return the commands that write it. The scripts of calls read `applied_us`."""
    fields = {**msgspec.structs.asdict(known), "applied_us": known.applied_us}
    pairs: list[Argument] = [part for field in fields.items() for part in field]
    key = stream_clock_key(tenant)
    return [("HSET", key, *pairs), ("EXPIRE", key, KEPT_S)]
