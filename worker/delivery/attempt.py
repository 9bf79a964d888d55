"""Sends one push: claims the device, attempts, pauses and repeats, until there is a final outcome."""

import asyncio
import sys
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from bellhop.backoff import pause_s
from bellhop.clock import Micros, Seconds
from bellhop.domain.device import Provider
from bellhop.domain.outcomes import MEANING, NOTHING_LEFT, Action, AttemptResult, Outcome, credentials_are_refused
from bellhop.domain.push import Push, PushKind, in_other_environment
from bellhop.store.redis_clock import RedisClock
from bellhop.store.retry import RETRY_S
from bellhop.telemetry import metrics, tracing
from bellhop.trail import PushAttempted, PushFinished, PushMilestone, PushWaited, encode
from worker.delivery.fair_queue import Group
from worker.delivery.fence import Admission, Fence, Record
from worker.delivery.provider_channel import ProviderChannel
from worker.delivery.retry_policy import RetryPolicy
from worker.delivery.service_channels import ServiceChannels

ProviderChannels = Mapping[tuple[Provider, str], ProviderChannel | ServiceChannels]
DEFAULT_POLICY = RetryPolicy()
SENT = frozenset({Outcome.ACCEPTED, Outcome.DUPLICATE})
"""The provider has the push. It was sent by this run of the job, or by an earlier run that was interrupted and may have
announced nothing."""
BeforeAttempt = Callable[[Seconds], Callable[[], object]]
"""It is called when the wait for an attempt begins, with the shortest time that the wait takes. It returns a function
that is called when the wait ends."""


def _not_noted(shortest_s: Seconds) -> Callable[[], object]:
    return lambda: None


class Delivered(NamedTuple):
    """The final result of one push."""

    push: Push
    """As it was last sent: with Apple's other environment if the device was registered with the wrong one."""
    outcome: Outcome
    last: AttemptResult | None
    """The result of the last attempt, if there was one."""
    record: Record = Record("")
    """What is still to be written."""
    unknown: int = 0
    """The number of attempts without an answer. Each of them may have reached the phone."""


async def deliver(
    push: Push,
    channels: ProviderChannels,
    fence: Fence,
    policy: RetryPolicy = DEFAULT_POLICY,
    before_attempt: BeforeAttempt = _not_noted,
    clock: RedisClock | None = None,
) -> Delivered:
    """Send `push`, and repeat what may be repeated, until there is a final outcome.

    Its record is returned, not written; the records of earlier attempts are written. `clock`: for times on the trail.
    """
    clock = clock or RedisClock()
    channel = channels.get((push.device.provider, push.device.app))
    if channel is None:
        return _finished(push, Outcome.NO_CREDENTIALS, None, clock.now())
    attempts = _Attempts(push, channel.of(push.device), fence, policy, before_attempt, clock)
    try:
        return await attempts.run()
    finally:
        attempts.end_wait()


