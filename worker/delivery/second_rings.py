"""Sends the second pushes for a ring, to phones that did not report the first one."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from bellhop.clock import elapsed
from bellhop.domain.device import Device
from bellhop.domain.push import Push, PushKind
from bellhop.domain.second_way import RungPhone, device_of_second_push
from bellhop.queue.job_payloads import QueuedRound
from bellhop.store import registry
from bellhop.store.registry import RegisteredUsers
from bellhop.store.retry import until_redis_answers
from bellhop.trail import SecondRingDue
from worker.delivery.attempt import Delivered
from worker.delivery.fan_out import DeliveryTools, FanOut, device_line
from worker.delivery.fence import Record


class SecondRings(FanOut):
    """The second pushes to some phones of one ring. The fence decides about each of them."""

    def __init__(self, tools: DeliveryTools, round_: QueuedRound, phones: Sequence[RungPhone]) -> None:
        super().__init__(tools, PushKind.SECOND_RING, round_)
        self._phones = phones
        self._phone_of: dict[str, RungPhone] = {}
        """By the key of the device that gets the second push."""

    async def send(self) -> None:
        """Send the pushes, and record them."""
        round_, user_ids = self._round, list(dict.fromkeys(phone.device.user_id for phone in self._phones))
        read = partial(registry.read_users, self._tools.store, round_.tenant, user_ids, round_.caller_id)
        users = await until_redis_answers(read)
        devices = self._devices(users)
        recipients = [recipient for recipient in round_.recipients if devices.get(recipient.id)]
        try:
            await self._send(recipients, RegisteredUsers(devices, users.users, {}))
        finally:
            await asyncio.shield(self._records.flush())

    def _devices(self, users: RegisteredUsers) -> dict[str, list[Device]]:
        """Return the devices that get a second push, by user."""
        devices: dict[str, list[Device]] = {user: [] for user in users.devices}
        for phone in self._phones:
            device = device_of_second_push(phone.device, users.devices[phone.device.user_id])
            if device is not None and device.key not in self._phone_of:
                self._phone_of[device.key] = phone
                devices[device.user_id].append(device)
        return devices

    async def _push(self, push: Push) -> list[Delivered]:
        phone, now = self._phone_of[push.device.key], self._tools.clock.now()
        results = await super()._push(replace(push, instead=None, rung=phone.device.key))
        if results[0].last is not None:
            waited_s = max(1, round(elapsed(phone.rung_at, now)))
            line = device_line(SecondRingDue, push, phone.device, str(waited_s), now)
            self._records.add(Record(line))
        return results
