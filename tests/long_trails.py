"""Trails of calls with many users or rounds, as the worker and the web process write them."""

from collections.abc import Iterator

from bellhop.clock import Micros
from bellhop.trail import JobPickedUp, Milestone, PhoneRang, PushAttempted, UserSettled, WebhookReceived

START = Micros(1_784_887_200_123_000)
S = 1_000_000


def answered_one_by_one(count: int) -> list[Milestone]:
    """Ring many users: each phone rings, then one user after the other accepts or rejects."""
    names = tuple(f"user-{number}" for number in range(count))
    lines: list[Milestone] = [_ring(START, *names), JobPickedUp(at=_after(START, 0.02), round=START, job="ring")]
    for number, name in enumerate(names):
        event, outcome = (("call.accepted", "answered"), ("call.rejected", "declined"))[number % 2]
        lines.append(_accepted(START, name, device=f"{number:020x}"))
        lines.append(PhoneRang(at=_after(START, 0.4), round=START, device=f"{number:020x}"))
        lines += _answer(START, 1 + number / 100, name, event, outcome)
    return lines


def rung_again_and_again(count: int, user: str = "jane") -> list[Milestone]:
    """Ring a user of one call again and again, a minute apart: the user rejects each."""
    rounds = (_rejected(_after(START, 60 * number), user) for number in range(count))
    return [line for lines in rounds for line in lines]


def _rejected(start: Micros, user: str) -> Iterator[Milestone]:
    yield _ring(start, user)
    yield _accepted(start, user, device="ab" * 10)
    yield from _answer(start, 8, user, "call.rejected", "declined")


def _ring(start: Micros, *users: str) -> WebhookReceived:
    return WebhookReceived(
        at=_after(start, 0.01),
        type="call.ring",
        stamp=start,
        users=users,
        session="first",
        round=start,
        callers=("sara",),
        until=_after(start, 30),
    )


def _accepted(start: Micros, user: str, device: str) -> PushAttempted:
    return PushAttempted(
        at=_after(start, 0.1),
        round=start,
        kind="ring",
        user=user,
        outcome="accepted",
        device=device,
        label=f"{user}'s iPhone",
        provider="apns",
        environment="production",
        ms=12.5,
    )


def _answer(start: Micros, after_s: float, user: str, event: str, outcome: str) -> Iterator[Milestone]:
    at = _after(start, after_s)
    yield WebhookReceived(at=_after(at, 0.01), type=event, stamp=at, users=(user,), session="first")
    yield UserSettled(at=_after(at, 0.02), round=start, user=user, outcome=outcome)


def _after(start: Micros, seconds: float) -> Micros:
    return Micros(start + round(seconds * S))
