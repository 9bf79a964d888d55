"""The state of a call as Stream reports it: inside an event, or in answer to a question. Pure.

It replaces events that were lost. It is read leniently: a field that has the wrong type counts as missing.
"""

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

import msgspec

from bellhop.clock import Micros
from bellhop.domain.call import Stamp, clamp_stamp, missed_stamp
from bellhop.domain.json_fields import identifier, timestamp_us
from bellhop.domain.stamp_history import PastStamp
from bellhop.domain.stream_json import (
    NO_CALL,
    NO_SESSION,
    NO_USER,
    JsonCall,
    JsonEvent,
    JsonParticipant,
    JsonRingState,
    read_leniently,
)

MAX_USERS = 1_000
"""How many users of one list are read."""


class Participant(msgspec.Struct, frozen=True, gc=False):
    """A user who is in a call on one device."""

    id: str
    """Stream's user_session_id. Each reconnection gives a new one. Empty if Stream does not name it."""
    user_id: str
    at: Micros
    """When the participant joined."""


class CallSnapshot(msgspec.Struct, frozen=True, gc=False):
    """Who answered, rejected or missed a call, who is in it, and when it ended. Each time is Stream's (unix µs)."""

    accepted: Mapping[str, Micros] = msgspec.field(default_factory=dict)
    """User id -> when this user answered."""
    rejected: Mapping[str, Micros] = msgspec.field(default_factory=dict)
    """User id -> when this user declined, or when the caller hung up."""
    ended_at: Micros | None = None
    """When the whole call ended."""
    missed: Mapping[str, Micros] = msgspec.field(default_factory=dict)
    """User id -> when this user missed the session."""
    session_ended_at: Micros | None = None
    participants: tuple[Participant, ...] = ()
    """Who is in the call."""
    session_id: str = ""
    """The session that the snapshot is about; empty if the call has none because it has not rung."""

    def without_missed(self) -> "CallSnapshot":
        """Return it without who missed the call.

        As a stamp, that makes a notice due at once, though the user's own call.missed may ask for silence.
        """
        return msgspec.structs.replace(self, missed={})

    def stamps(self, now: Micros) -> Iterator[tuple[str, Micros]]:
        """Yield the stamps of the call (bellhop/domain/call.py) that the snapshot reports at `now`."""
        return ((name, clamp_stamp(at, now)) for name, at in self._stamps())

    def _stamps(self) -> Iterator[tuple[str, Micros]]:
        for participant in self.participants:
            yield Stamp.ACCEPTED + participant.user_id, participant.at
        for user_id, at in self.missed.items():
            yield missed_stamp(Stamp.MISSED, self.session_id, user_id), at
        if self.session_ended_at is not None and self.session_id:
            yield Stamp.SESSION_ENDED + self.session_id, self.session_ended_at
        for user_id, at in self.accepted.items():
            yield Stamp.ACCEPTED + user_id, at
        for user_id, at in self.rejected.items():
            yield Stamp.REJECTED + user_id, at
        if self.ended_at is not None:
            yield Stamp.ENDED, self.ended_at

    def presence(self, now: Micros) -> Iterator[tuple[str, PastStamp]]:
        """Yield a stamp for each participant, reported at `now`. The call keeps these stamps only one by one."""
        for participant in self.participants:
            if participant.id:
                at = clamp_stamp(participant.at, now)
                yield Stamp.JOINED + participant.user_id, PastStamp(at, participant.id)


def read_ring_state(answer: Mapping[str, Any]) -> CallSnapshot:
    """Read the answer to GET …/ring_state."""
    state = read_leniently(JsonRingState, answer)
    return CallSnapshot(
        accepted=_stamps(state.accepted_by),
        rejected=_stamps(state.rejected_by),
        ended_at=timestamp_us(state.call_ended_at),
        missed=_stamps(state.missed_by),
        session_ended_at=timestamp_us(state.session_ended_at),
        session_id=identifier(state.session_id),
    )


def read_call(answer: Mapping[str, Any]) -> CallSnapshot:
    """Read the answer to GET …/call/<type>/<id>."""
    call = read_leniently(JsonEvent, answer).call or NO_CALL
    return read_snapshot(call, identifier((call.session or NO_SESSION).id))


def read_snapshot(call: JsonCall, session_id: str) -> CallSnapshot:
    """Read a call. If its session is not `session_id`, the end of that session and who missed it are left out."""
    session = call.session or NO_SESSION
    of_session = session if identifier(session.id) in ("", session_id) else NO_SESSION
    read = map(_participant, session.participants or ())
    return CallSnapshot(
        accepted=_stamps(session.accepted_by),
        rejected=_stamps(session.rejected_by),
        ended_at=timestamp_us(call.ended_at),
        missed=_stamps(of_session.missed_by),
        session_ended_at=timestamp_us(of_session.ended_at),
        participants=tuple(participant for participant in read if participant)[:MAX_USERS],
        session_id=session_id,
    )


def participant_id(participant: JsonParticipant) -> str:
    """Read the participant's id, which is not the user's: a user may be in a call on several devices."""
    return identifier(participant.user_session_id)


def _participant(entry: JsonParticipant) -> Participant | None:
    """Read a participant who is in the call; None without a user or the time of joining."""
    user_id, at = identifier((entry.user or NO_USER).id), timestamp_us(entry.joined_at)
    return Participant(participant_id(entry), user_id, at) if user_id and at is not None else None


def _stamps(by_user: Mapping[str, str | None] | None) -> dict[str, Micros]:
    if not by_user:
        return {}
    stamps = [(identifier(user_id), timestamp_us(at)) for user_id, at in islice(by_user.items(), MAX_USERS)]
    return {user_id: at_us for user_id, at_us in stamps if user_id and at_us is not None}
