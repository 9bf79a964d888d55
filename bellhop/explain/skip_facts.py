"""Why a user got no push, with the facts that the trail keeps: devices, mute, quiet hours. Pure.

`bellhop.domain.plan` writes these facts. Lines of older versions have none, and get the sentence of the outcome.
"""

import re
from datetime import UTC, datetime

from bellhop.domain.outcomes import Outcome
from bellhop.domain.push import PushKind
from bellhop.domain.user import AT_STREAM
from bellhop.explain.sentences import (
    NO_DEVICE,
    ONLY_FOR_CALLS,
    ONLY_FOR_NOTICES,
    REGISTER_FOR_CALLS,
    REGISTER_FOR_NOTICES,
)
from bellhop.trail import Milestone, PushSkipped

_DEVICES = re.compile(r"(\d{1,4}) devices?")
_HOURS = re.compile(r"(\d\d:\d\d)-(\d\d:\d\d)(?: ([\w/+-]{1,40}))?")


def sentence_without_devices(milestone: Milestone) -> str:
    """Return the clause about a user without a suitable device; empty if it is not known what devices there were."""
    count = _devices(milestone)
    if count is None:
        return ""
    if count == 0:
        return NO_DEVICE
    return ONLY_FOR_NOTICES if _is_ring(milestone) else ONLY_FOR_CALLS


def advice_without_devices(milestone: Milestone) -> str:
    """Return what to do about it; empty if the advice on the outcome says it."""
    if not _devices(milestone):
        return ""
    return REGISTER_FOR_CALLS if _is_ring(milestone) else REGISTER_FOR_NOTICES


def devices_in_words(milestone: Milestone) -> str:
    """Say how many devices the user had: "1 device"."""
    return facts_of(milestone) if _devices(milestone) is not None else "devices"


def muted_until(facts: str) -> str:
    """Return " until 2026-07-24 18:00 UTC", " at Stream" or both; empty if it is not known."""
    where = f" {AT_STREAM}" if facts.endswith(AT_STREAM) else ""
    until = _in_utc(facts.removesuffix(AT_STREAM).strip())
    return f" until {until}{where}" if until else where


def disabled_at(facts: str) -> str:
    """Return " at 2026-07-24 18:00 UTC"; empty if it is not known."""
    at = _in_utc(facts)
    return f" at {at}" if at else ""


def _in_utc(timestamp: str) -> str:
    """Return "2026-07-24 18:00 UTC"; empty if it cannot be read."""
    try:
        return f"{datetime.fromisoformat(timestamp).astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    except (ValueError, OverflowError):
        return ""


def quiet_hours(facts: str) -> str:
    """Return " (22:00 to 07:00, in the user's time zone Europe/Berlin)"; empty if they are not known."""
    hours = _HOURS.fullmatch(facts)
    if not hours:
        return ""
    start, end, zone = hours.groups()
    where = f", in the user's time zone {zone}" if zone else " UTC, since no time zone is known"
    return f" ({start} to {end}{where})"


def facts_of(milestone: Milestone) -> str:
    """Return the facts behind a skip, as `bellhop.domain.user.refusal_facts` or the plan wrote them."""
    return milestone.reason if isinstance(milestone, PushSkipped) else ""


def _devices(milestone: Milestone) -> int | None:
    is_without = isinstance(milestone, PushSkipped) and milestone.outcome == Outcome.NO_DEVICES
    count = _DEVICES.fullmatch(facts_of(milestone)) if is_without else None
    return int(count[1]) if count else None


def _is_ring(milestone: Milestone) -> bool:
    return getattr(milestone, "kind", "") == PushKind.RING
