"""Where a recipient stands in a round, by the stamps of its call. Pure.

bellhop/store/lua/lib/standing.lua decides the same before each push; a property test compares the two.

When a ring is already over, some phones reject it by themselves. So a recipient's rejection counts only if nothing else
had ended the ring before.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile

from bellhop.clock import Micros
from bellhop.domain.call import CallState, RoundState, Stamp, Standing, missed_stamp
from bellhop.domain.stamp_history import last_before, since

NEAR_US = 1_500_000
"""A decline at most this far from a time-out counts as that time-out: when some phones stop ringing by themselves, they
report that their user declined."""

NEVER = Micros(2**62)
_MISSED = frozenset({Standing.MISSED, Standing.MISSED_QUIETLY})


@dataclass(frozen=True, slots=True)
class Decision:
    """Where a recipient stands, and how sure that is."""

    standing: Standing
    final: bool
    """True if no later event of this ring can change the standing. When the round is over, every standing is final."""
    only_missed: bool = False
    """Whether Stream's call.missed is all that ended the ring."""


def standing(call: CallState, round_: RoundState, user: str, now: Micros, over_at: Micros | None = None) -> Standing:
    """Decide where `user` stands in the round at `now`. The first reason that holds decides.

    An answer by another recipient does not stop this user's ring. A call.missed alone does not end a ring if it may be
    about an earlier ring of the call. From `over_at` on, a user without any other reason has not answered; the default
    is the round's deadline.
    """
    return decide(call, round_, user, now, round_.deadline if over_at is None else over_at).standing


def decide(call: CallState, round_: RoundState, user: str, now: Micros, over_at: Micros) -> Decision:
    """Decide where `user` stands in the round at `now`. The round is over at `over_at`."""
    evidence = _Evidence(call, round_, user)
    reasons = list(_reasons(evidence))
    if now >= over_at:
        reasons.append((Standing.NO_ANSWER, True))
    standings = {reason for reason, _ in reasons}
    only_missed = standings <= _MISSED
    if not reasons or (only_missed and evidence.missed_may_be_earlier):
        return Decision(Standing.RINGING, final=False)
    first, final = reasons[0]
    return Decision(first, final, only_missed)


def cancelled_at(call: CallState, round_: RoundState) -> Micros:
    """Return when a caller hung up; NEVER if no caller did."""
    return _Evidence(call, round_, user="").cancelled


def stopped_at(call: CallState, round_: RoundState, user: str) -> Micros:
    """Return when the user's rejection, a caller's or the end of the call stopped the ring; NEVER if none did."""
    evidence = _Evidence(call, round_, user)
    by_user = min(evidence.decline, evidence.busy, evidence.timeout, evidence.unexplained)
    return min(by_user, evidence.cancelled, evidence.ended)


def _reasons(evidence: "_Evidence") -> Iterator[tuple[Standing, bool]]:
    """Yield why the phone must not ring, by the stamps alone, the strongest reason first; and whether it is final.

    A rejection is not final while its reason is not known: the user's own call.rejected may still say
    busy or time-out.
    """
    decline, busy, timeout = evidence.decline, evidence.busy, evidence.timeout
    if evidence.answered:
        yield Standing.ANSWERED, True
    if decline < min(busy, timeout, evidence.ended_by_others):
        yield Standing.DECLINED, True
    if evidence.missed_quietly < NEVER:
        yield Standing.MISSED_QUIETLY, True
    if busy < evidence.ended_by_others:
        yield Standing.BUSY, True
    if timeout < evidence.ended_by_others:
        yield Standing.TIMED_OUT, True
    if evidence.removed < min(evidence.cancelled, evidence.ended, evidence.surely_missed):
        yield Standing.REMOVED, True
    if evidence.missed < NEVER:
        yield Standing.MISSED, True
    if evidence.unexplained < evidence.ended_by_others:
        near = evidence.is_near_the_end(evidence.unexplained)
        yield (Standing.TIMED_OUT if near else Standing.DECLINED), False
    if evidence.cancelled < NEVER:
        yield (Standing.NO_ANSWER if evidence.caller_gave_up else Standing.CANCELLED), True
    if evidence.ended < NEVER:
        yield Standing.ENDED, True


