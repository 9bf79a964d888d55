"""People in Redis: who has which phones, where to write to them, when not to ring. The functions build commands as
values, so the door (blocking client) and the worker (asyncio) share them.

`bellhop:devices:<tenant>:<user>` is a hash, device key -> the device as JSON; `bellhop:token:<tenant>:<device key>`
names the user who has a token, so that it leaves them when it moves to another. `bellhop:person:<tenant>:<user>` is a
hash with the fields contact and preferences; `bellhop:held-back:<tenant>:<user>` one of caller -> stamp of their last
ring that quiet hours held back.
"""

import asyncio
from collections.abc import Iterable, Iterator
from typing import NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError

from bellhop.clock import Micros
from bellhop.domain.device import MAX_DEVICES_PER_USER, Device
from bellhop.domain.user import Contact, Preferences, User
from bellhop.store.async_client import Store
from bellhop.store.keys import devices_key, held_back_key, owner_key, user_key
from bellhop.store.scripts import Command

USERS_AT_ONCE = 200
"""Users read in one packet, so that other commands are not delayed for long."""

HELD_BACK_TTL_S = 600
"""Longer than a second call's three minutes and its ring together: its missed-call notice asks again."""

Model = TypeVar("Model", bound=BaseModel)


class RegisteredUsers(NamedTuple):
    """What is known of some users."""

    devices: dict[str, list[Device]]
    """The devices of each user, in the order of their registration."""
    users: dict[str, User]
    """The users who have a contact or preferences."""


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


async def read_users(store: Store, tenant: str, user_ids: Iterable[str], caller_id: str) -> RegisteredUsers:
    """Read what is known of several users, as a call of `caller_id` needs it: one round trip for 200 users.

    Raises as the store does.
    """
    ids = list(user_ids)
    parts = [ids[n : n + USERS_AT_ONCE] for n in range(0, len(ids), USERS_AT_ONCE)]
    answers = await asyncio.gather(*(store.together(*_reads(tenant, part, caller_id)) for part in parts))
    users = RegisteredUsers({}, {})
    for part, answer in zip(parts, answers, strict=True):
        for user_id, devices, (contact, preferences), held_back in zip(
            part, answer[::3], answer[1::3], answer[2::3], strict=True
        ):
            users.devices[user_id] = decode(devices)
            if contact or preferences:  # most users have neither
                held_back_at = Micros(int(held_back)) if held_back else None
                users.users[user_id] = User(known(Contact, contact), known(Preferences, preferences), held_back_at)
    return users


def _reads(tenant: str, user_ids: Iterable[str], caller_id: str) -> Iterator[tuple[str, ...]]:
    for user_id in user_ids:
        yield "HVALS", devices_key(tenant, user_id)
        yield "HMGET", user_key(tenant, user_id), "contact", "preferences"
        yield "HGET", held_back_key(tenant, user_id), caller_id
