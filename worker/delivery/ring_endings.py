"""Takes a ring away in browsers: they show it until its time is over, or until another push replaces it."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from bellhop.domain.call import NOTICE_DUE
from bellhop.domain.device import Device, Provider
from bellhop.domain.push import PushKind
from bellhop.domain.round import Recipient
from bellhop.queue.job_payloads import QueuedRound
from bellhop.store import registry
from bellhop.store.async_client import Store
from bellhop.store.keys import round_key
from bellhop.store.registry import RegisteredUsers
from bellhop.store.retry import until_redis_answers
from bellhop.store.stored_call import StoredCall, read_call
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


async def quiet_ends(store: Store, tenant: str, cid: str) -> list[QueuedRound]:
    """Find the rings of a call that are over without a missed-call notice, and that browsers may still show.

    Returns a round for each user, with that recipient alone.
    """
    stored = await until_redis_answers(partial(read_call, store, tenant, cid))
    return [ended for fields in stored.rounds.values() for ended in _quiet_ends(fields, stored)]


def _quiet_ends(fields: Mapping[str, str], stored: StoredCall) -> Iterator[QueuedRound]:
    """Yield them for one round: `o:<user>` is the recorded standing of a user, `u:<user>` is the recipient."""
    round_ = QueuedRound.model_validate_json(fields["facts"]) if "facts" in fields else None
    if round_ is None or round_.deadline <= stored.now:
        return
    for name, standing in fields.items():
        if name.startswith("o:") and standing not in NOTICE_DUE:
            recipient = Recipient.model_validate_json(fields["u:" + name.removeprefix("o:")])
            yield round_.model_copy(update={"recipients": (recipient,), "queued_at": stored.redis_now})


async def end_rings(tools: DeliveryTools, rounds: Sequence[QueuedRound]) -> None:
    """Take rings away in browsers. Each of these rounds has one recipient."""
    if any(provider is Provider.WEB_PUSH for provider, _ in tools.channels):
        await asyncio.gather(*(RingEndings(tools, round_).send() for round_ in rounds if not round_.ringless))
