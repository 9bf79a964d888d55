"""A call's trail, sorted into its rounds. Pure.

A trail may be incomplete: the oldest lines of a long trail are removed.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, TypeVar, cast

import msgspec

from bellhop.clock import Micros
from bellhop.domain import round_of_test
from bellhop.domain.call import RoundState, Stamp, Standing, missed_stamp
from bellhop.domain.device import Provider
from bellhop.domain.outcomes import NOT_KNOWN, Outcome
from bellhop.domain.push import FURTHER_RINGS, QUIET, STARTED, PushKind
from bellhop.domain.standing import NEVER, cancelled_at, standing
from bellhop.explain.lazy import Lazy
from bellhop.explain.webhooks import (
    ANSWERS,
    ENDS,
    LEFT,
    OPENERS,
    REMOVALS,
    RoundWebhooks,
    TypeAndUser,
    earliest,
    opens_started,
)
from bellhop.explain.whole_trail import ABOUT_DEVICE, ABOUT_USER, NOTHING_TODAY, UNKNOWN_TIME, WholeTrail, by_round
from bellhop.trail import (
    LENGTH,
    JobPickedUp,
    Milestone,
    PhoneRang,
    PhoneReported,
    PushAttempted,
    PushMilestone,
    PushSkipped,
    QuestionOutcome,
    StreamAsked,
    UserSettled,
    WebhookReceived,
    read_learned,
)

BEFORE_ANY_DEADLINE = Micros(-1)
OWN_REJECTIONS: frozenset[str] = frozenset({Standing.DECLINED, Standing.BUSY, Standing.TIMED_OUT})
"""The standings of a user who rejected the call. The word of an outcome is the same."""

FROM_A_PHONE = (PhoneRang, PhoneReported)
"""Milestones that a phone reported."""

M = TypeVar("M", bound=Milestone)


@dataclass(frozen=True)
class RoundLog:
    """The milestones of one round, in the order of their time."""

    started_at: Micros
    """The round's stamp (unix µs); 0 for milestones that belong to no round."""
    milestones: Sequence[Milestone]
    trail: WholeTrail
    """All rounds of the call."""
    entries: dict[int, Any] = field(default_factory=dict, compare=False)
    """The entry of the timeline for each milestone, by its `id()`. `bellhop.explain.timeline` adds them."""

    @Lazy
    def openings(self) -> list[WebhookReceived]:
        """The webhooks that began the round: usually one."""
        return [event for event in self.webhooks.received if event.type in OPENERS or opens_started(event)]

    @Lazy
    def calls_nobody(self) -> bool:
        """Whether a bound turned the round away."""
        return bool(self.openings) and all(opening.calls_nobody for opening in self.openings)

    @Lazy
    def kind(self) -> PushKind | None:
        """Which push the round is for; missed if only its call.missed is known."""
        opened: set[str] = {(OPENERS | STARTED)[opening.type] for opening in self.openings}
        kinds = opened or {push.kind for push in self.milestones if isinstance(push, ABOUT_DEVICE)}
        of_a_ring = FURTHER_RINGS | {PushKind.RING_OVER}
        if kinds & of_a_ring:
            kinds = kinds - of_a_ring | {PushKind.RING}
        known = next((kind for kind in PushKind if kind in kinds), None)
        about_users = known or any(isinstance(milestone, (*ABOUT_USER, *FROM_A_PHONE)) for milestone in self.milestones)
        return known or (PushKind.MISSED if about_users else None)

    @Lazy
    def is_test(self) -> bool:
        """Whether the round is a test ring."""
        return any(opening.type == round_of_test.EVENT for opening in self.openings)

    @Lazy
    def callers(self) -> tuple[str, ...]:
        """The user who calls, then the others whose rejection ends the ring."""
        return tuple(dict.fromkeys(name for opening in self.openings for name in opening.callers))

    @Lazy
    def until(self) -> Micros:
        """When the phones stop ringing (unix µs); 0 if that is not known."""
        return max((opening.until for opening in self.openings if opening.until), default=Micros(0))

    @Lazy
    def is_untold(self) -> bool:
        """Whether Stream reported nothing about the call since it rang: neither by webhooks, nor when Bellhop asked."""
        is_told = any(line.outcome == QuestionOutcome.ANSWERED for line in self.all_of(StreamAsked))
        return self.kind is PushKind.RING and self.trail.rings_only and not is_told

    @Lazy
    def time_is_over(self) -> bool:
        """Whether the time to ring is over. Since then, nothing can ring a phone any more."""
        return self.kind is PushKind.RING and 0 < self.until < self.trail.now - self.redis_ahead_us

    @Lazy
    def has_started(self) -> bool:
        """Whether a worker has begun with the round."""
        return any(isinstance(line, (JobPickedUp, PushMilestone, UserSettled)) for line in self.milestones)

    @Lazy
    def redis_ahead_us(self) -> int:
        """How far Redis's clock was ahead of Stream's, as it was known when the round began."""
        webhooks = self.openings or self.webhooks.received
        return (webhooks[0].redis_ahead_us or 0) if webhooks else 0

    def us_since_start(self, milestone: Milestone) -> Micros:
        """Return the time from the round's start to a milestone. The start is by Stream's clock."""
        return Micros(milestone.at - self.redis_ahead_us - self.started_at)

    @Lazy
    def users(self) -> tuple[str, ...]:
        """The recipients of the round that the trail names."""
        named = [name for opening in self.openings for name in opening.users]
        if self.kind is PushKind.MISSED:
            named += [name for missed in self.webhooks.of("call.missed") for name in missed.users]
        named += [milestone.user for milestone in self.milestones if isinstance(milestone, ABOUT_USER)]
        return tuple(name for name in dict.fromkeys(named) if name)

    @Lazy
    def unnamed(self) -> int:
        """How many recipients the trail does not name."""
        return max((opening.more or 0 for opening in self.openings), default=0)

    @Lazy
    def labels(self) -> Mapping[str, str]:
        """The name of each device, by its key."""
        return {line.device: line.label for line in self.milestones if isinstance(line, ABOUT_DEVICE) and line.label}

    @Lazy
    def owners(self) -> Mapping[str, str]:
        """The user of each device, by its key."""
        return {line.device: line.user for line in self.milestones if isinstance(line, ABOUT_DEVICE) and line.device}

    @Lazy
    def state(self) -> RoundState:
        """The round as `bellhop.domain.call` sees it. A caller who is rung too cannot cancel the ring."""
        rung = {name for opening in self.openings for name in opening.users}
        return RoundState(
            started_at=self.started_at,
            session_id=next((opening.session for opening in self.openings if opening.session), ""),
            deadline=self.until,
            recipients=frozenset(self.users),
            callers=tuple(name for name in self.callers if name not in rung),
            ringless=self.kind is PushKind.MISSED,
        )

    def standing_of(self, user: str) -> Standing:
        """Return a user's standing, decided from the webhooks alone; RINGING if no webhook has ended the ring.

        `bellhop.domain.standing` decides, but without a deadline. The standing in Redis may be another one: a trail
        does not tell whether a call.missed was quiet, and has no snapshots of the call.
        """
        return standing(self.trail.call, self.state, user, BEFORE_ANY_DEADLINE)

    def latest_standing(self, user: str) -> str:
        """Return a user's recorded standing; if there is none yet, the one by the webhooks. Empty while it rings."""
        if settled := self.of(user, UserSettled):
            return settled[-1].outcome
        standing = self.standing_of(user)
        return "" if standing is Standing.RINGING else standing

    def user_of(self, milestone: Milestone) -> str:
        """The user whom a milestone is about. A phone's receipt names the device alone."""
        user: str = getattr(milestone, "user", "")
        if not user and type(milestone) in FROM_A_PHONE:
            return self.owners.get(getattr(milestone, "device", ""), "")
        return user

    def of(self, user: str, kind: type[M]) -> Sequence[M]:
        """The milestones of one kind that are about a user: PushMilestone, or a kind that has no kinds of its own."""
        of_user: Any = self._by_user.get((user, kind), ())
        return cast(Sequence[M], of_user)

    def all_of(self, kind: type[M]) -> Sequence[M]:
        """The milestones of one kind, which has no kinds of its own."""
        of_kind: Any = self._by_kind.get(kind, ())
        return cast(Sequence[M], of_kind)

    @Lazy
    def _by_kind(self) -> Mapping[type[Milestone], Sequence[Milestone]]:
        by_kind: dict[type[Milestone], list[Milestone]] = {}
        for milestone in self.milestones:
            by_kind.setdefault(type(milestone), []).append(milestone)
        return by_kind

    @Lazy
    def webhooks(self) -> RoundWebhooks:
        """The webhooks of the round."""
        return RoundWebhooks(self.all_of(WebhookReceived))

    @Lazy
    def first_picked_up(self) -> Mapping[str, JobPickedUp]:
        """The first time that a worker began with each kind of job."""
        return {line.job: line for line in reversed(self.all_of(JobPickedUp))}

    @Lazy
    def rang(self) -> frozenset[str]:
        """The devices that reported that they rang."""
        return frozenset(line.device for line in self.all_of(PhoneRang))

    @Lazy
    def reports(self) -> Mapping[str, Sequence[PhoneReported]]:
        """What each device reported, besides that it rang."""
        reports: dict[str, list[PhoneReported]] = {}
        for line in self.all_of(PhoneReported):
            reports.setdefault(line.device, []).append(line)
        return reports

    @Lazy
    def attempted(self) -> frozenset[tuple[str, str]]:
        """The devices that a push was attempted to, each with the kind of the push."""
        return frozenset((line.device, line.kind) for line in self.all_of(PushAttempted))

    @Lazy
    def all_of_other_project(self) -> bool:
        """Whether Google said of several phones, and of none but them, that their tokens are of another project."""
        attempts = [line for line in self.all_of(PushAttempted) if line.provider == Provider.FCM]
        return len({line.device for line in attempts}) > 1 and {line.outcome for line in attempts} == {
            Outcome.WRONG_APP
        }

    def rang_nowhere(self, user: str) -> bool:
        """Whether Bellhop surely rang no phone of a user: no push of the ring was accepted, or may have arrived."""
        rings = [push for push in self.of(user, PushMilestone) if push.kind == PushKind.RING]
        if self.kind is not PushKind.RING or (not rings and len(self.trail.milestones) >= LENGTH):
            return False  # the lines of a long trail are removed, those of pushes first
        outcomes = {push.outcome for push in rings if isinstance(push, PushAttempted)}
        return not outcomes & {Outcome.ACCEPTED, *NOT_KNOWN} and not any(push.device in self.rang for push in rings)

    @Lazy
    def _by_user(self) -> Mapping[tuple[str, type[Milestone]], Sequence[Milestone]]:
        by_user: dict[tuple[str, type[Milestone]], list[Milestone]] = {}
        for milestone in self.milestones:
            kind = PushMilestone if isinstance(milestone, PushMilestone) else type(milestone)
            by_user.setdefault((self.user_of(milestone), kind), []).append(milestone)
        return by_user

    @Lazy
    def _learned(self) -> Mapping[str, Micros]:
        """What Stream answered when Bellhop asked: the first stamp of each name since the round's start."""
        asked = self.all_of(StreamAsked)
        return earliest((stamp for milestone in asked for stamp in read_learned(milestone).items()), self.started_at)

    @Lazy
    def _first_stamps(self) -> Mapping[TypeAndUser, Micros]:
        return self.webhooks.first_stamps(self.started_at)

    def _stamps_behind(self, word: str, user: str) -> set[str]:
        """Name the stamps that lead to an outcome or a standing of a user (`word`), if Stream's answers have them."""
        session = self.state.session_id
        return {
            "answered": {Stamp.ACCEPTED + user},
            "declined": {Stamp.REJECTED + user},
            "missed": {missed_stamp(Stamp.MISSED, session, user)},
            "cancelled": {Stamp.REJECTED + caller for caller in self.callers},
            "ended": {str(Stamp.ENDED), Stamp.SESSION_ENDED + session},
        }.get(word, set())

    def us_until(self, word: str, user: str) -> Micros | None:
        """Return the time from the round's start to an outcome or a standing of a user; None if it is not known.

        It ends at the first event that leads to the outcome (`word`), by Stream's clock.
        """
        types, by = _EVENTS_OF.get(word, ((), By.ANYBODY))
        whose = (user,) if by is By.USER else self.callers if by is By.CALLERS else (None,)
        events = [self._first_stamps.get((type_, name)) for type_ in types for name in whose]
        asked = [self._learned.get(name) for name in self._stamps_behind(word, user)] if self._learned else []
        reported = [line.stamp for line in self.of(user, PhoneReported) if line.outcome == word] if self.reports else []
        stamps = [at for at in (*events, *asked, *reported) if at is not None]
        if word == "cancelled" and any((LEFT, caller) in self._first_stamps for caller in self.callers):
            stamps.append(cancelled_at(self.trail.call, self.state))  # a caller who reconnects leaves, too
        first = min(stamps, default=NEVER)
        return None if first == NEVER else Micros(first - self.started_at)


