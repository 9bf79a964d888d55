"""Users whom a call rings though nothing is known of them: their devices are fetched from Stream, once, in time."""

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Protocol
from uuid import uuid4

import structlog
from redis.exceptions import RedisError

from bellhop.backoff import pause_s
from bellhop.clock import Seconds
from bellhop.domain.device import Device
from bellhop.store import registry
from bellhop.store.async_client import Store
from bellhop.store.keys import LOOKUP_BUDGET, lookup_key
from bellhop.store.retry import until_redis_answers
from bellhop.stream_api import DeviceApps, Listing, StreamRefused, read_device

log = structlog.get_logger()

FETCH_S = 4
"""How long a fetch may take; meanwhile the user is not fetched by anybody else."""
LOOK_S = 0.1
"""How often to look whether another ring's fetch of the same user has ended."""
PAUSE_S = (0.5, 8.0)
"""First and longest pause before Stream is asked again; doubled each time, with jitter."""
LATELY_S = 300
"""How long a user who was fetched is not fetched again."""


class DeviceList(Protocol):
    """Where one tenant's devices are listed; `bellhop.stream_api.StreamApi` is one."""

    async def devices(self, user_id: str) -> Listing:
        """List a user's devices, or raise StreamRefused."""
        ...


class StreamDeviceLookup:
    """Fetches strangers' devices, at most `per_s` a second for all workers together."""

    def __init__(self, store: Store, lists: Mapping[str, DeviceList], apps: DeviceApps, per_s: float) -> None:
        self._store, self._lists, self._apps, self._per_s = store, lists, apps, per_s

    async def devices_of(self, tenant: str, user_id: str, within_s: Seconds) -> list[Device]:
        """Fetch and register a user's devices; empty when there are none, or none to be had `within_s`."""
        listed = self._lists.get(tenant)
        if listed is None:
            return []
        try:
            async with asyncio.timeout(within_s):
                return await self._fetch(listed, tenant, user_id)
        except (StreamRefused, RedisError, TimeoutError) as error:
            log.warning("stream_devices_not_fetched", reason=_reason(error))
            return []

    async def _fetch(self, listed: DeviceList, tenant: str, user_id: str) -> list[Device]:
        fetched, asker, failures = lookup_key(tenant, user_id), uuid4().hex, 0
        asked = False
        while True:
            word = await self._may_fetch(fetched, asker)
            if word == "go":
                asked = True
                try:
                    async with asyncio.timeout(FETCH_S):
                        listing = await listed.devices(user_id)
                    break
                except (StreamRefused, TimeoutError) as error:
                    await until_redis_answers(partial(self._store.call, "DEL", fetched))
                    if isinstance(error, StreamRefused) and error.permanent:
                        raise
                    log.warning("stream_asked_again", reason=_reason(error))
                    await asyncio.sleep(max(pause_s(failures, *PAUSE_S), getattr(error, "wait_s", None) or 0))
                    failures += 1
            elif word == "lately":  # maybe a moment ago, for another ring of theirs
                return await self._known(tenant, user_id)
            elif word == "over" and not asked:  # who was asked about goes on asking: it is one ring more, not a crowd
                log.info("stream_devices_not_fetched", reason=word)
                return []
            else:
                await asyncio.sleep(LOOK_S)
        commands = [registry.adopt(tenant, device) for device in _devices(user_id, listing, self._apps)]
        await asyncio.gather(*(until_redis_answers(partial(self._store.script, *command)) for command in commands))
        await until_redis_answers(partial(self._store.call, "SET", fetched, "", "EX", LATELY_S))
        devices = await self._known(tenant, user_id)
        log.info("stream_devices_fetched", devices=len(devices))
        return devices

    async def _may_fetch(self, fetched: str, asker: str) -> str:
        args: list[str | float] = [self._per_s, FETCH_S, asker]
        word: bytes = await until_redis_answers(
            partial(self._store.script, "registry/claim_device_lookup", [fetched, LOOKUP_BUDGET], args)
        )
        return word.decode()

    async def _known(self, tenant: str, user_id: str) -> list[Device]:
        users = await until_redis_answers(partial(registry.read_users, self._store, tenant, [user_id], ""))
        return users.devices[user_id]


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, StreamRefused) else type(error).__name__


def _devices(user_id: str, listing: Listing, apps: DeviceApps) -> list[Device]:
    devices = []
    for listed in listing.devices:
        try:
            device = read_device(user_id, listed, apps)
        except ValueError as error:
            log.warning("stream_device_left_out", reason=str(error))
            continue
        if device is not None:
            devices.append(device)
    return devices
