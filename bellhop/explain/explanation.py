"""Why did the phone not ring? The lines of a call's trail -> its story, the verdict for each person first. Pure.

Lines may come in any order, and some may be missing, repeated or of a newer version: what is there is told.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from bellhop.domain.push import PushKind
from bellhop.explain.rounds import RoundLog, read, sorted_into_rounds
from bellhop.explain.sentences import (
    LATE_WEBHOOK,
    LATE_WORKER,
    LEFT_OUT,
    NO_TRAIL,
    NOT_TAKEN_UP,
    STRANGER,
    Tone,
    duration,
    listed,
)
from bellhop.explain.timeline import TimelineEntry, timeline_entry
from bellhop.explain.verdict import ENDINGS, UserVerdict, user_verdict
from bellhop.trail import Milestone

VERSION = 1
"""Of the JSON form: it may grow without a new one."""
LATE_WEBHOOK_US, LATE_WORKER_US = 5_000_000, 2_000_000


@dataclass(frozen=True, slots=True)
class RoundExplanation:
    """One ringing of the call, one notification about it, or what came without either."""

    started_at: int
    """Stream's stamp (unix µs); 0 for events that belong to no round."""
    kind: str
    """ring, notification, missed (known from its call.missed alone), or empty."""
    caller: str
    until: int
    """When (unix µs) the phones stop ringing; 0 if not known."""
    headline: str
    people: tuple[UserVerdict, ...]
    timeline: tuple[TimelineEntry, ...]
    next: tuple[str, ...]
    """What to do next for everybody in it."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """The story of a call."""

    v: int
    cid: str
    user: str
    """Whom was asked about; empty for everybody."""
    found: bool
    """Whether there is a trail, and the user is on it."""
    summary: str
    rounds: tuple[RoundExplanation, ...]
    next: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """The explanation as plain objects, for machines."""
        return asdict(self)


def explain(cid: str, lines: Iterable[Mapping[str, Any]], user: str = "") -> Explanation:
    """Explain the call to which these lines (`trail.read`) belong; with `user`, as far as it is about them."""
    scenes = sorted_into_rounds([read(line) for line in lines])
    if not scenes:
        return Explanation(VERSION, cid, user, False, f"Bellhop knows nothing of a call {cid}.", (), NO_TRAIL)
    rounds = tuple(_round(scene, user) for scene in scenes)
    people = [one for round_ in rounds for one in round_.people]
    if user and not people:
        called = list(dict.fromkeys(name for scene in scenes for name in scene.users))
        summary = f"{user} is not among the people of this call: {listed(called) or 'it has none'}."
        left_out = max(int(line.number("left_out")) for scene in scenes for line in scene.lines)
        advice = (STRANGER, LEFT_OUT.format(left_out=left_out)) if left_out else (STRANGER,)
        return Explanation(VERSION, cid, user, False, summary, rounds, advice)
    return Explanation(VERSION, cid, user, True, _summary(rounds, people, user), rounds, ())


def _summary(rounds: Sequence[RoundExplanation], people: Sequence[UserVerdict], user: str) -> str:
    if not people:
        return "Nobody was called."
    if user:
        return people[-1].verdict if len(people) == 1 else f"Called {len(people)} times; the last: {people[-1].verdict}"
    called = [round_ for round_ in rounds if round_.started_at and round_.people] or [
        round_ for round_ in rounds if round_.people
    ]
    last = called[-1].people
    reached = sum(one.reached for one in last)
    wrong = list(dict.fromkeys(one.user for one in people if one.tone is Tone.BAD))
    times = f", the last of {len(called)} times" if len(called) > 1 else ""
    summary = f"{reached} of {len(last)} reached{times}."
    return f"{summary} Something went wrong for {listed(wrong)}." if wrong else summary


def _round(scene: RoundLog, user: str) -> RoundExplanation:
    timeline = [line for line in scene.lines if not user or scene.user_of(line) in ("", user)]
    return RoundExplanation(
        started_at=scene.started_at,
        kind=scene.kind or "",
        caller=next(iter(scene.callers), ""),
        until=scene.until,
        headline=_headline(scene),
        people=tuple(user_verdict(scene, one) for one in scene.users if user in ("", one)),
        timeline=tuple(timeline_entry(scene, line) for line in timeline),
        next=_next_for_all(scene),
    )


def _headline(scene: RoundLog) -> str:
    who = listed(scene.users, scene.unnamed) or "nobody"
    if not scene.started_at:
        return "What came in without a call that rings"
    caller = next(iter(scene.callers), "Somebody")
    what = {
        PushKind.RING: f"{caller} called {who}",
        PushKind.NOTIFICATION: f"{caller} let {who} know about the call",
        PushKind.MISSED: f"Stream reported a call that {who} missed; Bellhop was not asked to ring",
        None: "Some events of the call",
    }[scene.kind]
    return f"{what}, at {utc(scene.started_at)}."


def utc(at: int) -> str:
    """A moment (unix µs) for people: date, time to the millisecond, UTC."""
    moment_ = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at)
    return moment_.strftime("%Y-%m-%d %H:%M:%S.") + f"{moment_.microsecond // 1000:03} UTC"


def _next_for_all(scene: RoundLog) -> tuple[str, ...]:
    if not scene.openings or scene.kind is not PushKind.RING:
        return ()
    first = scene.openings[0]
    taken_up = [line for line in scene.lines if line.what in (*ENDINGS, Milestone.PICKED_UP, Milestone.WAITED)]
    found = []
    if first.at - first.stamp > LATE_WEBHOOK_US:
        found.append(LATE_WEBHOOK.format(time=duration(first.at - first.stamp)))
    if not taken_up:
        found.append(NOT_TAKEN_UP)
    elif (waited := taken_up[0].at - first.at) > LATE_WORKER_US and taken_up[0].what == Milestone.PICKED_UP:
        found.append(LATE_WORKER.format(time=duration(waited)))
    return tuple(found)
