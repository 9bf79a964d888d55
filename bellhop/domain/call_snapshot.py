"""The state of a call as Stream reports it: inside an event, or in answer to a question. Pure.

It replaces events that were lost. It is read leniently: a field that has the wrong type counts as missing.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from bellhop.clock import Micros
from bellhop.domain.call import Stamp, clamp_stamp, missed_stamp
from bellhop.domain.json_fields import JsonObject, identifier, nested, timestamp_us
from bellhop.domain.stamp_history import PastStamp

MAX_USERS = 1_000
"""How many users of one list are read."""


@dataclass(frozen=True, slots=True)
class Participant:
    """A user who is in a call on one device."""

    id: str
    """Stream's user_session_id. Each reconnection gives a new one. Empty if Stream does not name it."""
    user_id: str
    at: Micros
    """When the participant joined."""


@dataclass(frozen=True, slots=True)
class CallSnapshot:
    """Who answered, rejected or missed a call, who is in it, and when it ended. Each time is Stream's (unix µs)."""

    accepted: Mapping[str, Micros] = field(default_factory=dict)
    """User id -> when this user answered."""
    rejected: Mapping[str, Micros] = field(default_factory=dict)
    """User id -> when this user declined, or when the caller hung up."""
    ended_at: Micros | None = None
    """When the whole call ended."""
    missed: Mapping[str, Micros] = field(default_factory=dict)
    """User id -> when this user missed the session."""
    session_ended_at: Micros | None = None
    participants: tuple[Participant, ...] = ()
    """Who is in the call."""
    session_id: str = ""
    """The session that the snapshot is about; empty if the call has none because it has not rung."""

    def stamps(self, now: Micros) -> Iterator[tuple[str, Micros]]:
        """Yield the stamps of the call (bellhop/domain/call.py) that the snapshot reports at `now`."""
        return ((name, clamp_stamp(at, now)) for name, at in self._stamps())

    def _stamps(self) -> Iterator[tuple[str, Micros]]:
        yield from ((Stamp.ACCEPTED + participant.user_id, participant.at) for participant in self.participants)
        yield from ((missed_stamp(Stamp.MISSED, self.session_id, user_id), at) for user_id, at in self.missed.items())
        if self.session_ended_at is not None and self.session_id:
            yield Stamp.SESSION_ENDED + self.session_id, self.session_ended_at
        yield from ((Stamp.ACCEPTED + user_id, at) for user_id, at in self.accepted.items())
        yield from ((Stamp.REJECTED + user_id, at) for user_id, at in self.rejected.items())
        if self.ended_at is not None:
            yield Stamp.ENDED, self.ended_at

    def presence(self, now: Micros) -> Iterator[tuple[str, PastStamp]]:
        """Yield a stamp for each participant, reported at `now`. The call keeps these stamps only one by one."""
        for participant in self.participants:
            if participant.id:
                at = clamp_stamp(participant.at, now)
                yield Stamp.JOINED + participant.user_id, PastStamp(at, participant.id)


def read_ring_state(answer: JsonObject) -> CallSnapshot:
    """Read the answer to GET …/ring_state."""
    return CallSnapshot(
        accepted=_stamps(answer, "accepted_by"),
        rejected=_stamps(answer, "rejected_by"),
        ended_at=timestamp_us(answer.get("call_ended_at")),
        missed=_stamps(answer, "missed_by"),
        session_ended_at=timestamp_us(answer.get("session_ended_at")),
        session_id=identifier(answer.get("session_id")),
    )


def read_call(answer: JsonObject) -> CallSnapshot:
    """Read the answer to GET …/call/<type>/<id>."""
    call = nested(answer, "call")
    return read_snapshot(call, identifier(nested(call, "session").get("id")))


def read_snapshot(call: JsonObject, session_id: str) -> CallSnapshot:
    """Read a call. If its session is not `session_id`, the end of that session and who missed it are left out."""
    session = nested(call, "session")
    of_session = session if identifier(session.get("id")) in ("", session_id) else {}
    participants = session.get("participants")
    read = map(_participant, participants if isinstance(participants, list) else ())
    return CallSnapshot(
        accepted=_stamps(session, "accepted_by"),
        rejected=_stamps(session, "rejected_by"),
        ended_at=timestamp_us(call.get("ended_at")),
        missed=_stamps(of_session, "missed_by"),
        session_ended_at=timestamp_us(of_session.get("ended_at")),
        participants=tuple(participant for participant in read if participant)[:MAX_USERS],
        session_id=session_id,
    )


def participant_id(participant: JsonObject) -> str:
    """Read the participant's id, which is not the user's: a user may be in a call on several devices."""
    return identifier(participant.get("user_session_id"))


def _participant(entry: Any) -> Participant | None:
    """Read a participant who is in the call; None without a user or the time of joining."""
    participant = entry if isinstance(entry, dict) else {}
    user_id, at = identifier(nested(participant, "user").get("id")), timestamp_us(participant.get("joined_at"))
    return Participant(participant_id(participant), user_id, at) if user_id and at is not None else None


def _stamps(holder: JsonObject, name: str) -> dict[str, Micros]:
    by_user = list(nested(holder, name).items())[:MAX_USERS]
    stamps = [(identifier(user_id), timestamp_us(at)) for user_id, at in by_user]
    return {user_id: at_us for user_id, at_us in stamps if user_id and at_us is not None}
