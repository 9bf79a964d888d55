"""Repeats the alerts that ring iPhones which may not use CallKit, until their ring is over (docs/alert-rings.md).

The round records the number of the last alert, and the time of its claim (claim_devices.lua). So a worker that takes
the job over goes on with the next alert, and two runs of the job never send the same alert twice.
"""

import asyncio
import time
import uuid
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from bellhop.clock import Micros, Seconds, elapsed
from bellhop.domain.outcomes import Outcome
from bellhop.domain.push import Push, PushKind, named_uuid
from bellhop.queue.job_payloads import QueuedRound
from bellhop.store.call_scripts import LAST_ALERT
from bellhop.store.keys import round_key
from bellhop.store.redis_clock import read_time
from bellhop.store.retry import until_redis_answers
from bellhop.store.stream_time import ahead_of_stream_us
from worker.delivery.attempt import SENT
from worker.delivery.fan_out import DeliveryTools, FanOut

GOES_ON = SENT | {Outcome.GAVE_UP}
"""After these outcomes of an alert, another alert follows some seconds later. After all other outcomes, the ring is
over, or the token cannot be used."""
ASKED_BEFORE_S = 1.0
"""This long before an alert, Bellhop asks Stream whether the call still rings: a webhook may have been lost."""


class NextAlert(NamedTuple):
    """The next alert to a phone."""

    number: int
    """The first repetition is 1."""
    due: Micros
    """By the clock of the server that has the call. On a cluster, the worker knows the clock of another server only."""
    due_s: Seconds
    """The same, in seconds of the monotonic clock."""


class AlertRepetition(FanOut):
    """One repetition of the alert to one phone. Each repetition has a separate claim in the round."""

    def __init__(self, tools: DeliveryTools, round_: QueuedRound, number: int) -> None:
        super().__init__(tools, PushKind.ALERT_RING, round_, claim=f"{PushKind.ALERT_RING}.{number}")

    async def send(self, push: Push) -> Outcome:
        """Send the alert, if the fence allows it, and record it."""
        try:
            results = await self._push(push)
        finally:
            await asyncio.shield(self._records.flush())
        self._log([], results)
        return results[0].outcome


class AlertRings:
    """Repeats the alerts of one ring. It belongs to one run of the job."""

    def __init__(self, tools: DeliveryTools, round_: QueuedRound) -> None:
        self._tools, self._round = tools, round_
        self._tasks: set[asyncio.Task[None]] = set()
        self._stream_state = tools.stream_state
        if self._stream_state is not None:
            self._late_at_s = self._stream_state.late_at_s(round_, Seconds(time.monotonic()))

    def note_rung(self, push: Push) -> None:
        """Note that the first alert to a phone was sent. In a test ring, one alert is enough: it is not repeated."""
        if not self._round.test:
            self._tasks.add(asyncio.create_task(self._repeat(push)))

    @property
    def has_phones(self) -> bool:
        """Whether the alert of any phone is repeated."""
        return bool(self._tasks)

    async def finish(self) -> None:
        """Wait until no more alerts are due. Raises if Redis refused a command."""
        await asyncio.gather(*self._tasks)

    async def cancel(self) -> None:
        """Stop waiting, and stop the alerts that are being sent."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _repeat(self, first: Push) -> None:
        """Send alerts to one phone until its ring is over."""
        tools, round_, number = self._tools, self._round, 0
        while True:
            number, due, due_s = await self._next(first.device.key, number)
            ahead_us = await ahead_of_stream_us(tools.store, tools.clock, round_.tenant, round_.cid)
            if due >= round_.deadline + ahead_us:
                return
            await self._wait_until(due_s)
            push = as_repetition(first, number, tools.clock.now())
            if await AlertRepetition(tools, round_, number).send(push) not in GOES_ON:
                return

    async def _next(self, device: str, last: int) -> NextAlert:
        """Return the next alert. `last`: the number of the latest alert that this run knows."""
        round_, every_us = self._round, self._tools.alert_ring_every_us
        key = round_key(round_.tenant, round_.cid, round_.started_at)
        reads = partial(self._tools.store.together, ("HGET", key, LAST_ALERT + device), ("TIME",))
        stored, redis_time = await until_redis_answers(reads)
        now, now_s = read_time(redis_time), time.monotonic()
        claim, _, at = stored.decode().partition("|") if stored else ("", "", now)  # if Redis has lost it
        number, due = int(claim.partition(".")[2] or 0), Micros(int(at) + every_us)
        return NextAlert(max(number, last) + 1, due, Seconds(now_s + elapsed(now, due)))

    async def _wait_until(self, due_s: Seconds) -> None:
        """Wait, and ask Stream in the meantime whether the call still rings."""
        await asyncio.sleep(due_s - ASKED_BEFORE_S - time.monotonic())
        left_s = Seconds(due_s - time.monotonic())
        if self._stream_state is None:
            await asyncio.sleep(left_s)
            return
        end_wait = self._stream_state.before_attempt(self._round, left_s, self._late_at_s)
        try:
            await asyncio.sleep(left_s)
        finally:
            end_wait()


def as_repetition(first: Push, number: int, now: Micros) -> Push:
    """Return a repetition of an alert. Each number has a different id, and all workers use the same id for it."""
    payload = {**first.payload, "bellhop": {**first.payload["bellhop"], "sent_at": now // 1000}}
    return replace(
        first,
        id=named_uuid(uuid.NAMESPACE_OID, f"{first.id}|{number}"),
        kind=PushKind.ALERT_RING,
        payload=payload,
        instead=None,
        left_out=(),
        ends_s=None,
    )
