"""People in Redis: who has which phones, where to write to them, when not to ring. The functions build commands as
values, so the door (blocking client) and the worker (asyncio) share them.

`bellhop:devices:<tenant>:<user>` is a hash, device key -> the device as JSON; `bellhop:token:<tenant>:<device key>`
names the user who has a token, so that it leaves them when it moves to another. `bellhop:person:<tenant>:<user>` is a
hash with the fields contact and preferences; `bellhop:held-back:<tenant>:<user>` one of caller -> stamp of their last
ring that quiet hours held back.
"""

import asyncio
import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError

from bellhop.clock import Micros
from bellhop.domain.device import MAX_DEVICES_PER_USER, Device
from bellhop.domain.user import Contact, Preferences, User
from bellhop.store.keys import devices_key, held_back_key, owner_key, user_key
from bellhop.store.scripts import Command, Scripts

PEOPLE_AT_ONCE = 200
"""Users read in one script call, so that none of them holds up Redis for long."""

PEOPLE_IN_A_JOB = 20
"""Users that are read along when their job begins; more of them are worth a round trip of their own."""

HELD_BACK_TTL_S = 600
"""Longer than a second call's three minutes and its ring together: its missed-call notice asks again."""

Model = TypeVar("Model", bound=BaseModel)


class People(NamedTuple):
    """Some users: their devices, and those of them who said more of themselves."""

    devices: dict[str, list[Device]]
    persons: dict[str, User]


def register(tenant: str, device: Device) -> Command:
    """Store a device; answers [the user it was taken from or "", how many old devices left]."""
    return Command(
        "registry/register_device",
        [devices_key(tenant, device.user_id), owner_key(tenant, device.key)],
        [
            device.key,
            device.model_dump_json(),
            device.user_id,
            str(MAX_DEVICES_PER_USER),
            owner_key(tenant, ""),
            devices_key(tenant, ""),
        ],
    )


def adopt(tenant: str, device: Device) -> Command:
    """Store a device that another system knows of, unless its token is registered already: the app's word is newer."""
    script, keys, args = register(tenant, device)
    return Command(script, keys, [*args, "adopt"])


def remove(tenant: str, device: Device) -> Command:
    """Compare and delete; answers 1 if it was still that registration."""
    return _swap(tenant, device, "")


def replace(tenant: str, device: Device, by: Device) -> Command:
    """Compare and replace, for a device whose token stays the same; answers 1 if it was still that registration."""
    return _swap(tenant, device, by.model_dump_json())


def _swap(tenant: str, device: Device, by: str) -> Command:
    keys = [devices_key(tenant, device.user_id), owner_key(tenant, device.key)]
    return Command("registry/swap_device", keys, [device.key, str(device.registered_at), by])


def hold_back(tenant: str, user_id: str, caller_id: str, started_at: Micros) -> Command:
    """Remember that quiet hours held back the ring of this stamp (unix µs)."""
    return Command(
        "registry/hold_back_ring", [held_back_key(tenant, user_id)], [caller_id, str(started_at), str(HELD_BACK_TTL_S)]
    )


def switch_mail(tenant: str, user_id: str, *, on: bool) -> Command:
    """Switch e-mails about missed calls on or off, and leave the user's other preferences as they are."""
    return Command("registry/switch_email", [user_key(tenant, user_id)], ["on" if on else "off"])


def known(model: type[Model], stored: bytes | None) -> Model:
    """Read a stored contact or preferences; as good as it can be read when a newer version wrote it."""
    if stored is None:
        return model()
    try:
        return model.model_validate_json(stored, extra="ignore")
    except ValidationError:
        return model()


def decode(values: Iterable[bytes]) -> list[Device]:
    """Read stored devices, in the order they were registered; as good as they can be read when a newer version wrote
    them. What cannot be read at all is left out."""
    devices = []
    for value in values:
        try:
            devices.append(Device.model_validate_json(value, extra="ignore"))
        except ValidationError:
            continue
    return sorted(devices, key=lambda device: (device.registered_at, device.key))


async def people_of(store: Scripts, tenant: str, user_ids: Iterable[str], caller_id: str) -> People:
    """Read what is known of several users, as a call of `caller_id` meets it; one round trip for 200 of them."""
    users = list(user_ids)
    batches = [users[n : n + PEOPLE_AT_ONCE] for n in range(0, len(users), PEOPLE_AT_ONCE)]
    found = await asyncio.gather(*(_read(store, tenant, batch, caller_id) for batch in batches))
    return People(
        {user: devices for batch in found for user, devices in batch.devices.items()},
        {user: person for batch in found for user, person in batch.persons.items()},
    )


def named_in_a_job(tenant: str, user_ids: Sequence[str], caller_id: str) -> str | None:
    """Name users, to be read of when their job begins (users.lua); None for a crowd, which is read in parts."""
    if len(user_ids) > PEOPLE_IN_A_JOB:
        return None
    return json.dumps([caller_id, *_keys(tenant, user_ids)], separators=(",", ":"))


async def _read(store: Scripts, tenant: str, users: Sequence[str], caller_id: str) -> People:
    return people_in(await store.script("registry/read_users", _keys(tenant, users), [caller_id]), users)


def _keys(tenant: str, users: Iterable[str]) -> list[str]:
    return [key(tenant, user) for user in users for key in (devices_key, user_key, held_back_key)]


def people_in(found: Any, users: Sequence[str]) -> People:
    """Read what users.lua says of `users`, in their order."""
    people = People({}, {})
    for user, (devices, contact, preferences, held_back) in zip(users, found, strict=True):
        people.devices[user] = decode(devices)
        # Most users have neither: for them nothing is parsed.
        if contact or preferences:
            held_back_at = Micros(int(held_back)) if held_back else None
            people.persons[user] = User(known(Contact, contact), known(Preferences, preferences), held_back_at)
    return people
