"""What is known of the difference between Redis's clock and Stream's, as Redis keeps it: one hash for each Stream app.

Processes read it, learn, and write what they learned. Two that write at the same time lose what one of them learned:
the next event teaches it again.
"""

from collections.abc import Mapping
from dataclasses import asdict

from bellhop.clock import Micros
from bellhop.domain.clock_offset import ClockOffset
from bellhop.store.keys import stream_clock_key
from bellhop.store.redis_clock import RunsCommands, read_time
from bellhop.store.scripts import Argument

KEPT_S = 7 * 24 * 3600
"""How long the difference is remembered without events."""


def read(tenant: str) -> tuple[Argument, ...]:
    """Return the command that reads it; `read_answer` reads what the command returns."""
    return ("HGETALL", stream_clock_key(tenant))


def read_answer(answer: Mapping[bytes, bytes] | list[bytes]) -> ClockOffset:
    """Read it. Fields of other versions are left out."""
    pairs = answer.items() if isinstance(answer, Mapping) else zip(answer[::2], answer[1::2], strict=True)
    fields = {name.decode(): Micros(int(value)) for name, value in pairs}
    return ClockOffset(**{name: fields[name] for name in ClockOffset.__dataclass_fields__ if name in fields})


async def read_with_time(store: RunsCommands, tenant: str) -> tuple[Micros, ClockOffset]:
    """Read it, and the time by Redis's clock. Raises as the store does."""
    known = read_answer(await store.call(*read(tenant)))
    return read_time(await store.call("TIME")), known


def write(tenant: str, known: ClockOffset) -> list[tuple[Argument, ...]]:
    """Return the commands that write it. The scripts of calls read `applied_us`."""
    fields = {**asdict(known), "applied_us": known.applied_us}
    pairs: list[Argument] = [part for field in fields.items() for part in field]
    key = stream_clock_key(tenant)
    return [("HSET", key, *pairs), ("EXPIRE", key, KEPT_S)]
