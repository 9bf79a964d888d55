"""Devices in Redis: who has which phones. The functions build commands as values, so the door (blocking client) and the
worker (asyncio) share them.

`bellhop:devices:<tenant>:<user>` is a hash, device key -> the device as JSON; `bellhop:token:<tenant>:<device key>`
names the user who has a token, so that it leaves them when it moves to another.
"""

import asyncio
from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol

from pydantic import ValidationError

from worker.device import MAX_DEVICES_PER_USER, Device


class Command(NamedTuple):
    """A script to run: its name, keys and arguments."""

    script: str
    keys: list[str]
    args: list[str]


class Store(Protocol):
    """What reading and pruning need of the asyncio client."""

    async def call(self, *args: Any) -> Any:
        """Run one command."""
        ...


def devices_key(tenant: str, user_id: str) -> str:
    """The Redis key of a user's devices."""
    return f"bellhop:devices:{tenant}:{user_id}"


def owner_key(tenant: str, device_key: str) -> str:
    """The Redis key that names the user who has a token."""
    return f"bellhop:token:{tenant}:{device_key}"


def register(tenant: str, device: Device) -> Command:
    """Store a device; answers [the user it was taken from or "", how many old devices left]."""
    return Command(
        "register",
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


def remove(tenant: str, device: Device) -> Command:
    """Compare and delete; answers 1 if it was still that registration."""
    return _swap(tenant, device, "")


def replace(tenant: str, device: Device, by: Device) -> Command:
    """Compare and replace, for a device whose token stays the same; answers 1 if it was still that registration."""
    return _swap(tenant, device, by.model_dump_json())


def _swap(tenant: str, device: Device, by: str) -> Command:
    keys = [devices_key(tenant, device.user_id), owner_key(tenant, device.key)]
    return Command("swap_device", keys, [device.key, str(device.registered_at), by])


def decode(values: Iterable[bytes]) -> list[Device]:
    """Read stored devices, in the order they were registered. What cannot be read (a newer version's) is left out."""
    devices = []
    for value in values:
        try:
            devices.append(Device.model_validate_json(value))
        except ValidationError:
            continue
    return sorted(devices, key=lambda device: (device.registered_at, device.key))


async def devices_of(store: Store, tenant: str, user_ids: Iterable[str]) -> dict[str, list[Device]]:
    """Read the devices of several users; one round trip, since a Store sends calls of the same moment together."""
    users = list(user_ids)
    found = await asyncio.gather(*(store.call("HVALS", devices_key(tenant, user)) for user in users))
    return {user: decode(values) for user, values in zip(users, found, strict=True)}
