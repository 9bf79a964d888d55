"""What phones report about themselves, in the home of their users: one record for each device.

Explanations read the records, and so does the answer whether a user can be rung. A ring does not read them.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from bellhop.clock import Micros
from bellhop.domain.phone import PhoneHealth, PhoneRecord, health_json, read_record
from bellhop.store.keys import devices_key, phones_key
from bellhop.store.scripts import Command

KEPT_S = 90 * 24 * 3600
"""How long the records of a user are kept after the last report."""
LONGEST_REASON = 100


class PhoneNoted(NamedTuple):
    """What `note_phone` returned."""

    known: bool
    """Whether the user has this device."""
    demoted: int
    """How many pushes in a row came with normal priority, if this report added one; otherwise 0."""


def note_health(tenant: str, user_id: str, device_key: str, now: Micros, health: PhoneHealth) -> Command:
    """Note the health that a phone reported at its registration."""
    return _note(tenant, user_id, device_key, now, health)


def note_receipt(
    tenant: str,
    user_id: str,
    device_key: str,
    now: Micros,
    *,
    round_started_at: Micros,
    event: str,
    reason: str = "",
    health: PhoneHealth | None = None,
) -> Command:
    """Note a receipt of a phone, and the health that came with it. It may be noted again: nothing counts twice."""
    receipt = (event, reason[:LONGEST_REASON], str(round_started_at))
    return _note(tenant, user_id, device_key, now, health, receipt)


def _note(
    tenant: str,
    user_id: str,
    device_key: str,
    now: Micros,
    health: PhoneHealth | None,
    receipt: tuple[str, str, str] = ("", "", ""),
) -> Command:
    keys = [phones_key(tenant, user_id), devices_key(tenant, user_id)]
    return Command("registry/note_phone", keys, [device_key, now // 1000, health_json(health), *receipt, KEPT_S])


def read_noted(answer: Sequence[Any]) -> PhoneNoted:
    """Read what `note_phone` returned."""
    verdict, demoted = answer
    return PhoneNoted(verdict == b"noted", int(demoted))


def read_some(tenant: str, user_id: str, device_keys: Sequence[str]) -> tuple[str, ...]:
    """Return the command that reads the records of these devices; `records_of` reads its answer."""
    return ("HMGET", phones_key(tenant, user_id), *device_keys)


def records_of(device_keys: Sequence[str], answer: Sequence[bytes | None]) -> Mapping[str, PhoneRecord]:
    """Return the record of each device, by its key; an empty one if the phone reported nothing."""
    return dict(zip(device_keys, map(read_record, answer), strict=True))
