"""A push: one message to one device, with its deadline. Pure."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, NamedTuple
from uuid import UUID

from bellhop.clock import Micros, Seconds
from bellhop.domain.device import Device, Environment, Kind, Provider


class PushKind(StrEnum):
    """What a push is for."""

    RING = "ring"
    NOTIFICATION = "notification"
    MISSED = "missed"
    LIVE_STARTED = "live_started"
    SESSION_STARTED = "session_started"
    SECOND_RING = "second_ring"
    """The second push for a ring, if the phone did not report the first (`bellhop.domain.second_way`)."""
    RING_OVER = "ring_over"
    """Removes the ring from a browser, or replaces the alert that rang an iPhone. It is sent if the user answered or
    declined elsewhere, or if the call ended."""
    ALERT_RING = "alert_ring"
    """A repetition of the alert that rings an iPhone (`Device.rings`). The first alert is a push of kind ring."""


STARTED = {"call.live_started": PushKind.LIVE_STARTED, "call.session_started": PushKind.SESSION_STARTED}
"""The pushes that tell a call's members that it began, by the event. The events name no members."""
FURTHER_RINGS = frozenset({PushKind.SECOND_RING, PushKind.ALERT_RING})
"""The pushes that ring a phone again."""
RINGING = FURTHER_RINGS | {PushKind.RING}
"""The pushes that carry Stream's call.ring."""
QUIET = frozenset({PushKind.NOTIFICATION, *STARTED.values()})
"""The pushes that invite: they neither ring nor end a ring, and their rounds have no final standings."""


class PushOptions(NamedTuple):
    """How a provider treats a push, apart from its payload."""

    urgent: bool = True
    """FCM: priority HIGH, else NORMAL. APNs: 10, else 5. Web Push: Urgency high, else normal."""
    analytics_label: str = ""
    """FCM only: the name under which Google's reports count the push; empty for none."""


URGENT, NOT_URGENT = PushOptions(), PushOptions(urgent=False)
"""If messages of high priority show nothing to the user, Google lowers the priority of all messages to the app. So a
quiet push is not urgent at Google. A missed call must be urgent, because it ends a ring on Android.
https://firebase.google.com/docs/cloud-messaging/android/message-priority"""


@dataclass(frozen=True, slots=True)
class Push:
    """One message to one device."""

    id: str
    """A canonical lower-case UUID, the same for every attempt. APNs gets it as apns-id."""
    kind: PushKind
    device: Device
    payload: Mapping[str, Any]
    """APNs: the JSON object of the request body. FCM: the `data` map, all strings. Web Push: such a map too."""
    deadline: Micros
    """No attempt starts after this moment, and the provider drops the push then."""
    round: Micros = Micros(0)
    """The stamp of the round that the push is for."""
    queued_at: Micros = Micros(0)
    """When the push's job was queued; 0 if that is not known."""
    collapse_id: str | None = None
    """APNs: at most 64 bytes; a later alert with the same id replaces this one on the phone. Web Push: the Topic, by
    which a later message replaces this one while it waits. FCM: not used."""
    instead: "Push | None" = None
    """The same push to another token of the same phone, to send if this token is dead."""
    options: PushOptions = URGENT
    aps: Mapping[str, Any] | None = None
    """FCM only, for an iPhone: what iOS shows of the message."""
    rung: str = ""
    """Only of a second ring: the key of the device that got the first push."""
    left_out: tuple[str, ...] = ()
    """The team's fields and keys that are not in the payload: they did not fit, or could not be filled in."""
    tenant: str = ""
    """The Stream app of the call. If pushes wait, the apps take turns."""
    ends_s: Seconds | None = field(default=None, compare=False)
    """The deadline by the monotonic clock of the process that sends it; None until the fence has answered."""

    @property
    def is_ringing_alert(self) -> bool:
        """Whether this is an alert that rings an iPhone. Other rings to APNs tokens are VoIP pushes."""
        device = self.device
        return self.kind in RINGING and device.provider is Provider.APNS and device.kind is Kind.ALERT

    def ending(self, ends_s: Seconds) -> "Push":
        """Return this push with its deadline by the monotonic clock. It does what dataclasses.replace does, faster."""
        ids = (self.id, self.kind, self.device, self.payload, self.deadline, self.round, self.queued_at)
        more = (self.collapse_id, self.instead, self.options, self.aps, self.rung, self.left_out, self.tenant)
        return Push(*ids, *more, ends_s)


def in_other_environment(push: Push) -> Push:
    """Return the push for Apple's other environment: the token may be registered with the wrong one."""
    other = Environment.SANDBOX if push.device.environment is Environment.PRODUCTION else Environment.PRODUCTION
    device: Device = push.device.model_copy(update={"environment": other})
    return replace(push, device=device)


def named_uuid(namespace: UUID, name: str) -> str:
    """Return the same as str(uuid.uuid5(namespace, name)) (RFC 9562, section 5.5), in a third of the time."""
    digest = bytearray(hashlib.sha1(namespace.bytes + name.encode(), usedforsecurity=False).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x50
    digest[8] = digest[8] & 0x3F | 0x80
    text = digest.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
