"""Tells Stream that a user rejected a ring on a phone, so that the caller's phone and the user's other phones stop.

One request is sent for each user and ring, however many phones report a rejection. A second one is sent only if Stream
did not answer the first, or if a worker died between a request and its record; the trail says so. Nothing is sent after
an answer of the user that Bellhop knows, or after the ring's end.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import structlog

from bellhop.backoff import pause_s
from bellhop.clock import Micros, Seconds, micros, seconds
from bellhop.queue.job_payloads import RejectRef, read_payload
from bellhop.queue.names import REJECT_JOB
from bellhop.store.async_client import Store
from bellhop.store.call_scripts import claim_reject, record_reject
from bellhop.store.redis_clock import RedisClock
from bellhop.store.retry import until_redis_answers
from bellhop.store.scripts import Command
from bellhop.store.stream_time import ahead_of_stream_us
from bellhop.stream_api import StreamApi, StreamRefused
from bellhop.telemetry import metrics
from bellhop.trail import CarryOutcome, RejectionCarried, encode
from worker.gentle_start import Begun

log = structlog.get_logger()

PAUSES_S = (0.3, 1.0)
"""First and longest pause before the next request."""
REQUEST_S = Seconds(2.0)
CLAIM_S = Seconds(3.5)
"""How long a claim lasts: longer than a request and one of our pauses. A pause that Stream asks for is added."""
CLAIM_VALID_S = 0.5
"""Maximum age of a claim when the request is sent. Later, the user may have answered."""
HELD_S = 0.2
"""Pause before a claim of another run is looked at again."""
AGAIN, HELD = "again", "held"
CLAIMED = ("go", AGAIN)
NOTHING_LEFT = ("done", "gone")
"""Answers of claim_reject.lua. Any other answer is the reason why nothing may be sent."""
NOT_CONFIGURED = "this Stream app is not configured"
NOT_TAKEN = (CarryOutcome.REFUSED, CarryOutcome.TOO_LATE)
"""The log has a warning for these."""


class Answer(NamedTuple):
    """What one request got."""

    outcome: CarryOutcome | None
    """None: it is repeated."""
    reason: str = ""
    status: int = 0
    wait_s: Seconds = Seconds(0.0)
    """How long Stream asks to wait."""
    ms: float | None = None


class RejectionCarrier:
    """Runs the job `worker.jobs.reject`."""

    def __init__(self, store: Store, apis: Mapping[str, StreamApi], worker: str, clock: RedisClock) -> None:
        """`apis`: by tenant."""
        self._store, self._apis, self._worker, self._clock = store, apis, worker, clock

    async def reject(self, payload: dict[str, Any], begun: Begun = lambda: None) -> Sequence[Command]:
        """Tell Stream; returns the record of it. Waits while Redis is away."""
        ref = read_payload(REJECT_JOB, payload)
        sent, answer = 0, Answer(None)
        while answer.outcome is None:
            claimed_s = time.monotonic()
            verdict = await self._claim(ref)
            if verdict in NOTHING_LEFT:
                return []
            if verdict not in (*CLAIMED, HELD):
                return [self._record(ref, _without_request(verdict, answer), sent)]
            if verdict == AGAIN:
                await self._write(self._record(ref, Answer(CarryOutcome.AGAIN), 0))
            begun()
            if verdict == HELD or time.monotonic() - claimed_s > CLAIM_VALID_S:
                await asyncio.sleep(HELD_S if verdict == HELD else 0)
                continue
            answer, sent = await self._send(ref), sent + 1
            if answer.outcome is None:
                wait_s = min(max(pause_s(sent - 1, *PAUSES_S), answer.wait_s), await self._left_s(ref))
                if wait_s > PAUSES_S[1]:
                    await self._claim(ref, wait_s)
                await asyncio.sleep(wait_s)
        return [self._record(ref, answer, sent)]

    async def _write(self, command: Command) -> None:
        await until_redis_answers(lambda: self._store.script(*command))

    async def _claim(self, ref: RejectRef, pause_s: float = 0.0) -> str:
        """Claim the next request; `pause_s`: it is sent after this time."""
        now = await self._stream_now(ref)
        # `run` is the same if this job claims again, so that the script recognises the job's own claim.
        command = claim_reject(
            *(ref.tenant, ref.cid, ref.started_at, ref.user),
            worker=self._worker,
            run=ref.webhook,
            now=now,
            claim_us=micros(Seconds(CLAIM_S + pause_s)),
        )
        verdict: bytes = await until_redis_answers(lambda: self._store.script(*command))
        return verdict.decode()

    async def _left_s(self, ref: RejectRef) -> Seconds:
        return seconds(Micros(max(ref.deadline - await self._stream_now(ref), 0)))

    async def _stream_now(self, ref: RejectRef) -> Micros:
        ahead_us = await ahead_of_stream_us(self._store, self._clock, ref.tenant, ref.cid)
        return Micros(self._clock.now() - ahead_us)

    async def _send(self, ref: RejectRef) -> Answer:
        api = self._apis.get(ref.tenant)
        if api is None:
            return Answer(CarryOutcome.REFUSED, NOT_CONFIGURED)
        began_s = time.monotonic()
        try:
            async with asyncio.timeout(REQUEST_S):
                await api.reject(ref.cid, ref.user, ref.reason)
        except StreamRefused as refused:
            is_final = 400 <= refused.status < 500 and refused.status != 429
            outcome = CarryOutcome.REFUSED if is_final else None
            return Answer(outcome, str(refused), refused.status, refused.wait_s or Seconds(0.0))
        except TimeoutError:
            return Answer(None, "no answer: TimeoutError")
        return Answer(CarryOutcome.TOLD, ms=round((time.monotonic() - began_s) * 1000, 1))

    def _record(self, ref: RejectRef, answer: Answer, sent: int) -> Command:
        """Return the command that puts it on the trail."""
        outcome = answer.outcome or CarryOutcome.TOO_LATE
        metrics.REJECTIONS.add(outcome)
        if outcome in NOT_TAKEN:
            log.warning("ring_not_rejected", cid=ref.cid, outcome=outcome, reason=answer.reason)
        else:
            log.info("ring_rejected", cid=ref.cid, outcome=outcome, reason=answer.reason)
        line = RejectionCarried(
            at=self._clock.now(),
            round=ref.started_at,
            user=ref.user,
            outcome=outcome,
            status=answer.status or None,
            reason=answer.reason,
            times=sent if sent > 1 else None,
            ms=answer.ms,
        )
        done = outcome is not CarryOutcome.AGAIN
        return record_reject(ref.tenant, ref.cid, ref.started_at, ref.user, encode(line), done=done)


def _without_request(verdict: str, last: Answer) -> Answer:
    """Return why no request may be sent; `last` is the answer to the last one."""
    if verdict == "too_late":
        return last._replace(outcome=CarryOutcome.TOO_LATE)
    return Answer(CarryOutcome.OVER, verdict)
