"""The call as a state machine: which recipient's phone still rings? Pure.

A call's state is a set of stamps: the times that Stream gives its events. A stamp only ever grows, so the same events
give the same state in any order and however often they are delivered. bellhop/store/lua/lib/standing.lua decides the
same before each push; a property test compares the two.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from bellhop.clock import MICROS_PER_SECOND, Micros, Seconds

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
    NOTICED = "n:"
    """Also about one session: the notice for a call.missed that came before its ring was queued."""


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
"""Standings that lead to a missed-call notice. With any other, the user knows of the call, or no notice is wanted."""

_MISSED = frozenset({Standing.MISSED, Standing.MISSED_QUIETLY})


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


@dataclass(frozen=True, slots=True)
class CallState:
    """A call as Redis keeps it: its stamps by name, and its rounds."""

    stamps: Mapping[str, Micros] = field(default_factory=dict)
    rounds: tuple[RoundState, ...] = ()
    version: int = 0

    def at_or_after(self, stamp: str, moment: Micros) -> bool:
        """Tell whether the call has this stamp, from `moment` or later."""
        return self.stamps.get(stamp, -1) >= moment


def standing(call: CallState, round_: RoundState, user: str, now: Micros, grace_us: Micros = Micros(0)) -> Standing:
    """Decide where `user` stands in the round at `now`. The first reason that holds decides.

    An answer by another recipient does not stop this user's ring. A call.missed alone does not end a ring if it may be
    about an earlier ring of the call.
    """
    reasons = list(_reasons(call, round_, user))
    if now >= round_.deadline + grace_us:
        reasons.append(Standing.NO_ANSWER)
    if not reasons:
        return Standing.RINGING
    if _MISSED.issuperset(reasons) and _may_be_about_an_earlier_ring(call, round_, user):
        return Standing.RINGING
    return reasons[0]


def _reasons(call: CallState, round_: RoundState, user: str) -> Iterator[Standing]:
    """Yield each reason, by the stamps alone, why the user's phone must not ring; the strongest reason first."""
    session = round_.session_id
    for stamp, reason in (
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
        if call.at_or_after(stamp, round_.started_at):
            yield reason


def _may_be_about_an_earlier_ring(call: CallState, round_: RoundState, user: str) -> bool:
    """Tell whether the call.missed of the round's session may belong to an earlier round of that session."""
    stamps = (missed_stamp(stamp, round_.session_id, user) for stamp in (Stamp.MISSED, Stamp.MISSED_QUIETLY))
    if any(call.at_or_after(stamp, round_.deadline) for stamp in stamps):
        return False
    return any(
        earlier.started_at < round_.started_at
        and earlier.session_id == round_.session_id
        and not earlier.ringless
        and user in earlier.recipients
        for earlier in call.rounds
    )


@dataclass(frozen=True, slots=True)
class Settlement:
    """The final standing of one recipient of one round."""

    started_at: Micros
    """The round's stamp."""
    user: str
    standing: Standing
    notice: bool
    """True if a missed-call notice is due, unless one was already given for this round."""


def settle(call: CallState, now: Micros, grace_us: Micros) -> Iterator[Settlement]:
    """Find the recipients whose standing is final and not recorded yet, the oldest round first.

    Ringless rounds come before all others: if the ring of such a round arrives late, its notice has been given already.
    """
    for round_ in sorted(call.rounds, key=lambda round_: (not round_.ringless, round_.started_at)):
        for user in sorted(round_.recipients - round_.settled):
            result = standing(call, round_, user, now, grace_us)
            if now >= round_.deadline + grace_us or _is_final(call, round_, user, result):
                yield _settlement(round_, user, result, now)


def _is_final(call: CallState, round_: RoundState, user: str, result: Standing) -> bool:
    """Tell whether a standing before the ring's deadline is final: no later event of the ring can change it.

    DECLINED is not final if only another event reported the rejection: the user's own call.rejected may still give busy
    or time-out as the reason.
    """
    if result is Standing.DECLINED:
        return call.at_or_after(Stamp.DECLINED + user, round_.started_at)
    return result is not Standing.RINGING


def _settlement(round_: RoundState, user: str, result: Standing, now: Micros) -> Settlement:
    """Settle a user with this standing, or with STALE if it is too late for the notice that would be due."""
    if result not in NOTICE_DUE:
        return Settlement(round_.started_at, user, result, notice=False)
    taken_late = round_.taken_at > round_.started_at + TAKEN_LATE_US
    if taken_late or now > round_.deadline + NOTICE_MAX_AGE_US:
        return Settlement(round_.started_at, user, Standing.STALE, notice=False)
    return Settlement(round_.started_at, user, result, notice=True)


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
