"""Which phones of a user an operator has disabled: they get no push.

The field is in the hash of the user, not in the device: so registering the same phone again does not enable it, and a
ring reads it together with the user's preferences. A worker of an older version does not read it, and rings such
phones.
"""

from collections.abc import Iterable, Mapping

import msgspec

from bellhop.clock import Micros
from bellhop.domain.device import Device
from bellhop.store.keys import user_key
from bellhop.store.scripts import Command

FIELD = "disabled"
"""The field of a user's hash: a JSON object from the names of phones (`Device.phone_names`) to unix µs as text."""
MOST_KEPT = 100
"""A user has at most 25 devices, and so 50 names. Names of devices that are gone stay until there are too many."""
_TIMES = msgspec.json.Decoder(dict[str, str])


def switch_phones(tenant: str, user_id: str, devices: Iterable[Device], *, disabled_at: Micros | None) -> Command:
    """Disable the phones of these devices, or enable them (None). The script returns how many names have changed."""
    names = dict.fromkeys(name for device in devices for name in device.phone_names)
    at = "" if disabled_at is None else str(disabled_at)
    return Command("registry/switch_phones", [user_key(tenant, user_id)], [at, MOST_KEPT, *names])


def of_same_phone(device: Device, devices: Iterable[Device]) -> list[Device]:
    """Return the devices on the same phone as `device`. An iPhone has a token for calls and another for notices."""
    return [other for other in devices if set(other.phone_names) & set(device.phone_names)]


def read_disabled(stored: bytes | None) -> Mapping[str, Micros]:
    """Read the field: when each phone was disabled, by its names."""
    if not stored:
        return {}
    try:
        return {name: Micros(int(at)) for name, at in _TIMES.decode(stored).items()}
    except (msgspec.DecodeError, ValueError):
        return {}
