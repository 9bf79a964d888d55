"""Where a recipient stands in a round, by the stamps of its call. Pure.

bellhop/store/lua/lib/standing.lua decides the same before each push; a property test compares the two.

Phones reject by themselves when a ring is already over. So a recipient's rejection counts only if nothing else had
ended the ring before.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from bellhop.clock import Micros
from bellhop.domain.call import CallState, RoundState, Stamp, Standing, missed_stamp
from bellhop.domain.stamp_history import PastStamp

NEAR_US = 1_500_000
"""A phone that stops ringing by itself may say that its user declined. So close to a time-out, that is a time-out."""

NEVER = Micros(2**62)
_MISSED = frozenset({Standing.MISSED, Standing.MISSED_QUIETLY})


@dataclass(frozen=True, slots=True)
class Decision:
    """Where a recipient stands, and how sure that is."""

    standing: Standing
    final: bool
    """Whether no later event of this ring can change the standing, before the ring's time is over."""
    only_missed: bool = False
    """Whether Stream's call.missed is all that ended the ring."""


def standing(call: CallState, round_: RoundState, user: str, now: Micros, over_at: Micros | None = None) -> Standing:
    """Decide where `user` stands in the round at `now`. The first reason that holds decides.

    An answer by another recipient does not stop this user's ring. A call.missed alone does not end a ring if it may be
    about an earlier ring of the call. Nobody has answered at `over_at`; without it, at the round's deadline.
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


def _reasons(evidence: "_Evidence") -> Iterator[tuple[Standing, bool]]:
    """Find why the user's phone must not ring, by the stamps alone, the strongest reason first; and if it is final.

    A rejection whose reason is not known, or not known yet, is not final: the user's own call.rejected may still say
    busy or time-out.
    """
    decline, busy, timeout = evidence.decline, evidence.busy, evidence.timeout
    if evidence.answered:
        yield Standing.ANSWERED, True
    if decline < min(busy, timeout, evidence.ended_by_others):
        yield Standing.DECLINED, True
    if evidence.missed_quietly:
        yield Standing.MISSED_QUIETLY, True
    if busy < evidence.ended_by_others:
        yield Standing.BUSY, True
    if timeout < evidence.ended_by_others:
        yield Standing.TIMED_OUT, True
    if evidence.removed < min(evidence.cancelled, evidence.ended, evidence.surely_missed):
        yield Standing.REMOVED, True
    if evidence.missed:
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
    """What the stamps say of one user in one round. Each time is the first of its kind, NEVER if there is none."""

    call: CallState
    round: RoundState
    user: str

    @property
    def answered(self) -> bool:
        return self.call.at_or_after(Stamp.ACCEPTED + self.user, self.round.started_at)

    @cached_property
    def missed(self) -> list[Micros]:
        return self._since(missed_stamp(Stamp.MISSED, self.round.session_id, self.user))

    @cached_property
    def missed_quietly(self) -> list[Micros]:
        return self._since(missed_stamp(Stamp.MISSED_QUIETLY, self.round.session_id, self.user))

    @cached_property
    def surely_missed(self) -> Micros:
        """The first call.missed that is about this ring, and not about an earlier one."""
        earliest = self.round.deadline if self.rung_before else self.round.started_at
        return _first(at for at in (*self.missed, *self.missed_quietly) if at >= earliest)

    @property
    def missed_may_be_earlier(self) -> bool:
        return self.rung_before and self.surely_missed == NEVER

    @property
    def rung_before(self) -> bool:
        return self._rung_at != NEVER

    @cached_property
    def _rung_at(self) -> Micros:
        """When the last earlier ring of the same session that rang the user too began; NEVER if there was none."""
        earlier = (
            other.started_at
            for other in self.call.rounds
            if other.started_at < self.round.started_at
            and other.session_id == self.round.session_id
            and not other.ringless
            and self.user in other.recipients
        )
        return max(earlier, default=NEVER)

    @cached_property
    def cancelled(self) -> Micros:
        """When a caller hung up: by a rejection, or by leaving a call that nobody else is in."""
        return min(self._cancelled_by_rejection, _left_alone(self.call, self.round))

    @cached_property
    def _cancelled_by_rejection(self) -> Micros:
        return _first(at for caller in self.round.callers for at in self._rejections(Stamp.REJECTED + caller))

    @property
    def caller_gave_up(self) -> bool:
        """Whether it was the caller's app that ended the ring, since nobody had answered in time."""
        gave_up = (at for caller in self.round.callers for at in self._rejections(Stamp.TIMED_OUT + caller))
        return self.cancelled in gave_up

    @cached_property
    def ended(self) -> Micros:
        session_ended = self._since(Stamp.SESSION_ENDED + self.round.session_id)
        return _first((*self._since(Stamp.ENDED), *session_ended))

    @cached_property
    def removed(self) -> Micros:
        return _first(self._since(Stamp.REMOVED + self.user))

    @cached_property
    def ended_by_others(self) -> Micros:
        """When the ring ended by something other than the user's own rejection."""
        return min(self.cancelled, self.ended, self.surely_missed, self.removed)

    @cached_property
    def busy(self) -> Micros:
        return _first(self._own(Stamp.BUSY))

    @cached_property
    def _timeouts(self) -> list[Micros]:
        return self._own(Stamp.TIMED_OUT)

    @cached_property
    def timeout(self) -> Micros:
        near = (at for at in self._declines if self._is_timeout(at))
        return _first((*self._timeouts, *near))

    @cached_property
    def decline(self) -> Micros:
        return _first(at for at in self._declines if not self._is_timeout(at))

    @cached_property
    def _declines(self) -> list[Micros]:
        return [at for at in self._own(Stamp.DECLINED) if self._in_time(at)]

    def _is_timeout(self, at: Micros) -> bool:
        """Tell whether a decline is the phone's own time-out. A phone never gives a reason of the app's own."""
        return at not in self._in_words and self.is_near_the_end(at)

    @cached_property
    def _in_words(self) -> list[Micros]:
        return self._own(Stamp.IN_WORDS)

    @cached_property
    def unexplained(self) -> Micros:
        """When the user rejected, as only other events tell: the reason is not known."""
        reasons = (Stamp.DECLINED, Stamp.BUSY, Stamp.TIMED_OUT, Stamp.BY_PHONE)
        explained = {stamp.at for reason in reasons for stamp in self.call.all_of(reason + self.user)}
        return _first(at for at in self._own(Stamp.REJECTED) if at not in explained and self._in_time(at))

    def is_near_the_end(self, at: Micros) -> bool:
        """Tell whether the moment is close to the user's own time-out or to the round's deadline."""
        return any(abs(at - end) <= NEAR_US for end in (*self._timeouts, self.round.deadline))

    def _in_time(self, at: Micros) -> bool:
        """Tell whether a rejection came while the phone could ring. A deadline of 0 is not known."""
        return not self.round.deadline or at <= self.round.deadline + NEAR_US

    def _own(self, reason: Stamp) -> list[Micros]:
        """Return the user's own rejections of this ring, for this reason."""
        return [at for at in self._rejections(reason + self.user) if at >= self._own_from]

    @cached_property
    def _own_from(self) -> Micros:
        """From when on the user's rejections are about this ring, and not the late end of an earlier one.

        If the user was rung before in this session, phones may still reject that ring: shortly after the user has
        rejected it. If that is not known, it may be in the first moment of this ring.
        """
        start = self.round.started_at
        if not self.rung_before:
            return start
        before = (at for at in self._rejections(Stamp.REJECTED + self.user, self._rung_at) if at < start)
        return Micros(max(start, max(before, default=start) + NEAR_US))

    def _rejections(self, name: str, since: Micros | None = None) -> list[Micros]:
        """Return the rejections of this ring's session, `since` the ring began or another moment."""
        earliest = self.round.started_at if since is None else since
        return [stamp.at for stamp in self.call.all_of(name) if stamp.at >= earliest and not self._is_elsewhere(stamp)]

    def _is_elsewhere(self, stamp: PastStamp) -> bool:
        """Tell whether a rejection is about another ring: its session is that of another round."""
        own, session = self.round.session_id, stamp.session_id
        if not own or not session or own == session:
            return False
        return any(round_.session_id == session for round_ in self.call.rounds)

    def _since(self, name: str) -> list[Micros]:
        return [stamp.at for stamp in self.call.all_of(name) if stamp.at >= self.round.started_at]


def _first(moments: Iterable[Micros]) -> Micros:
    return min(moments, default=NEVER)


def _left_alone(call: CallState, round_: RoundState) -> Micros:
    """Return when the last caller left the call during the round, if nobody else was in it."""
    last = max((_last_left(call, caller) for caller in round_.callers), default=Micros(-1))
    if last < round_.started_at:
        return NEVER
    kinds = (Stamp.ACCEPTED, Stamp.JOINED, Stamp.LEFT)
    users = {name[2:] for name in (*call.stamps, *call.history) if name.startswith(kinds)}
    return NEVER if any(_last_left(call, user) > last or _is_in(call, user) for user in users) else last


def _last_left(call: CallState, user: str) -> Micros:
    return max((stamp.at for stamp in call.all_of(Stamp.LEFT + user)), default=Micros(-1))


def _is_in(call: CallState, user: str) -> bool:
    """Tell whether a user is in the call: on one device, or about to join since the user has answered."""
    if call.stamps.get(Stamp.ACCEPTED + user, Micros(-1)) > _last_left(call, user):
        return True
    left = {stamp.session_id for stamp in call.all_of(Stamp.LEFT + user)}
    return any(stamp.session_id not in left for stamp in call.all_of(Stamp.JOINED + user))
