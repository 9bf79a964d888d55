"""What Stream answers when Bellhop asks for the state of a ring, as stamps of its call. Pure.

Stream has two answers: the state of the ring, and the whole call. Both are read leniently: a field that is missing or
has the wrong type says nothing.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from bellhop.clock import Micros
from bellhop.domain.call import Stamp, missed_stamp
from bellhop.domain.json_fields import JsonObject, identifier, nested, timestamp_us
from bellhop.domain.stamp_history import PastStamp

MAX_USERS = 1_000
"""Users of one list that are read."""


@dataclass(frozen=True, slots=True)
class RingState:
    """Who answered, rejected or missed a ring, and when it ended. Each time is Stream's (unix µs)."""

    session_id: str = ""
    """The session that the answer is about. Empty if the call has not rung."""
    accepted: Mapping[str, Micros] = field(default_factory=dict)
    """By user id, as the next two."""
    rejected: Mapping[str, Micros] = field(default_factory=dict)
    missed: Mapping[str, Micros] = field(default_factory=dict)
    ended_at: Micros | None = None
    """When the whole call ended."""
    session_ended_at: Micros | None = None
    present: Mapping[str, tuple[str, Micros]] = field(default_factory=dict)
    """Who is in the call: user id and time of joining, by Stream's id of the participant."""

    def presence(self) -> Iterator[tuple[str, PastStamp]]:
        """Name who is in the call as stamps that the call keeps one by one."""
        for participant, (user, at) in self.present.items():
            yield Stamp.JOINED + user, PastStamp(at, participant)

    def stamps(self) -> Iterator[tuple[str, Micros]]:
        """Name what the answer says as stamps of the call (bellhop/domain/call.py)."""
        yield from ((Stamp.ACCEPTED + user, at) for user, at in (*self.present.values(), *self.accepted.items()))
        yield from ((Stamp.REJECTED + user, at) for user, at in self.rejected.items())
        if self.session_id:  # a miss is about one session
            for user, at in self.missed.items():
                yield missed_stamp(Stamp.MISSED, self.session_id, user), at
        if self.ended_at is not None:
            yield Stamp.ENDED, self.ended_at
        if self.session_id and self.session_ended_at is not None:
            yield Stamp.SESSION_ENDED + self.session_id, self.session_ended_at


def read_ring_state(answer: JsonObject) -> RingState:
    """Read the answer to GET …/ring_state."""
    return RingState(
        session_id=identifier(answer.get("session_id")),
        accepted=_stamps(nested(answer, "accepted_by")),
        rejected=_stamps(nested(answer, "rejected_by")),
        missed=_stamps(nested(answer, "missed_by")),
        ended_at=timestamp_us(answer.get("call_ended_at")),
        session_ended_at=timestamp_us(answer.get("session_ended_at")),
    )


def read_call(answer: JsonObject) -> RingState:
    """Read the answer to GET …/call/<type>/<id>."""
    call = nested(answer, "call")
    session = nested(call, "session")
    return RingState(
        session_id=identifier(session.get("id")),
        accepted=_stamps(nested(session, "accepted_by")),
        rejected=_stamps(nested(session, "rejected_by")),
        missed=_stamps(nested(session, "missed_by")),
        ended_at=timestamp_us(call.get("ended_at")),
        session_ended_at=timestamp_us(session.get("ended_at")),
        present=dict(_participants(session.get("participants"))),
    )


def _stamps(by_user: JsonObject) -> dict[str, Micros]:
    stamps = [(identifier(user), timestamp_us(at)) for user, at in list(by_user.items())[:MAX_USERS]]
    return {user: at_us for user, at_us in stamps if user and at_us is not None}


def _participants(entries: Any) -> Iterator[tuple[str, tuple[str, Micros]]]:
    for entry in entries[:MAX_USERS] if isinstance(entries, list) else ():
        participant = entry if isinstance(entry, dict) else {}
        participant_id = identifier(participant.get("user_session_id"))
        user, joined_at = identifier(nested(participant, "user").get("id")), timestamp_us(participant.get("joined_at"))
        if participant_id and user and joined_at is not None:
            yield participant_id, (user, joined_at)
