"""Waits for the receipts of the phones that were rung. A phone that sends none is rung again.

The waiting belongs to the job of the ring. If the worker dies, another worker takes the job over and waits anew, if
there is still time to ring. A ring has one timer for all of its phones.
"""

import asyncio
from collections.abc import Sequence
from functools import partial

from bellhop.clock import Micros, elapsed
from bellhop.domain.device import Device
from bellhop.domain.outcomes import Outcome
from bellhop.domain.push import PushKind
from bellhop.domain.second_way import NextStep, RungPhone, decide
from bellhop.queue.job_payloads import QueuedRound
from bellhop.store.keys import round_key
from bellhop.store.phones import read_some, records_of
from bellhop.store.retry import until_redis_answers
from bellhop.store.stream_time import ahead_of_stream_us
from bellhop.telemetry import metrics
from worker.delivery.fan_out import DeliveryTools
from worker.delivery.second_rings import SecondRings

REPORTS = ("reports", "rang")
"""The prefixes of a round's fields about phones' reports. A web process of an older version writes only the second."""
READ_AT_ONCE = 100
"""Users whose records one packet reads: other rings must not wait for it."""


class SecondWay:
    """Waits for receipts, and rings silent phones of one ring again. It belongs to one run of the job."""

    def __init__(self, tools: DeliveryTools, round_: QueuedRound) -> None:
        self._tools, self._round = tools, round_
        self._deadline = round_.deadline
        """By Redis's clock, once that is known."""
        self._new: list[RungPhone] = []
        """Phones that were rung, and whose records have not been read yet."""
        self._waiting: list[RungPhone] = []
        """Phones that have sent receipts before, in the order in which they were rung."""
        self._looking: asyncio.Task[None] | None = None
        """Decides which phones are rung again, and when."""
        self._ringing: set[asyncio.Task[None]] = set()
        """Tasks that send second rings. If the provider of one phone is slow, the other phones do not wait for it."""

    def note_rung(self, device: Device) -> None:
        """Note that a provider has the ring for this device."""
        self._new.append(RungPhone(device, self._tools.clock.now()))
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())

    @property
    def waits(self) -> bool:
        """Whether phones may have to be rung again."""
        return any(not task.done() for task in self._tasks)

    @property
    def _tasks(self) -> list[asyncio.Task[None]]:
        return [*self._ringing] if self._looking is None else [self._looking, *self._ringing]

    async def finish(self) -> None:
        """Wait until no phone has to be rung again."""
        if self._looking is not None:
            await self._looking
        await asyncio.gather(*self._ringing)

    async def cancel(self) -> None:
        """Stop waiting, and stop the second pushes that are being sent."""
        if tasks := self._tasks:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def _look(self) -> None:
        round_, tools = self._round, self._tools
        ahead_us = await ahead_of_stream_us(tools.store, tools.clock, round_.tenant, round_.cid)
        self._deadline = Micros(round_.deadline + ahead_us)
        while self._new or self._waiting:
            new, self._new = self._new, []
            self._waiting += await self._worth_waiting_for(new)
            if self._waiting:
                due = Micros(self._waiting[0].rung_at + self._tools.second_way_after_us)
                # Phones that are rung meanwhile are due later than this one.
                await asyncio.sleep(elapsed(self._tools.clock.now(), due))
                await self._ring_those_due()

    async def _worth_waiting_for(self, phones: Sequence[RungPhone]) -> list[RungPhone]:
        """Return the phones that have sent receipts before, and have time left for a second ring."""
        by_user: dict[str, list[RungPhone]] = {}
        for phone in phones:
            by_user.setdefault(phone.device.user_id, []).append(phone)
        users, reporting = list(by_user), set[str]()
        for first in range(0, len(users), READ_AT_ONCE):
            part = {user: [phone.device.key for phone in by_user[user]] for user in users[first : first + READ_AT_ONCE]}
            reporting |= await until_redis_answers(partial(self._that_reported_before, part))
        return [
            phone
            for phone in phones
            if self._decide(phone, has_reported_before=phone.device.key in reporting) is not NextStep.NEVER
        ]

    async def _that_reported_before(self, devices: dict[str, list[str]]) -> set[str]:
        """Return the keys of devices whose phones have ever sent a receipt. `devices`: the keys to ask for, by user."""
        reads = [read_some(self._round.tenant, user, keys) for user, keys in devices.items()]
        answers = await self._tools.store.together(*reads)
        records = [records_of(keys, answer) for keys, answer in zip(devices.values(), answers, strict=True)]
        return {key for of_user in records for key, record in of_user.items() if record.first_receipt_ms}

    async def _ring_those_due(self) -> None:
        decided = [(phone, self._decide(phone)) for phone in self._waiting]
        self._waiting = [phone for phone, decision in decided if decision is NextStep.WAIT]
        due = [phone for phone, decision in decided if decision is NextStep.RING]
        silent = await until_redis_answers(partial(self._that_are_silent, due)) if due else []
        for phone in due:
            if phone not in silent:
                metrics.finished(PushKind.SECOND_RING, phone.device, Outcome.REPORTED)
        if silent:
            self._ringing.add(asyncio.create_task(SecondRings(self._tools, self._round, silent).send()))

    async def _that_are_silent(self, phones: Sequence[RungPhone]) -> list[RungPhone]:
        """Return the phones that have sent no receipt of this ring: usually none, and then nothing more is done."""
        names = [f"{word}:{phone.device.key}" for phone in phones for word in REPORTS]
        round_ = round_key(self._round.tenant, self._round.cid, self._round.started_at)
        answers = await self._tools.store.call("HMGET", round_, *names)
        found = {name for name, answer in zip(names, answers, strict=True) if answer}
        return [phone for phone in phones if not any(f"{word}:{phone.device.key}" in found for word in REPORTS)]

    def _decide(self, phone: RungPhone, *, has_reported_before: bool = True) -> NextStep:
        """Decide by what this process knows. The fence knows more, and decides right before the push."""
        return decide(
            phone,
            self._tools.clock.now(),
            after_us=self._tools.second_way_after_us,
            deadline=self._deadline,
            has_reported_before=has_reported_before,
        )
