"""Find the states that a phone is in, by its report. Pure."""

from collections.abc import Iterable, Mapping
from operator import attrgetter
from typing import Any, NamedTuple

from bellhop.clock import Micros, as_datetime
from bellhop.domain.device import Device, Provider, RingsBy
from bellhop.domain.phone import PhoneRecord
from bellhop.domain.phone_report import why_not_shown
from bellhop.domain.phone_states import ANDROID, BROWSER, IOS, STATES, PhoneState, RingEffect

MOMENT_MS = 3_600_000
"""How long a report of a temporary state, such as Do Not Disturb, counts as true."""
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class FoundState(NamedTuple):
    """A state that a phone is in."""

    word: str
    effect: RingEffect
    sentence: str
    next: str
    path: str
    since_ms: int
    """When the phone first reported it (unix ms); 0 if that is not known."""


def states_of(record: PhoneRecord, device: Device | None, now: Micros) -> list[FoundState]:
    """Return the states that a phone is in, the worst first. `now` is the time of the question.

    A temporary state, such as Do Not Disturb, becomes a note when the report is more than an hour old.
    """
    health = {**record.health.__dict__, "os": record.health.os or _system_of(device)}
    rings = device.rings if device else RingsBy.VOIP
    states = [state for state in STATES if state.rings in (None, rings)]
    found = [_found(state, record, now) for state in states if _holds(state, health, record)]
    return sorted(found, key=lambda state: state.effect.rank)


def _holds(state: PhoneState, health: Mapping[str, Any], record: PhoneRecord) -> bool:
    return all(health[name] in _choices(wanted) for name, wanted in state.when.items()) and state.also(record)


def _choices(wanted: Any) -> tuple[Any, ...]:
    return wanted if isinstance(wanted, tuple) else (wanted,)


def _system_of(device: Device | None) -> str:
    """Return the operating system, as the token shows it; empty if the user has no such device."""
    if device is None:
        return ""
    if device.provider is Provider.WEB_PUSH:
        return BROWSER
    return IOS if device.is_on_iphone else ANDROID


def _found(state: PhoneState, record: PhoneRecord, now: Micros) -> FoundState:
    since_ms = record.since_ms.get(next(iter(state.when), ""), 0)
    why = why_not_shown(record.reason)
    is_old = state.passes and now // 1000 - record.health_at_ms > MOMENT_MS
    sentence = state.sentence.format(since=_since(since_ms, now), reason=f": {why}" if why else "")
    effect = RingEffect.NOTE if is_old else state.effect
    return FoundState(state.word, effect, sentence, state.advice, state.path, since_ms)


def _since(at_ms: int, now: Micros) -> str:
    """Return " since 12 Nov"; with the year if it is not this year. Empty if it is not known."""
    if not at_ms:
        return ""
    day = as_datetime(Micros(at_ms * 1000))
    year = "" if day.year == as_datetime(now).year else f" {day.year}"
    return f" since {day.day} {MONTHS[day.month - 1]}{year}"


def worst(effects: Iterable[RingEffect]) -> RingEffect:
    """Return the worst of these effects."""
    return min(effects, key=attrgetter("rank"), default=RingEffect.NOTE)
