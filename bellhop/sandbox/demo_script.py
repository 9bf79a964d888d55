"""The script of `bellhop demo`: the phones, the webhooks, and which phones each webhook must reach."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from bellhop.domain.device import Kind, Provider
from bellhop.sandbox import closed_tab
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
RINGING = ("Ben's iPhone, VoIP", "Jane's Pixel", "Jane's iPad, VoIP", closed_tab.NAME)
"""The tokens that a ring goes to: an iPhone has one token for calls and another one for notices."""
NOTIFIED = ("Ben's iPhone", "Jane's Pixel", "Jane's iPad", closed_tab.NAME)
"""The tokens that a notice goes to."""


HEARD_AS = {
    "bellhop.ring.reached": "hears: {} has the push",
    "bellhop.ring.ringing": "hears: it rings for {}",
    "bellhop.ring.unreachable": "hears: {} unreachable",
}
"""What Sara's app hears of a callee, by Stream's custom event."""


@dataclass(frozen=True)
class Step:
    """One webhook or one decline on a phone, and what must follow."""

    text: str
    event: Callable[[], Event] | None = None
    """Makes the event. It is called when the event is posted, so that its time is right."""
    phones: tuple[str, ...] = ()
    """The phones that a push must reach."""
    type: str = ""
    """The type of the pushes."""
    unreachable: str = ""
    """The first name of a callee who has no phone."""
    call: SampleCall | None = None
    """The call that exists at Stream from this step on."""
    declines: str = ""
    """The phone on which its user declines, if the step is no webhook."""

    def hears(self) -> set[str]:
        """Return what Sara's app must hear."""
        if self.type != "call.ring":
            return set()
        ringing = {HEARD_AS["bellhop.ring.ringing"].format(owner(phone)) for phone in self.phones}
        unreachable = {HEARD_AS["bellhop.ring.unreachable"].format(self.unreachable)} if self.unreachable else set()
        return ringing | unreachable


def first_name(user_id: str) -> str:
    """Return the first name of a user of the demo."""
    return user_id.partition("-")[0].title()


def owner(phone: str) -> str:
    """Return the first name of a phone's user."""
    return phone.partition("'")[0]


def script() -> list[Step]:
    """Return the steps of two calls: nobody answers the first; in the second Jane declines and Sara hangs up."""
    three = ("ben-osei", "jane-morel", closed_tab.USER_ID)
    first = SampleCall(name="Design review", ring_ms=5_000, members=(*three, "ann-okoro"))
    second = SampleCall(name="", members=three)
    return [
        Step(
            "Sara calls Ben, Jane, Leo, who has closed the tab, and Ann, who has no phone",
            first.ring,
            RINGING,
            "call.ring",
            "Ann",
            call=first,
        ),
        Step(
            "nobody answered. (Android and browsers get the notice when the ring is over.)",
            first.missed,
            NOTIFIED,
            "call.missed",
        ),
        Step("Sara invites all three to another call", second.notification, NOTIFIED, "call.notification", call=second),
        Step("Sara calls them there", second.ring, RINGING, "call.ring"),
        Step("her iPad sends its ticket, without any login", declines="Jane's iPad, VoIP"),
        Step(
            "her Pixel hears it too and stops ringing. Nobody gets a push",
            lambda: second.rejected("jane-morel", "decline"),
        ),
        Step(
            "Sara hangs up. (Bellhop waits 1.5 s for call.missed.)",
            lambda: second.rejected("sara-lind", "cancel"),
            ("Ben's iPhone", closed_tab.NAME),
            "call.missed",
        ),
    ]
