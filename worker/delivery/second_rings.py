"""Sends the second pushes for a ring, to phones that did not report the first one."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from bellhop.clock import elapsed
from bellhop.domain.device import Device
from bellhop.domain.push import Push, PushKind
from bellhop.domain.second_way import RungPhone, second_road
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
        self._by_road: dict[str, RungPhone] = {}
        """By the key of the device that gets the second push."""

    async def send(self) -> None:
        """Send the pushes, and record them."""
        round_, user_ids = self._round, list(dict.fromkeys(phone.device.user_id for phone in self._phones))
        read = partial(registry.read_users, self._tools.store, round_.tenant, user_ids, round_.caller_id)
        users = await until_redis_answers(read)
        roads = self._roads(users)
        recipients = [recipient for recipient in round_.recipients if roads.get(recipient.id)]
        try:
            await self._send(recipients, RegisteredUsers(roads, users.users, {}))
        finally:
            await asyncio.shield(self._records.flush())

    def _roads(self, users: RegisteredUsers) -> dict[str, list[Device]]:
        """Return the devices that get a second push, by user."""
        roads: dict[str, list[Device]] = {user: [] for user in users.devices}
        for phone in self._phones:
            road = second_road(phone.device, users.devices[phone.device.user_id])
            if road is not None and road.key not in self._by_road:
                self._by_road[road.key] = phone
                roads[road.user_id].append(road)
        return roads

    async def _push(self, push: Push) -> list[Delivered]:
        phone, now = self._by_road[push.device.key], self._tools.clock.now()
        results = await super()._push(replace(push, instead=None, rung=phone.device.key))
        if results[0].last is not None:
            waited_s = max(1, round(elapsed(phone.rung_at, now)))
            line = device_line(SecondRingDue, push, phone.device, str(waited_s), now)
            self._records.add(Record(line))
        return results