@dataclass(frozen=True)
class _Evidence:
    """What the stamps say about one user in one round. Each time is the first of its kind, or NEVER.

    No property may read all stamps or all rounds: a call may have thousands of each.
    """

    call: CallState
    round: RoundState
    user: str

    @property
    def answered(self) -> bool:
        return self.call.at_or_after(Stamp.ACCEPTED + self.user, self.round.started_at)

    @cached_property
    def missed(self) -> Micros:
        return self._missed_since(Stamp.MISSED, self.round.started_at)

    @cached_property
    def missed_quietly(self) -> Micros:
        return self._missed_since(Stamp.MISSED_QUIETLY, self.round.started_at)

    @cached_property
    def surely_missed(self) -> Micros:
        """The first call.missed that is about this ring, and not about an earlier one."""
        start = self.round.started_at
        earliest = max(start, self.round.deadline) if self.rung_before else start
        return min(self._missed_since(stamp, earliest) for stamp in (Stamp.MISSED, Stamp.MISSED_QUIETLY))

    def _missed_since(self, stamp: Stamp, moment: Micros) -> Micros:
        return self._first_since(missed_stamp(stamp, self.round.session_id, self.user), moment)

    @property
    def missed_may_be_earlier(self) -> bool:
        return self.rung_before and self.surely_missed == NEVER

    @property
    def rung_before(self) -> bool:
        return self._rung_at != NEVER

    @cached_property
    def _rung_at(self) -> Micros:
        """When the user was last rung before, in the same session; NEVER if the user was not."""
        rings = self.call.rings.get((self.round.session_id, self.user), [])
        earlier = bisect_left(rings, self.round.started_at)
        return rings[earlier - 1] if earlier else NEVER

    @cached_property
    def cancelled(self) -> Micros:
        """When a caller hung up: by a rejection, or by leaving a call that nobody else is in."""
        rejected = self._rejected_by_a_caller(Stamp.REJECTED, self.round.started_at)
        return min(rejected, _left_alone(self.call, self.round))

    @property
    def caller_gave_up(self) -> bool:
        """Whether it was the caller's app that ended the ring, since nobody had answered in time."""
        return self._rejected_by_a_caller(Stamp.TIMED_OUT, self.cancelled) == self.cancelled

    def _rejected_by_a_caller(self, reason: Stamp, moment: Micros) -> Micros:
        return min((_first(self._rejections(reason + caller, moment)) for caller in self.round.callers), default=NEVER)

    @cached_property
    def ended(self) -> Micros:
        names = (Stamp.ENDED, Stamp.SESSION_ENDED + self.round.session_id)
        return min(self._first_since(name, self.round.started_at) for name in names)

    @cached_property
    def removed(self) -> Micros:
        return self._first_since(Stamp.REMOVED + self.user, self.round.started_at)

    @cached_property
    def ended_by_others(self) -> Micros:
        """When the ring ended by something other than the user's own rejection."""
        return min(self.cancelled, self.ended, self.surely_missed, self.removed)

    @cached_property
    def busy(self) -> Micros:
        return _first(self._own(Stamp.BUSY))

    @cached_property
    def timeout(self) -> Micros:
        near = (at for at in self._declines if self._is_timeout(at))
        return min(_first(self._own(Stamp.TIMED_OUT)), _first(near))

    @cached_property
    def decline(self) -> Micros:
        return _first(at for at in self._declines if not self._is_timeout(at))

    @cached_property
    def _declines(self) -> list[Micros]:
        return list(takewhile(self._in_time, self._own(Stamp.DECLINED)))

    def _is_timeout(self, at: Micros) -> bool:
        """Tell whether a decline is the phone's own time-out. A phone never gives a reason of the app's own."""
        return _first(self._own(Stamp.IN_WORDS, at)) != at and self.is_near_the_end(at)

    @cached_property
    def unexplained(self) -> Micros:
        """When the user rejected for a reason that is not known: only other events report the rejection."""
        in_time = takewhile(self._in_time, self._own(Stamp.REJECTED))
        return _first(at for at in in_time if not self._is_explained(at))

    def _is_explained(self, at: Micros) -> bool:
        reasons = (Stamp.DECLINED, Stamp.BUSY, Stamp.TIMED_OUT, Stamp.BY_PHONE)
        return any(self._first_since(reason + self.user, at) == at for reason in reasons)

    def is_near_the_end(self, at: Micros) -> bool:
        """Tell whether the moment is close to the user's own time-out or to the round's deadline."""
        timeout = _first(self._own(Stamp.TIMED_OUT, Micros(at - NEAR_US)))
        return timeout <= at + NEAR_US or abs(at - self.round.deadline) <= NEAR_US

    def _in_time(self, at: Micros) -> bool:
        """Tell whether a rejection came while the phone could ring. If the deadline is not known, it is 0."""
        return not self.round.deadline or at <= self.round.deadline + NEAR_US

    def _own(self, reason: Stamp, moment: Micros = Micros(0)) -> Iterator[Micros]:
        """Yield the user's own rejections of this ring since `moment`, for this reason, in the order of time."""
        return self._rejections(reason + self.user, max(moment, self._own_from))

    @cached_property
    def _own_from(self) -> Micros:
        """The start of the time in which the user's rejections are about this ring, and not about an earlier one.

        If the user was rung before in this session, the user's other phones may reject that ring up to NEAR_US after
        the user has rejected it. If it is not known when the user did that, it counts as the start of this ring.
        """
        start = self.round.started_at
        if not self.rung_before:
            return start
        before = last_before(self._parts(Stamp.REJECTED + self.user), start)
        last = start if before is None or before < self._rung_at else before
        return Micros(max(start, last + NEAR_US))

    def _rejections(self, name: str, moment: Micros) -> Iterator[Micros]:
        """Yield the rejections of this ring's session since `moment`, in the order of time."""
        return since(self._parts(name), moment)

    def _parts(self, name: str) -> list[Sequence[Micros]]:
        """Return the stamps of this name that may be about this ring. Those in the session of another round are not."""
        return self.call.times(name).of_ring(self.round.session_id)

    def _first_since(self, name: str, moment: Micros) -> Micros:
        first = self.call.times(name).first_since(moment)
        return NEVER if first is None else first


def _first(moments: Iterator[Micros]) -> Micros:
    """Return the first of the moments, which are in the order of time; NEVER if there is none."""
    return next(moments, NEVER)


def _left_alone(call: CallState, round_: RoundState) -> Micros:
    """Return when the last caller left the call during the round, if nobody else was in it."""
    last = max((call.last_left(caller) for caller in round_.callers), default=Micros(-1))
    if last < round_.started_at or call.last_left_by_anybody > last or call.is_occupied:
        return NEVER
    return last
