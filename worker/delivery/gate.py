"""The fence in front of the wire, as one run of a job sees it: may this device be sent this push now, and what
became of it.

Everything that is asked in the same turn of the event loop goes to Redis as one script call. Redis away means wait
and ask again: no push leaves without the fence's word, and no answer is forgotten.
"""

import asyncio
import json
import time
from collections.abc import Sequence
from typing import Any, Protocol
from uuid import uuid4

from worker.contract import Round
from worker.domain.calls import CALL_TTL_S, Standing, call_key, round_key, round_prefix
from worker.domain.outcome import Outcome
from worker.domain.push import Push, PushKind
from worker.storage.batch import Batch
from worker.storage.outage import until_redis_answers
from worker.story import trail
from worker.telemetry import metrics

BATCH = 500
"""Devices asked about, or lines written, in one script call: none of them holds up Redis for long, or has more
arguments than Lua can unpack."""
REFUSALS = {
    "go": None,
    "too_late": Outcome.TOO_LATE,
    "duplicate": Outcome.DUPLICATE,
    "held": Outcome.HELD,
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


class Store(Protocol):
    """What the gate needs of Redis."""

    async def script(self, name: str, keys: Sequence[str], args: Sequence[str | bytes | int | float]) -> Any:
        """Run one of the scripts in worker/lua/."""
        ...


class Gate:
    """The fence for the pushes of one kind in one round, asked by one run of one worker."""

    def __init__(self, store: Store, worker: str, kind: PushKind, round_: Round, first_line: str = "") -> None:
        """`first_line` goes on the trail with the first that follows it: it is not worth a round trip of its own."""
        self._store, self._worker, self._run = store, worker, uuid4().hex[:12]
        self._kind, self._round = kind, round_
        self._keys = [
            call_key(round_.tenant, round_.cid),
            round_key(round_.tenant, round_.cid, round_.started_at),
        ]
        self._trail = trail.trail_key(round_.tenant, round_.cid)
        self._first_lines = [first_line] if first_line else []
        self._admissions = Batch(self._ask, BATCH)
        self._records = Batch(self._write, BATCH)
        self._notes = Batch(self._tell, BATCH)

    async def admit(self, push: Push, attempt_s: float) -> Outcome | None:
        """Claim the device for an attempt of at most `attempt_s`; None when it may go out, else why not."""
        return await self._admissions((push, attempt_s))

    async def record(self, push: Push, sent: bool, line: str) -> None:
        """Settle the claim: sent for good, or free for another attempt; and put a line, if any, on the trail."""
        await self._records((push, sent, line))

    async def note(self, lines: Sequence[str]) -> None:
        """Put lines on the trail that are about no claim."""
        await asyncio.gather(*map(self._notes, lines))

    async def _ask(self, asked: list[tuple[Push, float]]) -> list[Outcome | None]:
        lease_us = int((max(attempt_s for _, attempt_s in asked) + 1) * 1e6)
        deadline_us = min(int(push.deadline * 1e6) for push, _ in asked)
        round_ = self._round
        args: list[str | int] = [self._kind, round_.started_at, round_.session_id, json.dumps(round_.callers)]
        args += [deadline_us, self._worker, self._run, lease_us, CALL_TTL_S, round_prefix(round_.tenant, round_.cid)]
        for push, _ in asked:
            args += [push.device.user_id, push.device.key]
        began = time.perf_counter()
        words = await until_redis_answers(lambda: self._store.script("admit", self._keys, args))
        metrics.FENCE.observe(time.perf_counter() - began)
        return [REFUSALS[word.decode()] for word in words]

    async def _write(self, records: list[tuple[Push, bool, str]]) -> list[None]:
        devices = [(push.device.key, "sent" if sent else "free") for push, sent, _ in records]
        lines = self._after_first([line for *_, line in records if line])
        await until_redis_answers(lambda: self._script_record(devices, lines))
        return [None] * len(records)

    async def _tell(self, lines: list[str]) -> list[None]:
        told = self._after_first(lines)
        await until_redis_answers(lambda: self._script_record([], told))
        return [None] * len(lines)

    def _after_first(self, lines: Sequence[str]) -> list[str]:
        first, self._first_lines = (self._first_lines, []) if lines else ([], self._first_lines)
        return [*first, *lines]

    async def _script_record(self, devices: Sequence[tuple[str, str]], lines: Sequence[str]) -> None:
        args: list[str | int] = [self._kind, f"{self._worker}|{self._run}", trail.DAY_S, trail.LENGTH, len(devices)]
        args += [part for device in devices for part in device]
        await self._store.script("record", [self._keys[1], self._trail], [*args, *lines])
