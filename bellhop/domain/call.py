"""The call as a state machine: which recipient's phone still rings? Pure.

A call's state is a set of stamps: the times that Stream gives its events. The set only grows, so the same events give
the same state in any order and however often they are delivered. `bellhop.domain.standing` decides by these stamps.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property

from bellhop.clock import MICROS_PER_SECOND, Micros, Seconds
from bellhop.domain.stamp_history import NO_TIMES, PastStamp, StampTimes, history_field, read_history

CALL_TTL_S = 2 * 3600
"""How long Redis keeps a call after its last event, once every round is closed."""

OPEN_TTL_S = 26 * 3600
"""How long Redis keeps a call with an open round: longer than a missed-call notice is worth sending
(`NOTICE_MAX_AGE_US`), so that an outage of all workers loses no notice."""

STAMP_TOLERANCE_US = 60_000_000
"""A stamp that is further ahead of Redis's clock than this counts as wrong, and is replaced by the time now."""

NOTICE_MAX_AGE_US = 24 * 3600 * MICROS_PER_SECOND
"""Later than this after the ring's deadline, no missed-call notice is sent."""

TAKEN_LATE_US = CALL_TTL_S * MICROS_PER_SECOND - STAMP_TOLERANCE_US
"""An event that arrives later than this after its stamp leads to no missed-call notice.

Redis may have forgotten the call by then, so a captured webhook that is posted again under another id would count as
new.
"""

RING_MS = (5_000, 180_000)
"""The shortest and the longest ring time-out that Stream allows (settings.ring)."""


class Stamp(StrEnum):
    """What can be stamped on a call. A name that ends in a colon is followed by a user id: it is about one user."""

    ENDED = "ended"
    SESSION_ENDED = "ended:"
    """Followed by the session id instead of a user id."""
    ACCEPTED = "a:"
    DECLINED = "d:"
    BUSY = "b:"
    TIMED_OUT = "t:"
    REJECTED = "x:"
    """Rejected, for any reason. It ends the rounds that this user began, and stops this user's ring.

    Only the user's own call.rejected gives the reason. Other events may report the rejection without it.
    """
    MISSED = "m:"
    MISSED_QUIETLY = "q:"
    """MISSED and MISSED_QUIETLY are about one session (see `missed_stamp`). Stream sends call.missed by a timer: the
    same call may ring again by then, in a new session or in the same one (docs/decisions/0006)."""
    ASKED = "asked:"
    """Followed by the session id: when Bellhop asked Stream for the state of the ring, before a notice."""
    NOTICED = "n:"
    """Also about one session: the notice for a call.missed that came before its ring was queued."""
    IN_WORDS = "w:"
    """Declined with a reason of the app's own. Only a user gives one, never a phone by itself."""
    BY_PHONE = "p:"
    """Rejected by a phone because the ring was already over. It does not show what the user wants."""
    REMOVED = "k:"
    """Removed from the call, blocked in it, or kicked out of it."""
    JOINED = "j:"
    LEFT = "l:"
    """The history of JOINED and LEFT has Stream's id of the participant in the place of the session. A user may be in a
    call on several devices, and gets a new id with each reconnection."""


ONLY_IN_HISTORY = (Stamp.IN_WORDS, Stamp.BY_PHONE, Stamp.REMOVED, Stamp.JOINED, Stamp.LEFT)
"""Stamps that have no plain field: older workers would not know them."""

_WITHOUT_HISTORY = (Stamp.ACCEPTED, Stamp.NOTICED)


def has_history(name: str) -> bool:
    """Tell whether each stamp of this name is kept, and not only the latest."""
    return not name.startswith(_WITHOUT_HISTORY)


def history_fields(stamps: Iterable[tuple[str, PastStamp]]) -> tuple[tuple[str, Micros], ...]:
    """Return the fields of the call's hash, with their values, that keep these stamps one by one."""
    return tuple((history_field(name, stamp), stamp.at) for name, stamp in stamps if has_history(name))


class Standing(StrEnum):
    """Where one recipient stands in one round."""

    RINGING = "ringing"
    ANSWERED = "answered"
    DECLINED = "declined"
    MISSED_QUIETLY = "missed_quietly"
    BUSY = "busy"
    TIMED_OUT = "timed_out"
    MISSED = "missed"
    CANCELLED = "cancelled"
    ENDED = "ended"
    REMOVED = "removed"
    NO_ANSWER = "no_answer"
    STALE = "stale"


NOTICE_DUE = frozenset(
    {
        Standing.BUSY,
        Standing.TIMED_OUT,
        Standing.MISSED,
        Standing.CANCELLED,
        Standing.ENDED,
        Standing.NO_ANSWER,
    }
)
"""Standings that lead to a missed-call notice. With any other, the user knows of the call or was removed from it, or no
notice is wanted."""


