"""Users whom a call rings though nothing is known of them: their devices are fetched from Stream, once, in time."""

import asyncio
from collections.abc import Mapping
from typing import Protocol

import structlog
from redis.exceptions import RedisError

from worker.delivery.stream_api import Apps, Listing, StreamRefused, read
from worker.domain.device import Device
from worker.storage import registry
from worker.storage.store import Store

log = structlog.get_logger()

FETCH_S = 4
"""How long a fetch may take; meanwhile the user is not fetched by anybody else."""
LATELY_S = 300
"""How long a user who was fetched is not fetched again."""
BUDGET = "bellhop:fetches"


class DeviceList(Protocol):
    """Where one tenant's devices are listed; `worker.delivery.stream_api.StreamApi` is one."""

    async def devices(self, user_id: str) -> Listing:
        """List a user's devices, or raise StreamRefused."""
        ...


class Strangers:
    """Fetches strangers' devices, at most `per_s` a second for all workers together."""

    def __init__(self, store: Store, lists: Mapping[str, DeviceList], apps: Apps, per_s: float) -> None:
        self._store, self._lists, self._apps, self._per_s = store, lists, apps, per_s

    async def devices_of(self, tenant: str, user_id: str) -> list[Device]:
        """Fetch and register a user's devices, within FETCH_S; empty when there are none to be had now."""
        listed = self._lists.get(tenant)
        if listed is None:
            return []
        try:
            async with asyncio.timeout(FETCH_S):
                return await self._fetch(listed, tenant, user_id)
        except (StreamRefused, RedisError, TimeoutError) as error:
            reason = str(error) if isinstance(error, StreamRefused) else type(error).__name__
            log.warning("devices not fetched from stream", reason=reason)
            return []

    async def _fetch(self, listed: DeviceList, tenant: str, user_id: str) -> list[Device]:
        fetched = f"bellhop:fetched:{tenant}:{user_id}"
        word = (await self._store.script("may_fetch", [fetched, BUDGET], [self._per_s, FETCH_S])).decode()
        if word != "go":
            log.info("devices not fetched from stream", reason=word)
            return []
        listing = await listed.devices(user_id)
        commands = [registry.adopt(tenant, device) for device in _devices(user_id, listing, self._apps)]
        await asyncio.gather(*(self._store.script(*command) for command in commands))
        await self._store.call("SET", fetched, "", "EX", LATELY_S)
        people = await registry.people_of(self._store, tenant, [user_id], "")
        log.info("devices fetched from stream", devices=len(people.devices[user_id]))
        return people.devices[user_id]


def _devices(user_id: str, listing: Listing, apps: Apps) -> list[Device]:
    devices = []
    for listed in listing.devices:
        try:
            device = read(user_id, listed, apps)
        except ValueError as error:
            log.warning("device of stream left out", reason=str(error))
            continue
        if device is not None:
            devices.append(device)
    return devices