class By(Enum):
    """The users whose webhooks lead to an outcome or a standing of a user."""

    USER = 1
    CALLERS = 2
    ANYBODY = 3


_EVENTS_OF: dict[str, tuple[tuple[str, ...], By]] = {
    "answered": (ANSWERS, By.USER),
    "declined": (("call.rejected",), By.USER),
    "busy": (("call.rejected",), By.USER),
    "timed_out": (("call.rejected",), By.USER),
    "missed": (("call.missed",), By.USER),
    "cancelled": (("call.rejected",), By.CALLERS),
    "no_answer": (("call.rejected",), By.CALLERS),
    "removed": (REMOVALS, By.USER),
    "ended": (ENDS, By.ANYBODY),
}
"""The types of the webhooks that lead to an outcome or a standing, and the users whom they must be about."""


def sorted_into_rounds(
    milestones: Iterable[Milestone],
    now: Micros = UNKNOWN_TIME,
    told: tuple[str, ...] = (),
    today: Mapping[str, str] = NOTHING_TODAY,
) -> list[RoundLog]:
    """Sort milestones into rounds, the earliest first; those that belong to no round come last.

    `now` is the time by Redis's clock when the milestones were read. `told` are the types of events that are not among
    them, since Bellhop did nothing for them. `today` has a sentence for users who had no device, by their ids, and
    for silent phones, by the key of the device.
    """
    trail = WholeTrail(sorted(milestones, key=lambda milestone: milestone.at), now, told, today)
    logs = [_with_refusals(RoundLog(started_at, lines, trail)) for started_at, lines in by_round(trail.milestones)]
    rung = (log for log in logs if log.started_at and log.kind not in QUIET and not log.calls_nobody)
    trail.rung.extend(rung)
    return [_with_one_word(log) for log in logs]


