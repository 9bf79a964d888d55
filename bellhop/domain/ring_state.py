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

    def stamps(self) -> Iterator[tuple[str, Micros]]:
        """Name what the answer says as stamps of the call (bellhop/domain/call.py)."""
        yield from ((Stamp.ACCEPTED + user, at) for user, at in self.accepted.items())
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
    """Read the answer to GET …/call/<type>/<id>. A user who takes part in the session has answered."""
    call = nested(answer, "call")
    session = nested(call, "session")
    creator = identifier(nested(call, "created_by").get("id"))
    joined = {user: at for user, at in _participants(session.get("participants")) if user != creator}
    return RingState(
        session_id=identifier(session.get("id")),
        accepted=joined | _stamps(nested(session, "accepted_by")),
        rejected=_stamps(nested(session, "rejected_by")),
        missed=_stamps(nested(session, "missed_by")),
        ended_at=timestamp_us(call.get("ended_at")),
        session_ended_at=timestamp_us(session.get("ended_at")),
    )


def _stamps(by_user: JsonObject) -> dict[str, Micros]:
    stamps = [(identifier(user), timestamp_us(at)) for user, at in list(by_user.items())[:MAX_USERS]]
    return {user: at_us for user, at_us in stamps if user and at_us is not None}


def _participants(participants: Any) -> Iterator[tuple[str, Micros]]:
    for participant in participants[:MAX_USERS] if isinstance(participants, list) else ():
        if isinstance(participant, dict):
            user = identifier(nested(participant, "user").get("id"))
            joined_at = timestamp_us(participant.get("joined_at"))
            if user and joined_at is not None:
                yield user, joined_at
