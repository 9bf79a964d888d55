"""Send one push under its deadline: ask the gate, attempt, back off, ask again. How often and how long is one table."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from bellhop.backoff import pause_s
from bellhop.clock import Micros, Seconds, elapsed, from_nanoseconds
from bellhop.domain.device import Device, Environment, Provider
from bellhop.domain.outcomes import MEANING, NOTHING_LEFT, Action, AttemptResult, Outcome
from bellhop.domain.push import Push, PushKind
from bellhop.telemetry import metrics, tracing
from bellhop.trail import PushAttempted, PushFinished, PushMilestone, PushWaited, encode
from worker.delivery.fence import Admission, Fence, Record
from worker.delivery.provider_channel import ProviderChannel
from worker.queue.concurrency_limit import JobSlot

ATTEMPT_S = {Provider.APNS: Seconds(3.0), Provider.FCM: Seconds(10.0)}
"""How long an answer may take. Google asks not to repeat a request before ten seconds have passed."""

FRESH_S = Seconds(0.5)
"""How long the gate's word may have been given when a push leaves: after that the call may have been answered."""

NOTICE_WINDOW_S = 150.0
"""How long a job goes on trying to send what is no ring. Google, asked too much, asks for a pause of a minute."""

MOST_UNKNOWN = 3
"""Attempts without an answer after which a push is not repeated: each of them may have rung the phone.

When the network forgets our connections, both that are kept to a provider go silent at the same time: the third attempt
is the first on a new one."""

PAUSE_S: dict[Action, tuple[float, float]] = {
    Action.RETRY_NOW: (0.02, 1.0),
    Action.RETRY_LATER: (0.3, 5.0),
}
"""First and longest pause between attempts; doubled each time, with jitter.

And never below the provider's Retry-After.
"""

HELD_PAUSE_S = 0.1
"""How long until the gate is asked again about a device that another worker is sending to."""

ProviderChannels = Mapping[tuple[Provider, str], ProviderChannel]


class Delivered(NamedTuple):
    """What became of one push in the end."""

    push: Push
    """As it was sent last: its device in Apple's other environment, if it was registered with the wrong one."""
    outcome: Outcome
    last: AttemptResult | None
    """The provider's last answer, when there was one."""
    record: Record = Record("")
    """Still to be written."""
    unknown: int = 0
    """Attempts without an answer: each of them may have reached the phone."""


async def deliver(push: Push, lanes: ProviderChannels, gate: Fence, slot: JobSlot | None = None) -> Delivered:
    """Send `push`, repeating what may be repeated, until it is accepted, refused for good, unwanted or out of time.

    The job's `slot` is given up while the push only waits: for its turn, or for the provider.
    """
    lane = lanes.get((push.device.provider, push.device.app))
    if lane is None:
        return _finished(push, Outcome.NO_CREDENTIALS, None)
    slot = slot or JobSlot()
    began = time.monotonic()
    answer: AttemptResult | None = None
    unknown = attempts = 0
    switched = waited = False
    while True:
        async with lane.slots:
            attempt_s = ATTEMPT_S[push.device.provider]
            with slot.busy():
                admission = await gate.admit(push, attempt_s)
            if admission.refusal is None:
                # A way that takes long every time is waited for, lest the push never goes out.
                patience_s = attempt_s if answer and answer.outcome is Outcome.DELAYED else FRESH_S
                answer, record = await _attempt(push, lane, gate, admission, patience_s, told_of_waiting=waited)
        if admission.refusal is Outcome.HELD:
            # That worker may yet fail, or be told to let go: what comes of its attempt decides.
            await asyncio.sleep(HELD_PAUSE_S)
            continue
        if admission.refusal is not None:
            late = admission.refusal is Outcome.TOO_LATE and answer is not None
            return _finished(push, Outcome.GAVE_UP if late else admission.refusal, answer, unknown)
        assert answer is not None  # noqa: S101 - tells the type checker what follows from there being no refusal
        kept_back = answer.outcome in NOTHING_LEFT
        attempts += not kept_back
        waited = waited or kept_back
        action = MEANING[answer.outcome].action
        unknown += answer.outcome is Outcome.UNKNOWN
        switches = action is Action.SWITCH_ENVIRONMENT and not switched and push.device.provider is Provider.APNS
        if not switches and action not in PAUSE_S:
            return Delivered(push, answer.outcome, answer, record, unknown)
        await gate.write(record)
        if switches:
            push, switched = _in_other_environment(push), True
            continue
        wait_s = max(pause_s(attempts - 1, *PAUSE_S[action]), answer.retry_after_s or 0.0)
        ends = admission.asked_at + admission.left_s
        if push.kind is not PushKind.RING:
            ends = min(ends, began + NOTICE_WINDOW_S)
        if unknown >= MOST_UNKNOWN or time.monotonic() + wait_s >= ends:
            return _finished(push, Outcome.GAVE_UP, answer, unknown)
        await asyncio.sleep(wait_s)