def _with_refusals(round_log: RoundLog) -> RoundLog:
    """Add that each user gets no push, if a bound turned the round away. The trail has one line for all of them."""
    if not round_log.calls_nobody or round_log.kind is None:
        return round_log
    opening = round_log.openings[0]
    refusals = [
        PushSkipped(at=opening.at, round=round_log.started_at, kind=round_log.kind, user=user, outcome=opening.outcome)
        for user in opening.users
    ]
    return replace(round_log, milestones=[*round_log.milestones, *refusals])


def _with_one_word(round_log: RoundLog) -> RoundLog:
    """If a user's rejection stopped a push, give the push the same outcome as the user's standing.

    When the push was stopped, the reason of the rejection may not have been known: the call.rejected came later than
    another event that reported the rejection.
    """

    def reworded(milestone: Milestone) -> Milestone:
        if getattr(milestone, "outcome", "") not in OWN_REJECTIONS or not isinstance(milestone, PushMilestone):
            return milestone
        standing = round_log.latest_standing(milestone.user)
        return msgspec.structs.replace(milestone, outcome=standing) if standing in OWN_REJECTIONS else milestone

    milestones = [reworded(milestone) for milestone in round_log.milestones]
    return round_log if milestones == round_log.milestones else replace(round_log, milestones=milestones)
