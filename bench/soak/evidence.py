"""Compares one call's ring with what its phone got and what Bellhop says about it. Pure."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from bellhop.domain.call import NOTICE_DUE, Standing
from bellhop.domain.outcomes import NOT_KNOWN, Outcome
from bellhop.domain.push import PushKind
from bellhop.explain.rounds import RoundLog
from bellhop.explain.verdict import UserVerdict, user_verdict
from bellhop.trail import PushAttempted, UserSettled, WebhookReceived
from bench.soak.phones import PhonePush
from bench.soak.poster import CallRecord

CLEAR_S = 5.0
"""A ring is lost only if at least so much of its window was without a fault."""
AFTER_END_S = 0.25
"""The oldest that the fence's permission may be when a push is sent."""
TURNS = 3
"""So many turns of the stand-ins' event loop a push needs from the network to its time of arrival."""
JUST_BEFORE_S = 2.0
"""What Redis got within this time before it was killed, it may have lost."""
NEAR_S = 2.0
"""An end that is taken so close to the deadline, or after it, may lose against it."""
STANDING_OF = {
    "accept": {Standing.ANSWERED},
    "decline": {Standing.DECLINED},
    "cancel": {Standing.CANCELLED},
    "end": {Standing.ENDED},
    "": {Standing.NO_ANSWER, Standing.MISSED},
}
END_TYPES = {"call.accepted", "call.rejected", "call.ended"}
MAY_HAVE_RUNG = NOT_KNOWN | {Outcome.ACCEPTED}
FAILURES = ("lost", "untold", "told wrongly", "doubling untold", "after the end")
"""Words that must be true of no ring."""
BY_REDIS = "lost by Redis"
"""The word for what an unreplicated Redis lost."""


@dataclass(frozen=True)
class Evidence:
    """All that is known of one call."""

    record: CallRecord
    user: str
    rings: Sequence[PhonePush]
    notices: Sequence[PhonePush]
    log: RoundLog | None
    """The round on the call's trail; None without a trail."""
    faults: Sequence[tuple[float, float]]
    lag_at: Callable[[float], float]
    spent_at: float | None = None
    """When the provider called the phone's token invalid."""
    redis_can_lose: bool = False

    @cached_property
    def words(self) -> tuple[str, ...]:
        """What is true of the ring, such as "rung" and "lost". The report counts these words."""
        return tuple(_words(self))

    @cached_property
    def verdict(self) -> UserVerdict | None:
        """What Bellhop tells of the ring."""
        return user_verdict(self.log, self.user) if self.log else None

    @cached_property
    def ended_at(self) -> float:
        """When the web process took the end of the call (unix s); 0 if it did not."""
        events = self.log.milestones if self.log else ()
        ends = [line.at for line in events if isinstance(line, WebhookReceived) and line.type in END_TYPES]
        return min(ends) / 1e6 if ends else 0.0

    @property
    def expected(self) -> bool:
        """Whether the phone must have rung."""
        spent = self.spent_at is not None and self.spent_at < self.window[1]
        return not spent and clear_s(self.window, self.faults) >= CLEAR_S

    @property
    def window(self) -> tuple[float, float]:
        """The time in which the phone could ring."""
        record = self.record
        return record.taken, min(record.end_posted or record.deadline, record.deadline)


def clear_s(window: tuple[float, float], faults: Sequence[tuple[float, float]]) -> float:
    """How much of a window was without a fault, in seconds."""
    at, clear = window[0], 0.0
    for began, ended in sorted(faults):
        clear += max(0.0, min(began, window[1]) - at)
        at = max(at, ended)
    return clear + max(0.0, window[1] - at)


def _words(evidence: Evidence) -> Iterator[str]:
    if not evidence.record.taken:
        yield "not taken"
        if evidence.rings:
            yield "not taken, but rung"
        return
    yield "taken"
    if evidence.redis_can_lose and not (evidence.log and evidence.log.openings):
        yield BY_REDIS
        return
    yield from _ringing(evidence)
    doubted = evidence.redis_can_lose and _was_just_before(evidence)
    for word in [*_truth(evidence), *_doubling(evidence)]:
        yield f"{word}, {BY_REDIS}" if word in FAILURES and doubted else word
    yield from _notices(evidence)


def _was_just_before(evidence: Evidence) -> bool:
    """Whether something about the ring happened right before Redis was killed."""
    times = [push.at for push in evidence.rings] + [evidence.record.taken, evidence.record.end_taken]
    return any(began - JUST_BEFORE_S < at <= ended for began, ended in evidence.faults for at in times)


def _ringing(evidence: Evidence) -> Iterator[str]:
    if evidence.expected:
        yield "expected"
        if not evidence.rings:
            yield "lost"
    if evidence.rings:
        yield "rung"


def _doubling(evidence: Evidence) -> Iterator[str]:
    if len(evidence.rings) > 1:
        yield "twice"
        attempts = evidence.log.of(evidence.user, PushAttempted) if evidence.log else []
        told = [a for a in attempts if a.kind == PushKind.RING and a.outcome in MAY_HAVE_RUNG]
        yield "doubling told" if len(told) >= len(evidence.rings) else "doubling untold"
    late = [push for push in evidence.rings if evidence.ended_at and push.at > evidence.ended_at + AFTER_END_S]
    if any(push.at - TURNS * evidence.lag_at(push.at) > evidence.ended_at + AFTER_END_S for push in late):
        yield "after the end"


def _truth(evidence: Evidence) -> Iterator[str]:
    verdict = evidence.verdict
    if verdict is None or not verdict.final:
        yield "untold"
    if verdict is None:
        return
    not_known = "not known" in verdict.verdict
    if bool(evidence.rings) != verdict.reached and not (not_known and not verdict.reached):
        yield "told wrongly"
    elif not_known and not verdict.reached:
        yield "told: not known"
    if verdict.final and _wrong_standing(evidence, verdict.standing):
        yield "told wrongly"


def _wrong_standing(evidence: Evidence, standing: str) -> bool:
    record = evidence.record
    settled = {line.outcome for line in evidence.log.of(evidence.user, UserSettled)} if evidence.log else set()
    if len(settled) > 1:
        return True
    if record.end and (not record.end_taken or record.end_taken > record.deadline - NEAR_S):
        return False
    return standing not in STANDING_OF[record.end]


def _notices(evidence: Evidence) -> Iterator[str]:
    due = evidence.verdict is not None and evidence.verdict.standing in NOTICE_DUE
    if evidence.notices:
        yield "notice" if due else "wrong notice"
    elif due and evidence.spent_at is None:
        yield "notice missing"
    if len(evidence.notices) > 1:
        replaced = len({push.same for push in evidence.notices}) == 1 and evidence.notices[0].same
        yield "notice doubled, replaced" if replaced else "notice doubled"
