"""A trail as a whole: which milestone belongs to which round, and the state of the call. Pure."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Protocol

from bellhop.clock import Micros
from bellhop.domain.call import CallState, RoundState, Stamp, clamp_stamp, history_fields, missed_stamp
from bellhop.domain.phone_report import stamps_of_report
from bellhop.domain.rejections import rejection_stamps
from bellhop.domain.stamp_history import PastStamp, latest
from bellhop.explain.webhooks import (
    ANSWERS,
    ENDS,
    JOINED,
    LEFT,
    OPENERS,
    REMOVALS,
    arrival_of,
    opens_started,
    stamp_of,
)
from bellhop.trail import (
    DeviceMilestone,
    EmailMilestone,
    Milestone,
    PhoneReported,
    PushMilestone,
    StreamAsked,
    UserSettled,
    WebhookMilestone,
    WebhookOutdated,
    WebhookPutOff,
    WebhookReceived,
    read_learned,
)

NO_ROUND = Micros(0)
UNKNOWN_TIME = Micros(0)
"""The time is not known: then no ring counts as over because of the time."""
NOTHING_TODAY: Mapping[str, str] = MappingProxyType({})
ABOUT_DEVICE = (PushMilestone, DeviceMilestone)
"""Milestones that name a device, its label and its user."""
ABOUT_USER = (*ABOUT_DEVICE, UserSettled, EmailMilestone)
"""Milestones that name the recipient whom they are about."""


class RungRound(Protocol):
    """A round in which phones rang."""

    @property
    def state(self) -> RoundState:
        """The round as `bellhop.domain.call` sees it. It is needed only if a user's standing is not recorded."""


@dataclass(frozen=True)
class WholeTrail:
    """The milestones of a call, in the order of their time."""

    milestones: Sequence[Milestone]
    now: Micros = UNKNOWN_TIME
    """The time by Redis's clock when the trail was read."""
    told: tuple[str, ...] = ()
    """The types of the call's events that Bellhop did nothing for: they are not on the trail."""
    today: Mapping[str, str] = field(default_factory=lambda: NOTHING_TODAY)
    """What is known today of users who had no device when the call rang, by their ids, and of the settings of phones
    that stayed silent, by the key of the device (`bellhop.store.stored_trail`)."""
    rung: list[RungRound] = field(default_factory=list)
    """The rounds of the call, without notifications. `bellhop.explain.rounds` adds them when it has built them."""

    @cached_property
    def call(self) -> CallState:
        """The call's state, from all rounds of the trail."""
        return CallState(_stamps(self.milestones), tuple(round_log.state for round_log in self.rung))

    @cached_property
    def names(self) -> Mapping[str, str]:
        """The names of users, by their ids, as far as Stream's events gave them. The latest name counts."""
        begun = (line for line in self.milestones if isinstance(line, WebhookReceived) and line.names)
        named = (zip((*(line.callers[:1] or ("",)), *line.users), line.names, strict=False) for line in begun)
        return {user_id: name for pairs in named for user_id, name in pairs if name and name != user_id}

    @cached_property
    def not_taken(self) -> WebhookPutOff | WebhookOutdated | None:
        """The last webhook that asked to call people and was not taken; None if Bellhop took such a webhook."""
        asked = [line for line in self.milestones if isinstance(line, WebhookMilestone) and line.type in OPENERS]
        refused = [line for line in asked if isinstance(line, (WebhookPutOff, WebhookOutdated))]
        return refused[-1] if refused and len(refused) == len(asked) else None

    @cached_property
    def rings_only(self) -> bool:
        """Whether all webhooks of the call report only that it rings. Perhaps Stream sends Bellhop no other events."""
        webhooks = (line for line in self.milestones if isinstance(line, WebhookReceived))
        return {*self.told} <= {"call.created"} and all(webhook.type in OPENERS for webhook in webhooks)


def by_round(milestones: Iterable[Milestone]) -> list[tuple[Micros, list[Milestone]]]:
    """Group milestones by the start of their round, the earliest first; those that belong to no round come last."""
    named = [(milestone, _named_round(milestone)) for milestone in milestones]
    # An event that called nobody began no round: what came after it belongs to the round before.
    sessions = {started_at: "" for line, started_at in named if started_at and not getattr(line, "calls_nobody", False)}
    begun = [line for line, started_at in named if started_at and isinstance(line, WebhookReceived)]
    sessions |= {line.round: line.session for line in begun if line.round in sessions}
    # Other events are about the ring, not about the push that the call began.
    began = {line.round for line in begun if opens_started(line)}
    starts = _starts_by_session({at: session for at, session in sessions.items() if at not in began} or sessions)
    rounds: dict[Micros, list[Milestone]] = {}
    for milestone, started_at in named:
        rounds.setdefault(started_at or _round_before(milestone, starts), []).append(milestone)
    return sorted(rounds.items(), key=lambda round_: (round_[0] == NO_ROUND, round_[0]))


