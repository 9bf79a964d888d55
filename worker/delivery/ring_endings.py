"""Takes a ring away in browsers: they show it until its time is over, or until another push replaces it."""

import asyncio
from collections.abc import Sequence
from functools import partial

from bellhop.domain.device import Device, Provider
from bellhop.domain.push import PushKind
from bellhop.queue.job_payloads import QueuedRound
from bellhop.store import registry
from bellhop.store.keys import round_key
from bellhop.store.registry import RegisteredUsers
from bellhop.store.retry import until_redis_answers
from worker.delivery.fan_out import DeliveryTools, FanOut


class RingEndings(FanOut):
    """The pushes that take a ring away in the browsers of one user, if they were rung."""

    def __init__(self, tools: DeliveryTools, round_: QueuedRound) -> None:
        super().__init__(tools, PushKind.RING_OVER, round_)

    async def send(self) -> None:
        """Send the pushes."""
        round_, (recipient,) = self._round, self._round.recipients
        read = partial(registry.read_users, self._tools.store, round_.tenant, [recipient.id], round_.caller_id)
        users = await until_redis_answers(read)
        browsers = [device for device in users.devices[recipient.id] if device.provider is Provider.WEB_PUSH]
        rung = await self._rung(browsers)
        if not rung:
            return
        try:
            await self._send([recipient], RegisteredUsers({recipient.id: rung}, users.users, {}))
        finally:
            await asyncio.shield(self._records.flush())

    async def _rung(self, browsers: Sequence[Device]) -> list[Device]:
        """Return the browsers that were rung in this round, or are being rung."""
        if not browsers:
            return []
        key = round_key(self._round.tenant, self._round.cid, self._round.started_at)
        fields = [f"s:{PushKind.RING}:{browser.key}" for browser in browsers]
        claims = await until_redis_answers(partial(self._tools.store.call, "HMGET", key, *fields))
        return [browser for browser, claim in zip(browsers, claims, strict=True) if claim is not None]


async def end_rings(tools: DeliveryTools, rounds: Sequence[QueuedRound]) -> None:
    """Take rings away in browsers. Each of these rounds has one recipient."""
    if any(provider is Provider.WEB_PUSH for provider, _ in tools.channels):
        await asyncio.gather(*(RingEndings(tools, round_).send() for round_ in rounds if not round_.ringless))
