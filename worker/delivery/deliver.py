"""Send one push under its deadline: ask the gate, attempt, back off, ask again. How often and how long is one table."""

import asyncio
import random
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple, Protocol

from worker.delivery.lanes import Lane
from worker.domain.device import Device, Environment, Provider
from worker.domain.outcome import MEANING, Action, Answer, Outcome
from worker.domain.push import Push, PushKind
from worker.story import trail
from worker.telemetry import metrics, tracing

ATTEMPT_S = {Provider.APNS: 3.0, Provider.FCM: 10.0}
"""How long an answer may take. Google asks not to repeat a request before ten seconds have passed."""
NOTICE_WINDOW_S = 60.0
"""How long a job goes on trying to send what is no ring."""
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

Lanes = Mapping[tuple[Provider, str], Lane]


class Record(NamedTuple):
    """What is to be written of a push."""

    line: str
    """For the trail; empty for none."""
    device: str = ""
    """The key of the device whose claim is settled; empty when none was made."""
    sent: bool = False
    """Whether that is for good; else the device is free for another attempt."""


class Fence(Protocol):
    """What decides and remembers; `worker.delivery.gate.Gate` is one."""

    async def admit(self, push: Push, attempt_s: float) -> Outcome | None:
        """May it go out now?"""
        ...

    async def write(self, record: Record) -> None:
        """Remember it."""
        ...


class Delivered(NamedTuple):
    """What became of one push in the end."""

    push: Push
    """As it was sent last: its device in Apple's other environment, if it was registered with the wrong one."""
    outcome: Outcome
    last: Answer | None
    """The provider's last answer, when there was one."""
    record: Record = Record("")
    """Still to be written."""


async def deliver(push: Push, lanes: Lanes, gate: Fence) -> Delivered:
    """Send `push`, repeating what may be repeated, until it is accepted, refused for good, unwanted or out of time."""
    lane = lanes.get((push.device.provider, push.device.app))
    if lane is None:
        return _finished(push, Outcome.NO_CREDENTIALS, None)
    give_up = push.deadline if push.kind is PushKind.RING else min(push.deadline, time.time() + NOTICE_WINDOW_S)
    answer: Answer | None = None
    unknown = attempts = 0
    switched = waited = False
    while True:
        async with lane.slots:
            attempt_s = ATTEMPT_S[push.device.provider]
            while (refusal := await gate.admit(push, attempt_s)) is Outcome.HELD:  # noqa: ASYNC110 - across processes
                # That worker may yet fail, or be told to let go: what comes of its attempt decides.
                await asyncio.sleep(HELD_PAUSE_S)
            if refusal is not None:
                late = refusal is Outcome.TOO_LATE and answer is not None
                return _finished(push, Outcome.GAVE_UP if late else refusal, answer)
            attempts += 1
            answer, record = await _attempt(push, lane, gate, attempt_s, told_of_waiting=waited)
        waited = waited or answer.outcome is Outcome.CIRCUIT_OPEN
        action = MEANING[answer.outcome].action
        unknown += answer.outcome is Outcome.UNKNOWN
        switches = action is Action.SWITCH_ENVIRONMENT and not switched and push.device.provider is Provider.APNS
        if not switches and action not in PAUSE_S:
            return Delivered(push, answer.outcome, answer, record)
        await gate.write(record)
        if switches:
            push, switched = _in_other_environment(push), True
            continue
        pause_s = _pause_s(action, attempts, answer)
        if unknown >= MOST_UNKNOWN or time.time() + pause_s >= give_up:
            return _finished(push, Outcome.GAVE_UP, answer)
        await asyncio.sleep(pause_s)


async def _attempt(
    push: Push, lane: Lane, gate: Fence, attempt_s: float, *, told_of_waiting: bool
) -> tuple[Answer, Record]:
    """Make one attempt; returns the answer, and what is to be written of it.

    When this task is being cancelled, or fails, that is written here: the device's claim must not stay behind.
    """
    began = time.time()
    try:
        with tracing.span("attempt", "CLIENT", provider=push.device.provider, app=push.device.app) as facts:
            answer = await lane.attempt(push, max(0.001, min(attempt_s, push.deadline - began)))
            facts |= {"outcome": answer.outcome, "reason": answer.reason, "status": answer.status}
    except BaseException:
        interrupted = Answer(Outcome.UNKNOWN, reason="interrupted")
        await asyncio.shield(gate.write(_record(push, interrupted, began, told_of_waiting=told_of_waiting)))
        raise
    return answer, _record(push, answer, began, told_of_waiting=told_of_waiting)


def _record(push: Push, answer: Answer, began: float, *, told_of_waiting: bool) -> Record:
    """Word what an attempt that `began` then (unix s) came to, and count it."""
    now = time.time()
    ms = round((now - began) * 1000, 1)
    metrics.attempted(push, answer, ms / 1000, now)
    if answer.outcome is not Outcome.CIRCUIT_OPEN:
        line = _line(trail.Milestone.ATTEMPTED, push, answer, ms=ms)
    else:
        # Kept from the wire by the circuit: said once, not many times a second.
        line = "" if told_of_waiting else _line(trail.Milestone.WAITED, push, answer)
    sent = answer.outcome is Outcome.ACCEPTED  # what was refused for good may be tried, and refused, again
    return Record(line, push.device.key, sent)


def _finished(push: Push, outcome: Outcome, last: Answer | None) -> Delivered:
    return Delivered(push, outcome, last, Record(_line(trail.Milestone.FINISHED, push, Answer(outcome))))


def _line(what: trail.Milestone, push: Push, answer: Answer, ms: float | None = None) -> str:
    return trail.line(
        what,
        time.time_ns() // 1000,
        kind=push.kind,
        user=push.device.user_id,
        device=push.device.key,
        label=push.device.label,
        outcome=answer.outcome,
        status=answer.status or None,
        reason=answer.reason,
        id=answer.provider_id,
        ms=ms,
        round=push.round,
        provider=push.device.provider,
        environment=push.device.environment if push.device.provider is Provider.APNS else None,
        app=push.device.app if answer.outcome is not Outcome.ACCEPTED else None,
    )


def _pause_s(action: Action, attempts: int, answer: Answer) -> float:
    first, longest = PAUSE_S[action]
    pause: float = min(first * 2 ** (attempts - 1), longest)
    jittered = pause * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, hides nothing
    return max(jittered, answer.retry_after_s or 0.0)


def _in_other_environment(push: Push) -> Push:
    other = Environment.SANDBOX if push.device.environment is Environment.PRODUCTION else Environment.PRODUCTION
    device: Device = push.device.model_copy(update={"environment": other})
    return replace(push, device=device)
