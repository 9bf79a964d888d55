"""The script of `bellhop demo`: the phones, the webhooks, and which phones each webhook must reach."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from bellhop.domain.device import Kind, Provider
from bellhop.sandbox.stream_webhooks import Event, SampleCall


class Phone(NamedTuple):
    """One registered push token. The fields are the arguments of Installation.register."""

    user_id: str
    provider: Provider
    kind: Kind
    token: str
    name: str


PHONES = {
    "Ben's iPhone, VoIP": Phone("ben-osei", Provider.APNS, Kind.VOIP, "a1" * 32, "Ben's iPhone"),
    "Ben's iPhone": Phone("ben-osei", Provider.APNS, Kind.ALERT, "b2" * 32, "Ben's iPhone"),
    "Jane's Pixel": Phone("jane-morel", Provider.FCM, Kind.ALERT, "dGhlLXBpeGVs:APA91b-of-the-demo", "Jane's Pixel"),
    "Jane's iPad, VoIP": Phone("jane-morel", Provider.APNS, Kind.VOIP, "c3" * 32, "Jane's iPad"),
    "Jane's iPad": Phone("jane-morel", Provider.APNS, Kind.ALERT, "d4" * 32, "Jane's iPad"),
}
OLD_PHONE = Phone("ben-osei", Provider.APNS, Kind.VOIP, "e5" * 32, "Ben's old iPhone")
"""Its app was deleted: Apple answers that its token is dead."""
RINGING = ("Ben's iPhone, VoIP", "Jane's Pixel", "Jane's iPad, VoIP")
"""The tokens that a ring goes to: an iPhone has one token for calls and another one for notices."""
NOTIFIED = ("Ben's iPhone", "Jane's Pixel", "Jane's iPad")
"""The tokens that a notice goes to."""


@dataclass(frozen=True)
class Step:
    """One webhook, and the pushes that it must cause."""

    text: str
    event: Callable[[], Event]
    """Makes the event. It is called when the event is posted, so that its time is right."""
    phones: tuple[str, ...] = ()
    type: str = ""
    """The type of the pushes."""


def script() -> list[Step]:
    """Return the steps of two calls: nobody answers the first; in the second Jane declines and Sara hangs up."""
    first, second = SampleCall(name="Design review", ring_ms=5_000), SampleCall(name="")
    return [
        Step("Sara calls Ben and Jane", first.ring, RINGING, "call.ring"),
        Step(
            "neither of them answered. (On Android this push ends a ring, so it waits for the ring's end.)",
            first.missed,
            NOTIFIED,
            "call.missed",
        ),
        Step("Sara invites both to another call", second.notification, NOTIFIED, "call.notification"),
        Step("Sara calls them there", second.ring, RINGING, "call.ring"),
        Step("Jane declines, so nobody gets a push", lambda: second.rejected("jane-morel", "decline")),
        Step(
            "Sara hangs up. Ben missed the call, Jane did not. (Stream has 1.5 s to say so itself.)",
            lambda: second.rejected("sara-lind", "cancel"),
            ("Ben's iPhone",),
            "call.missed",
        ),
    ]