class _Attempts:
    """The attempts of one push."""

    def __init__(
        self,
        push: Push,
        channel: ProviderChannel,
        fence: Fence,
        policy: RetryPolicy,
        before_attempt: BeforeAttempt,
        clock: RedisClock,
    ) -> None:
        self._push, self._channel, self._fence, self._policy = push, channel, fence, policy
        self._clock = clock
        self._before_attempt, self.end_wait = before_attempt, before_attempt(Seconds(0.0))
        self._began = time.monotonic()
        self._last: AttemptResult | None = None
        self._attempts = self._unknown = self._confirmed = self._throttled = 0
        self._away = 0
        """How often Redis did not answer."""
        self._switched = self._waiting_recorded = False

    async def run(self) -> Delivered:
        """Attempt until there is a final outcome."""
        while True:
            admission, record = await self._claim_and_attempt()
            if admission.refusal is Outcome.HELD:
                # Another worker has the claim. Its attempt may fail, or the worker may die: then this one must send.
                await asyncio.sleep(self._policy.claimed_pause_s)
            elif admission.refusal is Outcome.REDIS_AWAY:
                await self._wait_for_redis()
            elif admission.refusal is not None:
                return self._refused(admission.refusal)
            elif delivered := await self._judge(admission, record):
                return delivered

    async def _wait_for_redis(self) -> None:
        """Pause. The first time, the trail gets the reason."""
        if not self._away:
            line = _line(PushWaited, self._push, AttemptResult(Outcome.REDIS_AWAY), self._clock.now())
            await self._fence.write(Record(line))
        await asyncio.sleep(pause_s(self._away, *RETRY_S))
        self._away += 1

    async def _claim_and_attempt(self) -> tuple[Admission, Record]:
        """Claim the device and make one attempt. A place in the channel is taken first: a claim must not wait."""
        push, channel = self._push, self._channel
        attempt_s = self._policy.attempt_s[push.device.provider]
        # Everything that can take long comes before the claim: the call may end meanwhile.
        await channel.prepare(push, self._policy.prepare_s)
        group = Group(push.tenant, push.round)
        async with channel.capacity.hold(push.kind, group):
            async with channel.claims.hold(push.kind, group):
                admission = await self._fence.admit(push, attempt_s)
            if admission.refusal is not None:
                return admission, Record("")
            return admission, await self._attempt(admission, attempt_s)

    async def _attempt(self, admission: Admission, attempt_s: Seconds) -> Record:
        """Make one attempt, which starts while the admission is fresh or not at all; returns its record.

        If this task is cancelled, or fails, the record is written here: otherwise the device's claim would stay.
        """
        self.end_wait()
        began_s = time.monotonic()
        try:
            self._last = await self._ask_provider(admission, attempt_s)
        except BaseException:
            interrupted = AttemptResult(Outcome.UNKNOWN, reason="interrupted")
            await asyncio.shield(self._fence.write(self._record(interrupted, began_s)))
            raise
        return self._record(self._last, began_s)

    async def _ask_provider(self, admission: Admission, attempt_s: Seconds) -> AttemptResult:
        push = self._push
        age_s = time.monotonic() - admission.asked_at
        left_s = Seconds(admission.left_s - age_s)
        fresh_s = self._policy.admission_s
        if self._last is not None and self._last.outcome is Outcome.DELAYED:
            # If every claim takes long, because Redis or this process is slow, no admission is ever younger.
            fresh_s = Seconds(max(fresh_s, 2 * age_s))
        start_s = min(left_s, Seconds(fresh_s - age_s))
        with tracing.span("attempt", "CLIENT", provider=push.device.provider, app=push.device.app) as facts:
            if start_s > 0:
                push = push.ending(admission.ends_s)
                result = await self._channel.attempt(push, min(attempt_s, left_s), start_s)
            else:  # this process was paused after the device was claimed
                result = AttemptResult(Outcome.DELAYED)
            facts |= {"outcome": result.outcome, "reason": result.reason, "status": result.status}
        return result

    async def _judge(self, admission: Admission, record: Record) -> Delivered | None:
        """Decide after an attempt: return the final result, or pause and return None for another attempt."""
        result = self._last
        assert result is not None  # noqa: S101 - there was an attempt
        action = MEANING[result.outcome].action
        self._count(result)
        switches = self._switches(action)
        if not switches and self._is_final(result, action):
            return Delivered(self._push, result.outcome, result, record, self._unknown)
        await self._fence.write(record)
        if switches:
            self._push, self._switched = in_other_environment(self._push), True
            self.end_wait = self._before_attempt(Seconds(0.0))
            return None
        if self._switched and credentials_are_refused(result.outcome, result.reason):
            return self._finished(Outcome.BAD_TOKEN)  # they are for one environment, and the token is not of that one
        circuit_s = result.retry_after_s if result.outcome is Outcome.CIRCUIT_OPEN else None
        wait_s = circuit_s or self._pause_s(action, result)
        if self._was_tried_enough():
            return self._finished(Outcome.GAVE_UP)
        if time.monotonic() + wait_s >= self._ends_s(admission):
            return self._finished(Outcome.GAVE_UP, self._too_long_a_pause(wait_s))
        self.end_wait = self._before_attempt(wait_s)
        if circuit_s:
            await self._channel.until_closed(self._push, circuit_s)
        else:
            await asyncio.sleep(wait_s)
        return None

    def _pause_s(self, action: Action, result: AttemptResult) -> Seconds:
        """How long to wait before the next attempt."""
        pause_s = self._policy.pause_s(action, self._attempts, result)
        if result.documented_wait_s is None or self._may_repeat_early():
            return pause_s
        return max(pause_s, result.documented_wait_s)

    def _may_repeat_early(self) -> bool:
        early = self._push.kind is PushKind.RING and self._attempts <= self._policy.max_quick_repeats
        return early and self._channel.quick_repeats.take()

    def _count(self, result: AttemptResult) -> None:
        if result.outcome in NOTHING_LEFT:
            self._waiting_recorded = True
        else:
            self._attempts += 1
        if result.outcome is Outcome.UNKNOWN:
            self._unknown += 1
        if result.outcome is Outcome.THROTTLED:
            self._throttled += 1

    def _was_tried_enough(self) -> bool:
        most_throttled = self._policy.most_throttled.get(self._push.kind, sys.maxsize)
        return self._unknown >= self._policy.most_unknown or self._throttled >= most_throttled

    def _too_long_a_pause(self, wait_s: Seconds) -> str:
        """Say why a ring is given up, for the trail."""
        is_ring = self._push.kind is PushKind.RING
        return f"next attempt {wait_s:.3g} s later, the ring ends sooner" if is_ring else ""

    def _is_final(self, result: AttemptResult, action: Action) -> bool:
        """Whether nothing follows the last attempt."""
        if action is Action.CONFIRM:
            self._confirmed += 1
            return not result.status or self._confirmed >= self._policy.most_confirmed
        return action not in self._policy.pauses_s

    def _switches(self, action: Action) -> bool:
        apple = self._push.device.provider is Provider.APNS
        return action is Action.SWITCH_ENVIRONMENT and apple and not self._switched

    def _ends_s(self, admission: Admission) -> Seconds:
        """When (monotonic seconds) the last attempt may start."""
        if self._push.kind is PushKind.RING:
            return admission.ends_s
        return min(admission.ends_s, Seconds(self._began + self._policy.notice_window_s))

    def _refused(self, refusal: Outcome) -> Delivered:
        ran_out = refusal is Outcome.TOO_LATE and self._last is not None
        return self._finished(Outcome.GAVE_UP if ran_out else refusal)

    def _finished(self, outcome: Outcome, reason: str = "") -> Delivered:
        return _finished(self._push, outcome, self._last, self._clock.now(), self._unknown, reason)

    def _record(self, result: AttemptResult, began_s: float) -> Record:
        took_s = Seconds(time.monotonic() - began_s)
        return _record(self._push, result, took_s, self._clock.now(), waiting_recorded=self._waiting_recorded)


