"""A call's trail, sorted into its rounds. Pure.

A trail may be incomplete: the oldest lines of a long trail are removed.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TypeVar

from bellhop.clock import Micros
from bellhop.domain.call import CallState, RoundState, Stamp, Standing, clamp_stamp, has_history, missed_stamp
from bellhop.domain.push import PushKind
from bellhop.domain.rejections import rejection_stamps
from bellhop.domain.stamp_history import PastStamp, history_field
from bellhop.domain.standing import standing
from bellhop.trail import (
    EmailMilestone,
    JobPickedUp,
    Milestone,
    PhoneRang,
    PushMilestone,
    StreamAsked,
    TokenChecked,
    UnknownMilestone,
    UserSettled,
    WebhookReceived,
    WebhookRepeated,
    read_learned,
)

OPENERS = {"call.ring": PushKind.RING, "call.notification": PushKind.NOTIFICATION}
"""The events that begin a round."""
ANSWERS = ("call.accepted", "call.session_participant_joined")
ENDS = ("call.ended", "call.deleted", "call.session_ended")
REMOVALS = ("call.member_removed", "call.blocked_user", "call.kicked_user")
LEFT = "call.session_participant_left"
BEFORE_ANY_DEADLINE = Micros(-1)
NO_ROUND = Micros(0)
OWN_REJECTIONS: frozenset[str] = frozenset({Standing.DECLINED, Standing.BUSY, Standing.TIMED_OUT})
"""The standings of a user who rejected the call. The word of an outcome is the same."""

M = TypeVar("M", bound=Milestone)

AboutUser = PushMilestone | TokenChecked | UserSettled | EmailMilestone
"""Milestones that name the recipient whom they are about."""
AboutDevice = PushMilestone | TokenChecked
"""Milestones that name a device, its label and its user."""
AboutRound = AboutUser | JobPickedUp | PhoneRang | StreamAsked | UnknownMilestone
"""Milestones that name their round. Of the webhooks, only those that begin a round do."""


def stamp_of(milestone: Milestone) -> Micros:
    """Return when a milestone happened (unix µs): by Stream's clock, or by ours if Stream gave no time."""
    if isinstance(milestone, WebhookReceived | WebhookRepeated) and milestone.stamp:
        return milestone.stamp
    return milestone.at


def round_of(milestone: Milestone) -> Micros:
    """Return the stamp of the milestone's round, if the milestone contains it; otherwise NO_ROUND."""
    if isinstance(milestone, AboutRound | WebhookReceived) and milestone.round:
        return milestone.round
    if isinstance(milestone, WebhookReceived) and milestone.type in OPENERS:  # version 1 did not write the round
        return stamp_of(milestone)
    return NO_ROUND


