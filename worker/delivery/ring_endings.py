"""Removes rings that only another push can remove: in browsers, and on iPhones that ring by alerts."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import chain

from bellhop.domain.call import NOTICE_DUE
from bellhop.domain.device import Device, Provider
from bellhop.domain.plan import OVER_TTL_US, suits
from bellhop.domain.push import PushKind
from bellhop.queue.job_payloads import QueuedRound
from bellhop.store import registry
from bellhop.store.async_client import Store
from bellhop.store.call_scripts import LAST_ALERT
from bellhop.store.keys import claim_field, round_key
from bellhop.store.registry import RegisteredUsers
from bellhop.store.retry import until_redis_answers
from bellhop.store.stored_call import StoredCall, read_call
from worker.delivery.fan_out import DeliveryTools, FanOut
from worker.settle import QuietEnd, for_one, has_alerts


class RingEndings(FanOut):
    """The pushes that remove a ring from those devices of one user that were rung."""

    def __init__(self, tools: DeliveryTools, round_: QueuedRound) -> None:
        super().__init__(tools, PushKind.RING_OVER, round_)

    async def send(self) -> None:
        """Send the pushes."""
        round_, (recipient,) = self._round, self._round.recipients
        read = partial(registry.read_users, self._tools.store, round_.tenant, [recipient.id], round_.caller_id)
        users = await until_redis_answers(read)
        showing = [device for device in users.devices[recipient.id] if suits(PushKind.RING_OVER, device)]
        rung = await self._rung(showing)
        if not rung:
            return
        try:
            await self._send([recipient], RegisteredUsers({recipient.id: rung}, users.users, {}))
        finally:
            await asyncio.shield(self._records.flush())

    async def _rung(self, devices: Sequence[Device]) -> list[Device]:
        """Return the devices that were rung in this round, or are being rung.

        An attempt without an answer leaves no claim. But each alert, also that of such an attempt, leaves LAST_ALERT.
        """
        if not devices:
            return []
        key = round_key(self._round.tenant, self._round.cid, self._round.started_at)
        fields = [(claim_field(PushKind.RING, device.key), LAST_ALERT + device.key) for device in devices]
        found = await until_redis_answers(partial(self._tools.store.call, "HMGET", key, *chain(*fields)))
        return [device for device, *marks in zip(devices, found[::2], found[1::2], strict=True) if any(marks)]


async def quiet_ends(store: Store, tenant: str, cid: str) -> list[QuietEnd]:
    """Find the rings of a call that ended without a missed-call notice. A device may still show them."""
    stored = await until_redis_answers(partial(read_call, store, tenant, cid))
    return [ended for fields in stored.rounds.values() for ended in _quiet_ends(fields, stored)]


def _quiet_ends(fields: Mapping[str, str], stored: StoredCall) -> Iterator[QuietEnd]:
    """Yield them for one round. Its field `o:<user>` is the recorded standing of a user."""
    round_ = QueuedRound.model_validate_json(fields["facts"]) if "facts" in fields else None
    by_alert = has_alerts(fields)
    if round_ is None or round_.deadline + (OVER_TTL_US if by_alert else 0) <= stored.now:
        return
    for name, standing in fields.items():
        if name.startswith("o:") and standing not in NOTICE_DUE:
            yield QuietEnd(for_one(round_, name.removeprefix("o:"), stored), by_alert)


async def end_rings(tools: DeliveryTools, ends: Sequence[QuietEnd]) -> None:
    """Remove these rings from the devices that may still show them."""
    browsers = any(provider is Provider.WEB_PUSH for provider, _ in tools.channels)
    rounds = [round_ for round_, by_alert in ends if (browsers or by_alert) and not round_.ringless]
    await asyncio.gather(*(RingEndings(tools, round_).send() for round_ in rounds))
