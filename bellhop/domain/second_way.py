"""Decide which phones get a second push for a ring, by which token, and when. Pure.

A phone may have reported earlier rings and not this ring. Then the first push may not have arrived. Right before the
second push, the fence checks again (claim_devices.lua) that the phone has not reported this ring.
"""

from collections.abc import Callable, Iterable, Mapping
from enum import Enum, auto
from typing import NamedTuple

from bellhop.clock import Micros
from bellhop.domain.call import Standing
from bellhop.domain.device import Device, Kind, Provider


class RungPhone(NamedTuple):
    """A phone whose ring a provider accepted."""

    device: Device
    """The token that was rung."""
    rung_at: Micros
    """When the provider accepted the ring, as far as this worker knows."""


class NextStep(Enum):
    """What to do now about the second push to one phone."""

    NEVER = auto()
    """Send no second push for this ring."""
    WAIT = auto()
    """It is too early to decide."""
    RING = auto()
    """Send the second push."""


def device_of_second_push(device: Device, devices: Iterable[Device]) -> Device | None:
    """Return the token for the second push; None if there is none. The first push went to `device`.

    `devices`: all devices of the same user.
    """
    find = FIND_DEVICE.get(device.provider)
    return find(device, devices) if find else None


def decide(
    phone: RungPhone,
    now: Micros,
    *,
    after_us: Micros,
    deadline: Micros,
    has_reported_before: bool,
    has_reported: bool = False,
    standing: Standing = Standing.RINGING,
    is_sent: bool = False,
) -> NextStep:
    """Decide about one phone. `now` and `deadline` are of the same clock.

    `has_reported_before`: whether the phone has ever sent a receipt. `has_reported`: whether it, or the token of the
    second push, has sent a receipt of this ring. `is_sent`: whether the second push was sent.
    """
    due = phone.rung_at + after_us
    if not has_reported_before or has_reported or is_sent or standing is not Standing.RINGING:
        return NextStep.NEVER
    if max(due, now) >= deadline:
        return NextStep.NEVER
    return NextStep.RING if now >= due else NextStep.WAIT


def _alert_of_the_same_phone(device: Device, devices: Iterable[Device]) -> Device | None:
    """Return the newest token by which an alert reaches the iPhone of a VoIP token: Apple's before Google's."""
    if not device.hardware_id:
        return None
    of_phone = (other for other in devices if other.hardware_id == device.hardware_id and _shows_alerts(other))
    return max(of_phone, key=lambda other: (other.provider is Provider.APNS, other.registered_at), default=None)


def _shows_alerts(device: Device) -> bool:
    return device.is_on_iphone and device.kind is Kind.ALERT


def _the_same_token(device: Device, _: Iterable[Device]) -> Device | None:
    return device


FIND_DEVICE: Mapping[Provider, Callable[[Device, Iterable[Device]], Device | None]] = {
    Provider.APNS: _alert_of_the_same_phone,
    Provider.FCM: _the_same_token,
    Provider.WEB_PUSH: _the_same_token,
}
"""How to find the token of the second push, by the provider of the ring."""