@dataclass(frozen=True)
class RoundLog:
    """The milestones of one round, in the order of their time."""

    started_at: Micros
    """The round's stamp (unix µs); 0 for milestones that belong to no round."""
    milestones: Sequence[Milestone]
    call: CallState = field(default_factory=CallState)
    """The call's state, from all rounds of the trail."""

    @cached_property
    def openings(self) -> list[WebhookReceived]:
        """The webhooks that began the round: usually one."""
        return self.events(OPENERS)

    @cached_property
    def kind(self) -> PushKind | None:
        """Which push the round is for; missed if only its call.missed is known."""
        opened: set[str] = {OPENERS[opening.type] for opening in self.openings}
        kinds = opened or {push.kind for push in self.milestones if isinstance(push, PushMilestone | TokenChecked)}
        about_users = any(isinstance(milestone, AboutUser | PhoneRang) for milestone in self.milestones)
        return next((kind for kind in PushKind if kind in kinds), PushKind.MISSED if about_users else None)

    @cached_property
    def callers(self) -> tuple[str, ...]:
        """The user who calls, then the others whose rejection ends the ring."""
        return tuple(dict.fromkeys(name for opening in self.openings for name in opening.callers))

    @cached_property
    def until(self) -> Micros:
        """When the phones stop ringing (unix µs); 0 if that is not known."""
        return max((opening.until for opening in self.openings if opening.until), default=Micros(0))

    @cached_property
    def users(self) -> tuple[str, ...]:
        """The recipients of the round that the trail names."""
        named = [name for opening in self.openings for name in opening.users]
        if self.kind is PushKind.MISSED:
            named += [name for missed in self.events(("call.missed",)) for name in missed.users]
        named += [milestone.user for milestone in self.milestones if isinstance(milestone, AboutUser)]
        return tuple(name for name in dict.fromkeys(named) if name)

    @cached_property
    def unnamed(self) -> int:
        """How many recipients the trail does not name."""
        return max((opening.more or 0 for opening in self.openings), default=0)

    @cached_property
    def labels(self) -> Mapping[str, str]:
        """The name of each device, by its key."""
        return {line.device: line.label for line in self.milestones if isinstance(line, AboutDevice) and line.label}

    @cached_property
    def owners(self) -> Mapping[str, str]:
        """The user of each device, by its key."""
        return {line.device: line.user for line in self.milestones if isinstance(line, AboutDevice) and line.device}

    @cached_property
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

        `bellhop.domain.call` decides, as before each push, but without a deadline. The result may differ from the one
        in Redis: a trail does not say whether a call.missed was quiet, and has no snapshots of the call.
        """
        return standing(self.call, self.state, user, BEFORE_ANY_DEADLINE)

    def latest_standing(self, user: str) -> str:
        """Return a user's recorded standing; if there is none yet, the one by the webhooks. Empty while it rings."""
        if settled := self.of(user, UserSettled):
            return settled[-1].outcome
        standing = self.standing_of(user)
        return "" if standing is Standing.RINGING else standing

    def user_of(self, milestone: Milestone) -> str:
        """The user whom a milestone is about. A phone's receipt names the device alone."""
        if isinstance(milestone, PhoneRang):
            return self.owners.get(milestone.device, "")
        return milestone.user if isinstance(milestone, AboutUser | UnknownMilestone) else ""

    def of(self, user: str, kind: type[M]) -> list[M]:
        """The milestones of one kind that are about a user."""
        return [milestone for milestone in self._by_user.get(user, ()) if isinstance(milestone, kind)]

    def events(self, types: Iterable[str], users: Iterable[str] | None = None) -> list[WebhookReceived]:
        """The webhooks of these types; with `users`, those that are about one of them."""
        wanted = None if users is None else set(users)
        events = [event for event in self._received if event.type in types]
        return [event for event in events if wanted is None or wanted & set(event.users)]

    @cached_property
    def _by_user(self) -> Mapping[str, list[Milestone]]:
        by_user: dict[str, list[Milestone]] = {}
        for milestone in self.milestones:
            by_user.setdefault(self.user_of(milestone), []).append(milestone)
        return by_user

    @cached_property
    def _received(self) -> list[WebhookReceived]:
        return [milestone for milestone in self.milestones if isinstance(milestone, WebhookReceived)]

    @cached_property
    def _learned(self) -> list[tuple[str, Micros]]:
        """What Stream said when Bellhop asked."""
        asked = [milestone for milestone in self.milestones if isinstance(milestone, StreamAsked)]
        return [stamp for milestone in asked for stamp in read_learned(milestone).items()]

    def _stamps_behind(self, word: str, user: str) -> set[str]:
        """Name the stamps that bring about an outcome or a standing of a user, of those that Stream is asked for."""
        session = self.state.session_id
        return {
            "answered": {Stamp.ACCEPTED + user},
            "declined": {Stamp.REJECTED + user},
            "missed": {missed_stamp(Stamp.MISSED, session, user)},
            "cancelled": {Stamp.REJECTED + caller for caller in self.callers},
            "ended": {str(Stamp.ENDED), Stamp.SESSION_ENDED + session},
        }.get(word, set())

    def us_until(self, word: str, user: str) -> Micros | None:
        """Return how long after the round's start an outcome or a standing of a user came about; None if not known.

        The time is that of the first webhook which leads to the outcome (`word`), by Stream's clock.
        """
        find_events = _EVENTS_OF.get(word)
        stamps = [stamp_of(event) for event in find_events(self, user)] if find_events else []
        stamps += [at for name, at in self._learned if name in self._stamps_behind(word, user)]
        return min((Micros(stamp - self.started_at) for stamp in stamps if stamp >= self.started_at), default=None)


def _rejections(round_log: RoundLog, user: str) -> list[WebhookReceived]:
    return round_log.events(["call.rejected"], [user])