async def _attempt(
    push: Push, lane: ProviderChannel, gate: Fence, admission: Admission, patience_s: Seconds, *, told_of_waiting: bool
) -> tuple[AttemptResult, Record]:
    """Make one attempt, that starts within `patience_s` of the gate's word or not at all.

    Returns the answer, and what is to be written of it.

    When this task is being cancelled, or fails, that is written here: the device's claim must not stay behind.
    """
    began = from_nanoseconds(time.time_ns())
    left_s = Seconds(admission.asked_at + admission.left_s - time.monotonic())
    start_s = min(left_s, Seconds(admission.asked_at + patience_s - time.monotonic()))
    try:
        with tracing.span("attempt", "CLIENT", provider=push.device.provider, app=push.device.app) as facts:
            if start_s > 0:
                answer = await lane.attempt(push, min(ATTEMPT_S[push.device.provider], left_s), start_s)
            else:  # this process stood still since
                answer = AttemptResult(Outcome.DELAYED)
            facts |= {"outcome": answer.outcome, "reason": answer.reason, "status": answer.status}
    except BaseException:
        interrupted = AttemptResult(Outcome.UNKNOWN, reason="interrupted")
        await asyncio.shield(gate.write(_record(push, interrupted, began, told_of_waiting=told_of_waiting)))
        raise
    return answer, _record(push, answer, began, told_of_waiting=told_of_waiting)


def _record(push: Push, answer: AttemptResult, began: Micros, *, told_of_waiting: bool) -> Record:
    """Word what an attempt that `began` then came to, and count it."""
    now = from_nanoseconds(time.time_ns())
    took_s = elapsed(began, now)
    metrics.attempted(push, answer, took_s, now)
    ms = round(took_s * 1000, 1)
    if answer.outcome not in NOTHING_LEFT:
        line = _line(PushAttempted, push, answer, ms=ms)
    else:
        # Kept from the wire: said once, not many times a second.
        line = "" if told_of_waiting else _line(PushWaited, push, answer)
    sent = answer.outcome is Outcome.ACCEPTED  # what was refused for good may be tried, and refused, again
    return Record(line, push.device.key, sent)


def _finished(push: Push, outcome: Outcome, last: AttemptResult | None, unknown: int = 0) -> Delivered:
    record = Record(_line(PushFinished, push, AttemptResult(outcome)))
    return Delivered(push, outcome, last, record, unknown)


def _line(milestone: type[PushMilestone], push: Push, answer: AttemptResult, ms: float | None = None) -> str:
    device = push.device
    return encode(
        milestone(
            at=Micros(time.time_ns() // 1000),
            kind=push.kind,
            user=device.user_id,
            device=device.key,
            label=device.label,
            outcome=answer.outcome,
            status=answer.status or None,
            reason=answer.reason,
            id=answer.provider_id,
            ms=ms,
            round=Micros(push.round),
            provider=device.provider,
            environment=device.environment if device.provider is Provider.APNS else "",
            app=device.app if answer.outcome is not Outcome.ACCEPTED else "",
        )
    )


def _in_other_environment(push: Push) -> Push:
    other = Environment.SANDBOX if push.device.environment is Environment.PRODUCTION else Environment.PRODUCTION
    device: Device = push.device.model_copy(update={"environment": other})
    return replace(push, device=device)
