"""The fence in front of the wire, as one run of a job sees it: may this device be sent this push now, and what
became of it.

Everything that is asked in the same turn of the event loop goes to Redis as one script call. Redis away means wait
and ask again: no push leaves without the fence's word, and no answer is forgotten.
"""

import asyncio
import secrets
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from bellhop.clock import Seconds, micros, seconds
from bellhop.domain.call import Standing
from bellhop.domain.outcomes import Outcome
from bellhop.domain.push import Push, PushKind
from bellhop.domain.round import Round
from bellhop.store.call_scripts import claim_devices, record_attempt
from bellhop.store.retry import until_redis_answers
from bellhop.store.scripts import Command, Scripts
from bellhop.telemetry import metrics
from worker.delivery.batch import Batch

BATCH = 500
"""Devices asked about, or lines written, in one script call: none of them holds up Redis for long, or has more
arguments than Lua can unpack."""
REFUSALS = {
    "go": None,
    "too_late": Outcome.TOO_LATE,
    "duplicate": Outcome.DUPLICATE,
    "held": Outcome.HELD,
    "signed_out": Outcome.SIGNED_OUT,
    "rung_again": Outcome.RUNG_AGAIN,
    Standing.ANSWERED: Outcome.ANSWERED,
    Standing.DECLINED: Outcome.DECLINED,
    Standing.BUSY: Outcome.BUSY,
    Standing.TIMED_OUT: Outcome.TIMED_OUT,
    Standing.MISSED: Outcome.MISSED,
    Standing.MISSED_QUIETLY: Outcome.MISSED,
    Standing.CANCELLED: Outcome.CANCELLED,
    Standing.ENDED: Outcome.ENDED,
}
"""What the fence's word means for a push; None lets it through."""


class Record(NamedTuple):
    """What is to be written of a push."""

    line: str
    """For the trail; empty for none."""
    device: str = ""
    """The key of the device whose claim is settled; empty when none was made."""
    sent: bool = False
    """Whether that is for good; else the device is free for another attempt."""


class Admission(NamedTuple):
    """The fence's word about one attempt."""

    refusal: Outcome | None
    """Why the push may not go out; None when it may."""
    asked_at: Seconds
    """When it was asked, monotonic time in seconds."""
    left_s: Seconds
    """How long from then on it may go out, by Redis's clock."""


class Fence:
    """The fence for the pushes of one kind in one round, asked by one run of one worker."""

    def __init__(self, store: Scripts, worker: str, kind: PushKind, round_: Round, first_line: str = "") -> None:
        """`first_line` goes on the trail with the first that follows it: it is not worth a round trip of its own."""
        self._store, self._worker, self._run = store, worker, secrets.token_hex(6)
        self._kind, self._round = kind, round_
        self._first_lines = [first_line] if first_line else []
        self._under_way: dict[str, str] = {}
        """Whose push each device is being sent, by the device's key."""
        self._admissions = Batch(self._ask, BATCH)
        self._records = Batch(self._write, BATCH, shielded=True)

    async def admit(self, push: Push, attempt_s: Seconds) -> Admission:
        """Claim the device for an attempt of at most `attempt_s`."""
        device = push.device
        if self._under_way.get(device.key, device.user_id) != device.user_id:
            # The token is just moving from one user to another, and both are rung.
            return Admission(Outcome.HELD, Seconds(time.monotonic()), Seconds(0.0))
        admission = await self._admissions((push, attempt_s))
        if admission.refusal is None:
            self._under_way[device.key] = device.user_id
        return admission

    async def write(self, record: Record) -> None:
        """Settle a claim, if there is one, for good or for another attempt; and put a line, if any, on the trail."""
        await self._records(record)
        self._under_way.pop(record.device, None)

    async def note(self, lines: Sequence[str]) -> None:
        """Put lines on the trail that are about no claim."""
        if lines:
            await asyncio.gather(*(self._records(Record(line)) for line in lines))

    async def _ask(self, asked: list[tuple[Push, float]]) -> list[Admission]:
        command = claim_devices(
            self._round,
            self._kind,
            [(push.device.user_id, push.device.key) for push, _ in asked],
            deadline_us=min(push.deadline for push, _ in asked),
            worker=self._worker,
            run=self._run,
            claim_us=micros(Seconds(max(attempt_s for _, attempt_s in asked) + 1)),
        )

        async def ask() -> tuple[Seconds, Any]:
            return Seconds(time.monotonic()), await self._store.script(*command)

        began = time.perf_counter()
        asked_at, (left_us, *words) = await until_redis_answers(ask)
        metrics.FENCE.observe(Seconds(time.perf_counter() - began))
        return [Admission(REFUSALS[word.decode()], asked_at, seconds(int(left_us))) for word in words]

    async def _write(self, records: list[Record]) -> list[None]:
        command = self.command(records)
        await until_redis_answers(lambda: self._store.script(*command))
        return [None] * len(records)

    def command(self, records: Sequence[Record]) -> Command:
        """Build the script call that writes these records."""
        lines = [record.line for record in records if record.line]
        if lines:
            lines, self._first_lines = [*self._first_lines, *lines], []
        devices = [(record.device, record.sent) for record in records if record.device]
        return record_attempt(self._round, lines, kind=self._kind, worker=self._worker, run=self._run, devices=devices)