def _named_round(milestone: Milestone) -> Micros:
    """Return the stamp of the milestone's round, if the milestone contains it; otherwise NO_ROUND."""
    started_at: Micros | None = getattr(milestone, "round", None)  # of the webhooks, only those that begin a round do
    if started_at:
        return started_at
    if isinstance(milestone, WebhookReceived) and milestone.type in OPENERS:  # version 1 did not write the round
        return stamp_of(milestone)
    return NO_ROUND


def _starts_by_session(sessions: Mapping[Micros, str]) -> Mapping[str | None, Sequence[Micros]]:
    """Sort the starts of the rounds: those of each session ("" if it is not known), and all of them (None)."""
    starts: dict[str | None, list[Micros]] = {}
    for started_at, session in sorted(sessions.items()):
        for key in (None, session):
            starts.setdefault(key, []).append(started_at)
    return starts


def _round_before(milestone: Milestone, starts: Mapping[str | None, Sequence[Micros]]) -> Micros:
    """Return the latest round that began before the milestone. If both sessions are known, they must be the same."""
    session = milestone.session if isinstance(milestone, WebhookMilestone) else ""
    groups = [starts.get(key, ()) for key in ((session, "") if session else (None,))]
    begun = ((group, bisect_right(group, stamp_of(milestone))) for group in groups)
    return max((group[end - 1] for group, end in begun if end), default=NO_ROUND)


def _stamps(milestones: Sequence[Milestone]) -> dict[str, Micros]:
    """Return the fields that a trail sets in the hash of its call, as webhook/intake/effects.py derives them."""
    stamps = [stamp for milestone in milestones for stamp in _stamps_of(milestone)] + [*_presence(milestones)]
    return latest((name, stamp.at) for name, stamp in stamps) | dict(history_fields(stamps))


def _stamps_of(milestone: Milestone) -> Iterator[tuple[str, PastStamp]]:
    if isinstance(milestone, WebhookReceived):
        stamp = PastStamp(clamp_stamp(stamp_of(milestone), arrival_of(milestone)), milestone.session)
        yield from ((name, stamp) for name in _stamp_names(milestone))
    elif isinstance(milestone, StreamAsked):
        yield from ((name, PastStamp(at, "")) for name, at in read_learned(milestone).items())
    elif isinstance(milestone, PhoneReported) and milestone.stamp:
        stamp = PastStamp(milestone.stamp, "")
        yield from ((name, stamp) for name in stamps_of_report(milestone.user, milestone.outcome))


def _presence(milestones: Iterable[Milestone]) -> Iterator[tuple[str, PastStamp]]:
    """Yield when users joined and left the call.

    Webhooks name the participant, who has a new id after each reconnection. Lines do not, so the ids are counted here:
    a user who joined twice and left once is in the call.
    """
    counts: Counter[str] = Counter()
    for line in milestones:
        if isinstance(line, WebhookReceived) and line.type in _PRESENCE:
            for name in (_PRESENCE[line.type] + user for user in line.users):
                counts[name] += 1
                yield name, PastStamp(clamp_stamp(stamp_of(line), arrival_of(line)), str(counts[name]))


def _stamp_names(event: WebhookReceived) -> list[str]:
    """Name the stamps that an event sets on its call."""
    if event.type == "call.rejected":
        return [name for user in event.users for name in rejection_stamps(user, event.reason)]
    if event.type == "call.missed":
        return [missed_stamp(Stamp.MISSED, event.session, user) for user in event.users]
    if event.type == "call.session_ended" and event.session:
        return [Stamp.SESSION_ENDED + event.session]
    if event.type in _STAMP_OF:
        return [_STAMP_OF[event.type] + user for user in event.users]
    return [Stamp.ENDED] if event.type in ENDS else []


_STAMP_OF = dict.fromkeys(ANSWERS, Stamp.ACCEPTED) | dict.fromkeys(REMOVALS, Stamp.REMOVED)
"""The stamp that an event sets for each of its users."""
_PRESENCE = {JOINED: Stamp.JOINED, LEFT: Stamp.LEFT}
"""The events that say who is in the call."""
