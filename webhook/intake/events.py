"""What a webhook of Stream's says, as small frozen values: one kind for each thing that Bellhop does. Pure.

`webhook.intake.parsing.read` makes them. All stamps are unix microseconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from bellhop.clock import Micros


class UnreadableEvent(ValueError):  # noqa: N818 - it is what happened to an event
    """A verified body that is no event Bellhop can act on. The message says why, without anything from the body."""


@dataclass(frozen=True, slots=True)
class EventUser:
    """A user as an event shows them."""

    id: str
    """Empty only for a caller whom the event does not name."""
    name: str
    """What to call them: their name, else their id."""
    image: str = ""
    language: str = ""
    custom_email: str = field(default="", repr=False)
    """`user.custom.email`, as the app set it; not checked. Kept out of repr, and so out of logs."""


@dataclass(frozen=True, slots=True)
class Learned:
    """What the call inside an event says about the call's state, whatever the event is about: it mends lost events."""

    accepted: Mapping[str, Micros] = field(default_factory=dict)
    """User id -> when they answered (unix µs)."""
    rejected: Mapping[str, Micros] = field(default_factory=dict)
    """User id -> when they declined, or gave up calling (unix µs)."""
    ended_at: Micros | None = None
    """When the call ended (unix µs)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """What every event says."""

    type: str
    """Stream's name for it, such as call.ring."""
    cid: str
    """The call, as "type:id". Empty only in an ignored event that is about no call."""
    session_id: str
    """The session it happened in: one round of ringing and the call that follows. Empty if there is none."""
    at: Micros | None
    """Stream's stamp (unix µs); None if it gave none."""
    learned: Learned
    left_out: int = 0
    """How many members beyond the most that are kept it has; nothing is done for them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ring(Envelope):
    """call.ring: ring these members."""

    caller: EventUser
    members: tuple[EventUser, ...]
    """Whom to ring: never the caller, nobody twice."""
    video: bool
    """Which incoming-call screen to show."""
    ring_ms: int | None
    """How long a phone may ring by the call's settings, unchecked; None if they do not say."""
    call_name: str
    custom: Mapping[str, str] = field(default_factory=dict)
    """The call's custom fields that are short texts or numbers."""
    created_by_id: str
    """Who created the call, mostly the caller. Empty if not given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification(Envelope):
    """call.notification: tell these members about the call, quietly."""

    sender: EventUser
    members: tuple[EventUser, ...]
    call_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Missed(Envelope):
    """call.missed: these members missed the call."""

    caller: EventUser
    members: tuple[EventUser, ...]
    notify: bool
    """Whether Stream wants them told."""
    call_name: str
    custom: Mapping[str, str] = field(default_factory=dict)
    """As a ring's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected(Envelope):
    """call.rejected: a callee declined, or the caller gave up. Who it was decides, not the reason."""

    user_id: str
    reason: str
    """The app's word in lower case, such as decline, busy or timeout, or any other text, or nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted(Envelope):
    """call.accepted, or call.session_participant_joined: whoever is in the call has answered it."""

    user_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended(Envelope):
    """call.ended, call.deleted or call.session_ended."""

    only_session: str
    """The one session that ended: a later round of the same call is not concerned. Empty: the whole call ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ignored(Envelope):
    """Anything else. It asks nothing of Bellhop, but what it teaches about its call counts."""


Event = Ring | Notification | Missed | Rejected | Accepted | Ended | Ignored