def _record(push: Push, result: AttemptResult, took_s: Seconds, now: Micros, *, waiting_recorded: bool) -> Record:
    """Return the record of an attempt that ended `now`, and count it in the metrics."""
    metrics.attempted(push, result, took_s, now)
    if result.outcome not in NOTHING_LEFT:
        line = _line(PushAttempted, push, result, now, ms=round(took_s * 1000, 1))
    else:
        # Nothing was sent. This is recorded once, not many times a second.
        line = "" if waiting_recorded else _line(PushWaited, push, result, now)
    sent = result.outcome is Outcome.ACCEPTED  # a refused push rang no phone, so the next run may repeat it
    return Record(line, push.device.key, sent)


def _finished(
    push: Push, outcome: Outcome, last: AttemptResult | None, now: Micros, unknown: int = 0, reason: str = ""
) -> Delivered:
    record = Record(_line(PushFinished, push, AttemptResult(outcome, reason=reason), now))
    return Delivered(push, outcome, last, record, unknown)


def _line(
    milestone: type[PushMilestone], push: Push, result: AttemptResult, now: Micros, ms: float | None = None
) -> str:
    device = push.device
    return encode(
        milestone(
            at=now,
            kind=push.kind,
            user=device.user_id,
            device=device.key,
            label=device.label,
            outcome=result.outcome,
            status=result.status or None,
            reason=result.reason,
            id=result.provider_id,
            ms=ms,
            round=Micros(push.round),
            provider=device.provider,
            environment=device.environment if device.provider is Provider.APNS else "",
            app=device.app if result.outcome is not Outcome.ACCEPTED else "",
        )
    )
