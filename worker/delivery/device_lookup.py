"""Looks up the devices of a user without devices at Stream, once for all rings of the user, while the call rings."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
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
from bellhop.store.keys import lookup_key
from bellhop.store.retry import until_redis_answers
from bellhop.store.steps import run_steps, side_by_side
from bellhop.store.unreachable_devices import keep_unreachable
from bellhop.stream_api import DeviceApps, Listing, StreamRefused, UnreachableDevice, read_device

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class LookupPolicy:
    """The times of a lookup."""

    request_s: int = 4
    """How long a request to Stream may take. Meanwhile no other worker looks the user up."""
    poll_s: float = 0.1
    """Pause before checking again whether the lookup of another ring has ended, or the budget allows this one."""
    pauses_s: tuple[float, float] = (0.5, 8.0)
    """First and longest pause before another request after a failed one; doubled each time, with jitter."""
    remembered_s: int = 300
    """How long a user who was looked up is not looked up again."""


DEFAULT_POLICY = LookupPolicy()


class DeviceList(Protocol):
    """Lists the devices of one tenant's users; `bellhop.stream_api.StreamApi` does."""

    async def devices(self, user_id: str) -> Listing:
        """List a user's devices, or raise StreamRefused."""
        ...


class StreamDeviceLookup:
    """Looks users up, at most `per_s` users in a second for all workers together."""

    def __init__(
        self,
        store: Store,
        lists: Mapping[str, DeviceList],
        apps: DeviceApps,
        per_s: float,
        policy: LookupPolicy = DEFAULT_POLICY,
    ) -> None:
        """`lists`: by tenant."""
        self._store, self._lists, self._apps, self._per_s, self._policy = store, lists, apps, per_s, policy

    async def devices_of(self, tenant: str, user_id: str, within_s: Seconds) -> list[Device]:
        """Look up and register a user's devices. Empty if there are none, or if none were found `within_s`."""
        device_list = self._lists.get(tenant)
        if device_list is None:
            return []
        try:
            async with asyncio.timeout(within_s):
                return await self._look_up(device_list, tenant, user_id)
        except (StreamRefused, RedisError, TimeoutError) as error:
            log.warning("stream_devices_not_fetched", reason=_reason(error))
            return []

    async def _look_up(self, device_list: DeviceList, tenant: str, user_id: str) -> list[Device]:
        run, failures = uuid4().hex, 0
        while True:
            answer = await self._claim(tenant, user_id, run)
            if answer == "go":
                listing = await self._request(device_list, tenant, user_id, failures)
                if listing is not None:
                    return await self._register(listing, tenant, user_id)
                failures += 1
            elif answer == "lately":  # perhaps a moment ago, for another ring
                return await self._registered(tenant, user_id)
            elif answer == "over" and not failures:
                # The budget is spent. Only a lookup that has begun waits for it: the others would become a crowd.
                log.info("stream_devices_not_fetched", reason=answer)
                return []
            else:
                await asyncio.sleep(self._policy.poll_s)

    async def _claim(self, tenant: str, user_id: str, run: str) -> str:
        claim = partial(registry.claim_device_lookup, per_s=self._per_s, request_s=self._policy.request_s, run=run)
        return await until_redis_answers(lambda: run_steps(claim(tenant, user_id), self._store))

    async def _request(self, device_list: DeviceList, tenant: str, user_id: str, failures: int) -> Listing | None:
        """Ask Stream once. None, after a pause, if the request failed and may be repeated; raises if it may not."""
        try:
            async with asyncio.timeout(self._policy.request_s):
                return await device_list.devices(user_id)
        except (StreamRefused, TimeoutError) as error:
            await until_redis_answers(partial(self._store.call, "DEL", lookup_key(tenant, user_id)))
            if isinstance(error, StreamRefused) and error.permanent:
                raise
            log.warning("stream_asked_again", reason=_reason(error))
            least_s = error.wait_s or 0.0 if isinstance(error, StreamRefused) else 0.0
            await asyncio.sleep(max(pause_s(failures, *self._policy.pauses_s), least_s))
            return None

    async def _register(self, listing: Listing, tenant: str, user_id: str) -> list[Device]:
        listed, unreachable = _devices(user_id, listing, self._apps)
        if unreachable and not listed:
            note = keep_unreachable(tenant, user_id, unreachable)
            await until_redis_answers(partial(self._store.call, *note))
        await until_redis_answers(
            lambda: run_steps(side_by_side([registry.adopt(tenant, device) for device in listed]), self._store)
        )
        remember = ("SET", lookup_key(tenant, user_id), "", "EX", self._policy.remembered_s)
        await until_redis_answers(partial(self._store.call, *remember))
        devices = await self._registered(tenant, user_id)
        log.info("stream_devices_fetched", devices=len(devices))
        return devices

    async def _registered(self, tenant: str, user_id: str) -> list[Device]:
        users = await until_redis_answers(partial(registry.read_users, self._store, tenant, [user_id], ""))
        return users.devices[user_id]


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, StreamRefused) else type(error).__name__


def _devices(user_id: str, listing: Listing, apps: DeviceApps) -> tuple[list[Device], set[str]]:
    """Read the devices that Bellhop reaches, and the push providers of the others."""
    devices, unreachable = [], set()
    for listed in listing.devices:
        try:
            device = read_device(user_id, listed, apps)
        except UnreachableDevice as error:
            unreachable.add(error.provider)
            continue
        except ValueError as error:
            log.warning("stream_device_left_out", reason=str(error))
            continue
        if device is not None:
            devices.append(device)
    return devices, unreachable