@dataclass(frozen=True, slots=True)
class RoundState:
    """The facts of a round that decide the standings of its recipients."""

    started_at: Micros
    session_id: str
    deadline: Micros
    recipients: frozenset[str]
    callers: tuple[str, ...] = ()
    """The users whose rejection ends the round for all recipients."""
    ringless: bool = False
    """True if only the round's call.missed has arrived."""
    settled: frozenset[str] = frozenset()
    """The recipients whose final standing is recorded."""
    taken_at: Micros = Micros(0)
    """When the round's event arrived; 0 if that is not known."""
    missed_due: Micros = Micros(0)
    """When Stream sends call.missed, if that is later than the deadline."""


@dataclass(frozen=True)
class CallState:
    """A call as Redis keeps it: its stamps by name, and its rounds."""

    stamps: Mapping[str, Micros] = field(default_factory=dict)
    """The fields of the call's hash: the latest stamp of each name, and its history."""
    rounds: tuple[RoundState, ...] = ()
    version: int = 0
    forgotten_rings: Mapping[tuple[str, str], Micros] = field(default_factory=dict)
    """By session and user, the start of the last forgotten round that rang the user (`bellhop.domain.forgetting`)."""
    forgotten_sessions: frozenset[str] = frozenset()
    """Sessions of forgotten rounds."""
    _times: dict[str, StampTimes] = field(default_factory=dict, init=False, repr=False, compare=False)

    def at_or_after(self, stamp: str, moment: Micros) -> bool:
        """Tell whether the call has this stamp, from `moment` or later."""
        return self.stamps.get(stamp, -1) >= moment

    def all_of(self, name: str) -> list[PastStamp]:
        """Return every known stamp of this name. Older versions wrote the latest alone, without its session."""
        past = self.history.get(name, [])
        last = self.stamps.get(name)
        if last is None or any(stamp.at == last for stamp in past):
            return past
        return [*past, PastStamp(last, "")]

    @cached_property
    def history(self) -> Mapping[str, list[PastStamp]]:
        """The stamps that are kept one by one, by name."""
        return read_history(self.stamps)

    def times(self, name: str) -> StampTimes:
        """Return every known stamp of this name, in the order of time. They are sorted once for each name."""
        times = self._times.get(name)
        if times is None:
            stamps = self.all_of(name)
            times = self._times[name] = StampTimes.of(stamps, self._sessions) if stamps else NO_TIMES
        return times

    @cached_property
    def _sessions(self) -> frozenset[str]:
        return self.forgotten_sessions.union(round_.session_id for round_ in self.rounds)

    @cached_property
    def rings(self) -> Mapping[tuple[str, str], list[Micros]]:
        """When each user was rung in each session, in the order of time."""
        rings = {ring: [started_at] for ring, started_at in self.forgotten_rings.items()}
        for round_ in self.rounds:
            for user in () if round_.ringless else round_.recipients:
                rings.setdefault((round_.session_id, user), []).append(round_.started_at)
        return {ring: sorted(starts) for ring, starts in rings.items()}

    def last_left(self, user: str) -> Micros:
        """Return when the user last left the call; -1 if never."""
        left = self.times(Stamp.LEFT + user).all
        return left[-1] if left else Micros(-1)

    @cached_property
    def last_left_by_anybody(self) -> Micros:
        """When a user last left the call; -1 if nobody ever did."""
        return max((self.last_left(user) for user in self.seen_in_call), default=Micros(-1))

    @cached_property
    def is_occupied(self) -> bool:
        """Whether a user is in the call: on one device, or about to join since the user has answered."""
        return any(self._is_in(user) for user in self.seen_in_call)

    @cached_property
    def seen_in_call(self) -> set[str]:
        """The users who answered, joined or left."""
        kinds = (Stamp.ACCEPTED, Stamp.JOINED, Stamp.LEFT)
        return {name[2:] for name in (*self.stamps, *self.history) if name.startswith(kinds)}

    def _is_in(self, user: str) -> bool:
        if self.stamps.get(Stamp.ACCEPTED + user, Micros(-1)) > self.last_left(user):
            return True
        left = {stamp.session_id for stamp in self.all_of(Stamp.LEFT + user)}
        return any(stamp.session_id not in left for stamp in self.all_of(Stamp.JOINED + user))


def ring_deadline(started_at: Micros, ring_ms: int | None, default_s: Seconds) -> Micros:
    """Return when the phones must stop ringing. The time-out is raised or lowered to what Stream allows (RING_MS)."""
    shortest_ms, longest_ms = RING_MS
    return Micros(started_at + 1000 * min(max(ring_ms or round(default_s * 1000), shortest_ms), longest_ms))


def clamp_stamp(stamp: Micros | None, now: Micros) -> Micros:
    """Return an event's stamp, or `now` if it has none, or if its stamp is more than STAMP_TOLERANCE_US ahead."""
    return now if stamp is None or stamp > now + STAMP_TOLERANCE_US else max(stamp, Micros(0))


def missed_stamp(stamp: Stamp, session_id: str, user: str) -> str:
    """Name the stamp MISSED, MISSED_QUIETLY or NOTICED of a user in one session."""
    return f"{stamp}{session_id}:{user}"
