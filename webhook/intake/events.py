"""The content of a Stream webhook as small frozen values: one class for each kind that Bellhop acts on. Pure.

`webhook.intake.parsing.parse` makes them. All times are unix microseconds.
"""

from collections.abc import Mapping

import msgspec

from bellhop.clock import Micros
from bellhop.domain.call_snapshot import CallSnapshot


class UnreadableEvent(ValueError):  # noqa: N818 - it is what happened to an event
    """A verified body that Bellhop cannot act on. The message is the reason; it never quotes the body."""


class EventUser(msgspec.Struct, frozen=True, gc=False):
    """A user as an event describes them."""

    id: str
    """Empty only for a caller that the event does not name."""
    name: str
    """The display name, or the id if there is no name."""
    language: str = ""
    custom_email: str = ""
    """`user.custom.email` as the app set it, unchecked. It is kept out of repr, so that it cannot reach a log."""
    muted_until: Micros = Micros(0)
    """Until when the user wants no push; FOREVER without an end."""
    blocks_caller: bool = False
    """Whether the user has blocked the caller."""

    def __repr__(self) -> str:
        return f"EventUser(id={self.id!r}, name={self.name!r}, language={self.language!r})"


class Envelope(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The fields of every event."""

    type: str
    """Stream's name of the event, such as call.ring."""
    cid: str
    """The call, as "type:id". Empty only in an ignored event without a call."""
    session_id: str
    """The session of the event: one round of ringing and the call that follows. Empty if there is none."""
    at: Micros | None
    """Stream's stamp; None if the event has none."""
    snapshot: CallSnapshot
    """The call's state as Stream put it into the event."""
    left_out: int = 0
    """How many members were left out because the event has more than MAX_MEMBERS."""
    tokens_revoked: Mapping[str, Micros] = msgspec.field(default_factory=dict)
    """User id -> tokens of this user that were issued earlier are revoked."""


class MembersEvent(Envelope, frozen=True, kw_only=True, gc=False):
    """An event about a call that is for some members: it may send them a push."""

    members: tuple[EventUser, ...]
    """The users that the event is for, each once, without the caller."""
    call_name: str
    custom: Mapping[str, str] = msgspec.field(default_factory=dict)
    """The call's custom fields that are short texts or numbers."""
    caller_fields: Mapping[str, str] = msgspec.field(default_factory=dict)
    """The picture and custom fields of the caller, the sender or the creator that the team's own pushes use."""


class TimedEvent(MembersEvent, frozen=True, kw_only=True, gc=False):
    """An event whose call says how long it rings. The time-outs are unchecked."""

    ring_ms: int | None = None
    """The ring time-out in the call's settings; None if they have none."""
    endless: bool = False
    """Whether a ring time-out is 0: then a phone does not stop by itself."""
    missed_ms: int | None = None
    """After how long Stream sends call.missed, by the call's settings; None if they do not say it."""


class Ring(TimedEvent, frozen=True, kw_only=True, gc=False):
    """call.ring: ring these members."""

    caller: EventUser
    video: bool
    """Whether the phone shows the incoming-call screen of a video call."""
    created_by_id: str
    """The user who created the call, usually the caller. Empty if not given."""


class Notification(MembersEvent, frozen=True, kw_only=True, gc=False):
    """call.notification: notify these members of the call, without ringing."""

    sender: EventUser


class Started(MembersEvent, frozen=True, kw_only=True, gc=False):
    """call.live_started or call.session_started: tell the members that the call began.

    All such events that Stream documents have no members: then the worker asks Stream for them.
    """

    creator: EventUser
    """The user who created the call: the event does not say who began it."""


class Missed(TimedEvent, frozen=True, kw_only=True, gc=False):
    """call.missed: these members missed the call."""

    caller: EventUser
    notify: bool
    """Whether Stream wants the members to get a notice (`notify_user`)."""


class Rejected(Envelope, frozen=True, kw_only=True, gc=False):
    """call.rejected: a callee declined, or the caller hung up. The user decides which of the two, not the reason."""

    user_id: str
    reason: str
    """The reason in lower case: decline, busy, timeout, any other text, or empty."""


class Accepted(Envelope, frozen=True, kw_only=True, gc=False):
    """call.accepted, or call.session_participant_joined: a user who is in the call has answered it."""

    user_id: str
    participant_id: str = ""
    """Which participant joined (see Participant.id)."""


class Left(Envelope, frozen=True, kw_only=True, gc=False):
    """call.session_participant_left: a user left the call on one device."""

    user_id: str
    participant_id: str


class Removed(Envelope, frozen=True, kw_only=True, gc=False):
    """call.member_removed, call.blocked_user or call.kicked_user: these users must not be in the call any more."""

    user_ids: tuple[str, ...]


class Ended(Envelope, frozen=True, kw_only=True, gc=False):
    """call.ended, call.deleted or call.session_ended."""

    only_session: str
    """The session that ended; later rounds of the same call go on. Empty if the whole call ended."""


class UserChanged(Envelope, frozen=True, kw_only=True, gc=False):
    """user.deleted, user.deactivated, user.reactivated or user.updated: about a user and no call."""

    user_id: str
    deactivated_at: Micros | None = None


class Ignored(Envelope, frozen=True, kw_only=True, gc=False):
    """Any other event. Bellhop does nothing for it, but uses its snapshot of the call."""


Event = Ring | Notification | Started | Missed | Rejected | Accepted | Left | Removed | Ended | UserChanged | Ignored
