"""The call as a state machine: who still rings? Stream's own stamps decide, never the order of arrival. Pure.

A call's state is a set of stamps that only ever grow, so any order and any number of deliveries of its events gives
the same state. The Lua in bellhop/store/lua/lib/standing.lua decides the same before each push; a property test holds
the two together.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

CALL_TTL_S = 2 * 3600
"""How long Redis keeps a call after the last event about it, once every round is closed."""

OPEN_TTL_S = 26 * 3600
"""How long it keeps one with an open round: through an outage of all workers, as long as a notice is worth giving."""

STAMP_TOLERANCE_US = 60_000_000
"""A stamp further ahead of our clock than this is taken for wrong, and for now."""

NOTICE_MAX_AGE_US = 24 * 3600 * 1_000_000
"""After that long nobody wants to hear about a missed call any more."""

TAKEN_LATE_US = CALL_TTL_S * 1_000_000 - STAMP_TOLERANCE_US
"""An event that is taken in so long after its stamp tells nobody of a missed call: what was known of the call may be
forgotten, and somebody may be posting again, under another webhook id, what they captured."""

RING_MS = (5_000, 180_000)
"""What Stream allows for a ring's time-out (settings.ring)."""


class Stamp(StrEnum):
    """What may be stamped on a call: for the whole call, or (with a user id behind it) for one user."""

    ENDED = "ended"
    SESSION_ENDED = "ended:"
    ACCEPTED = "a:"
    DECLINED = "d:"
    BUSY = "b:"
    TIMED_OUT = "t:"
    REJECTED = "x:"
    """For whatever reason. It ends the rounds that this user began; their own standing follows the reason, which only
    their call.rejected gives: that another event tells of it is enough to ring them no more."""
    MISSED = "m:"
    MISSED_QUIETLY = "q:"
    """These in one session only (see `missed_mark`): Stream sends them on a timer, maybe when the same call
    rings again already, in a new session or in the same (docs/decisions/0006)."""
    NOTICED = "n:"
    """The same: a call.missed that came without its ring has had its notice."""


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
"""Who is told about the call they missed: not who answered, declined, or whom Stream asks us not to tell."""


@dataclass(frozen=True, slots=True)
class RoundState:
    """A round as the watchdog sees it."""

    started_at: int
    session_id: str
    deadline: int
    recipients: frozenset[str]
    callers: tuple[str, ...] = ()
    """Whose rejection ends the round for everybody."""
    ringless: bool = False
    """Known from its call.missed alone."""
    settled: frozenset[str] = frozenset()
    """Who already has a final outcome."""
    taken_at: int = 0
    """When its event was taken in (unix µs); 0 if that is not known."""


@dataclass(frozen=True, slots=True)
class CallState:
    """Everything known of a call: stamps (unix µs) by mark, and its rounds."""

    stamps: Mapping[str, int] = field(default_factory=dict)
    rounds: tuple[RoundState, ...] = ()
    version: int = 0

    def since(self, mark: str, started_at: int) -> bool:
        """Tell whether `mark` was made in the round that started then, or later."""
        return self.stamps.get(mark, -1) >= started_at


def standing(call: CallState, round_: RoundState, user: str, now: int, grace_us: int = 0) -> Standing:
    """Where `user` stands in the round at `now`. The first reason that holds decides.

    An answer by another callee stops nobody else's ring; a rejection behind the same user's answer is none. A
    call.missed alone does not end a ring when it may be about an earlier one.
    """
    found = list(_reasons(call, round_, user))
    if now >= round_.deadline + grace_us:
        found.append(Standing.NO_ANSWER)
    if found and _MISSED.issuperset(found) and _may_be_of_an_earlier_ring(call, round_, user):
        return Standing.RINGING
    return found[0] if found else Standing.RINGING


_MISSED = frozenset({Standing.MISSED, Standing.MISSED_QUIETLY})


def _reasons(call: CallState, round_: RoundState, user: str) -> Iterator[Standing]:
    """Why the user's phone should not ring, as the stamps say; the most telling first."""
    start, session = round_.started_at, round_.session_id
    for mark, result in (
        (Stamp.ACCEPTED + user, Standing.ANSWERED),
        (Stamp.DECLINED + user, Standing.DECLINED),
        (missed_stamp(Stamp.MISSED_QUIETLY, session, user), Standing.MISSED_QUIETLY),
        (Stamp.BUSY + user, Standing.BUSY),
        (Stamp.TIMED_OUT + user, Standing.TIMED_OUT),
        (missed_stamp(Stamp.MISSED, session, user), Standing.MISSED),
        (Stamp.REJECTED + user, Standing.DECLINED),
        *((Stamp.REJECTED + caller, Standing.CANCELLED) for caller in round_.callers),
        (Stamp.ENDED, Standing.ENDED),
        (Stamp.SESSION_ENDED + session, Standing.ENDED),
    ):
        if call.since(mark, start):
            yield result


def _may_be_of_an_earlier_ring(call: CallState, round_: RoundState, user: str) -> bool:
    """Whether a call.missed of the round's session may be about an earlier ring, and this one goes on."""
    marks = (missed_stamp(mark, round_.session_id, user) for mark in (Stamp.MISSED, Stamp.MISSED_QUIETLY))
    return not any(call.since(mark, round_.deadline) for mark in marks) and any(
        one.started_at < round_.started_at
        and one.session_id == round_.session_id
        and not one.ringless
        and user in one.recipients
        for one in call.rounds
    )


@dataclass(frozen=True, slots=True)
class Settlement:
    """The final outcome of one recipient of one round."""

    started_at: int
    user: str
    standing: Standing
    notice: bool
    """A missed-call notice is due, unless one was already given for this round."""


def settle(call: CallState, now: int, grace_us: int) -> Iterator[Settlement]:
    """Find the recipients whose outcome is final and not yet recorded, the oldest round's first.

    A round known from its call.missed comes before the ring that arrives after it, whose notice it has given.
    """
    for round_ in sorted(call.rounds, key=lambda one: (not one.ringless, one.started_at)):
        for user in sorted(round_.recipients - round_.settled):
            where = standing(call, round_, user, now, grace_us)
            # A rejection whose own event has not come: that may yet call it busy or a time-out.
            told_why = where is not Standing.DECLINED or call.since(Stamp.DECLINED + user, round_.started_at)
            if now < round_.deadline + grace_us and (where is Standing.RINGING or not told_why):
                continue
            notice = where in NOTICE_DUE
            taken_late = round_.taken_at > round_.started_at + TAKEN_LATE_US
            if notice and (taken_late or now > round_.deadline + NOTICE_MAX_AGE_US):
                where, notice = Standing.STALE, False
            yield Settlement(round_.started_at, user, where, notice)


def ring_deadline(started_at: int, ring_ms: int | None, default_s: float) -> int:
    """The moment (unix µs) from which nothing rings any more, inside what Stream allows."""
    shortest, longest = RING_MS
    return started_at + 1000 * min(max(ring_ms or round(default_s * 1000), shortest), longest)


def clamp_stamp(stamp: int | None, now: int) -> int:
    """An event's stamp, or `now` when there is none or it lies in the future (all unix µs)."""
    return now if stamp is None or stamp > now + STAMP_TOLERANCE_US else max(stamp, 0)


def missed_stamp(mark: Stamp, session_id: str, user: str) -> str:
    """Name MISSED, MISSED_QUIETLY or NOTICED of a user in a session."""
    return f"{mark}{session_id}:{user}"