_EVENTS_OF: dict[str, Callable[[RoundLog, str], list[WebhookReceived]]] = {
    "answered": lambda round_log, user: round_log.events(ANSWERS, [user]),
    "declined": _rejections,
    "busy": _rejections,
    "timed_out": _rejections,
    "missed": lambda round_log, user: round_log.events(["call.missed"], [user]),
    "cancelled": lambda round_log, _: round_log.events(["call.rejected", LEFT], round_log.callers),
    "no_answer": lambda round_log, _: round_log.events(["call.rejected"], round_log.callers),
    "removed": lambda round_log, user: round_log.events(REMOVALS, [user]),
    "ended": lambda round_log, _: round_log.events(ENDS),
}
"""The function that finds the webhooks which lead to an outcome or a standing."""


def sorted_into_rounds(milestones: Iterable[Milestone]) -> list[RoundLog]:
    """Sort milestones into rounds, the earliest first; those that belong to no round come last."""
    ordered = sorted(milestones, key=lambda milestone: milestone.at)
    sessions = {round_of(milestone): "" for milestone in ordered if round_of(milestone)}
    sessions |= {round_of(line): line.session for line in ordered if isinstance(line, WebhookReceived) and line.round}
    by_round: dict[Micros, list[Milestone]] = {}
    for milestone in ordered:
        by_round.setdefault(round_of(milestone) or _round_before(milestone, sessions), []).append(milestone)
    logs = [RoundLog(started_at, by_round[started_at]) for started_at in sorted(by_round, key=lambda at: (at == 0, at))]
    rung = tuple(log.state for log in logs if log.started_at and log.kind is not PushKind.NOTIFICATION)
    call = CallState(_stamps(ordered), rung)
    return [_with_one_word(replace(log, call=call)) for log in logs]


def _with_one_word(round_log: RoundLog) -> RoundLog:
    """Let a push that a user's rejection stopped say the same about it as the user's standing.

    When a push was stopped, the reason of the rejection may not have been known: it came later, or another event told
    of the rejection.
    """

    def reworded(milestone: Milestone) -> Milestone:
        if not isinstance(milestone, PushMilestone) or milestone.outcome not in OWN_REJECTIONS:
            return milestone
        standing = round_log.latest_standing(milestone.user)
        return replace(milestone, outcome=standing) if standing in OWN_REJECTIONS else milestone

    return replace(round_log, milestones=[reworded(milestone) for milestone in round_log.milestones])


def _round_before(milestone: Milestone, sessions: Mapping[Micros, str]) -> Micros:
    """Return the latest round that began before the milestone. If both sessions are known, they must be the same."""
    session = milestone.session if isinstance(milestone, WebhookReceived | WebhookRepeated) else ""
    begun = [started_at for started_at in sessions if started_at <= stamp_of(milestone)]
    if session:
        begun = [started_at for started_at in begun if sessions[started_at] in ("", session)]
    return max(begun, default=NO_ROUND)


def _stamps(milestones: Iterable[Milestone]) -> dict[str, Micros]:
    """The stamps that the lines of a trail set on their call, as webhook/intake/effects.py derives them."""
    stamps: dict[str, Micros] = {}
    for milestone in milestones:
        if isinstance(milestone, WebhookReceived):
            at = clamp_stamp(stamp_of(milestone), milestone.at)
            for name in _stamp_names(milestone):
                stamps[name] = max(at, stamps.get(name, at))
                if has_history(name):
                    stamps[history_field(name, PastStamp(at, milestone.session))] = at
        elif isinstance(milestone, StreamAsked):
            for name, at in read_learned(milestone).items():
                stamps[name] = max(at, stamps.get(name, at))
                if has_history(name):
                    stamps[history_field(name, PastStamp(at, ""))] = at
    return stamps


def _stamp_names(event: WebhookReceived) -> list[str]:
    """Name the stamps that an event sets on its call."""
    if event.type == "call.rejected":
        return [name for user in event.users for name in rejection_stamps(user, event.reason)]
    if event.type == "call.missed":
        return [missed_stamp(Stamp.MISSED, event.session, user) for user in event.users]
    if event.type == "call.session_ended" and event.session:
        return [Stamp.SESSION_ENDED + event.session]
    if event.type in _MARK_OF:
        return [_MARK_OF[event.type] + user for user in event.users]
    return [Stamp.ENDED] if event.type in ENDS else []


_MARK_OF = dict.fromkeys(ANSWERS, Stamp.ACCEPTED) | dict.fromkeys(REMOVALS, Stamp.REMOVED) | {LEFT: Stamp.LEFT}
"""The stamp that an event sets for each of its users."""
