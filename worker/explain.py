"""Why did the phone not ring? The lines of a call's trail -> its story, the verdict for each person first. Pure.

Lines may come in any order, and some may be missing, repeated or of a newer version: what is there is told.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from worker import story
from worker.calls import Standing
from worker.outcome import Outcome
from worker.push import PushKind
from worker.sentences import (
    LATE_WEBHOOK,
    LATE_WORKER,
    NO_TRAIL,
    NOT_TAKEN_UP,
    PROVIDERS,
    SENT,
    SILENT,
    STANDINGS,
    STRANGER,
    Tone,
    duration,
    listed,
)
from worker.story import Line, Scene
from worker.timeline import Moment, answer, because, fill, moment, name_of, words
from worker.trail import Milestone

VERSION = 1
"""Of the JSON form: it may grow without a new one."""
LATE_US = 3_000_000
"""Who is cancelled on after that long without an attempt should have been rung before."""
LATE_WEBHOOK_US, LATE_WORKER_US = 5_000_000, 2_000_000
ENDINGS = (Milestone.SKIPPED, Milestone.ATTEMPTED, Milestone.FINISHED)
OVER = frozenset({Outcome.TIMED_OUT, Outcome.MISSED, Outcome.CANCELLED, Outcome.ENDED})
"""The call was over before there was a push."""
SETTLES_ITSELF = frozenset({Standing.ANSWERED, Standing.DECLINED, Standing.BUSY, Standing.RINGING})
"""Nobody with one of these wonders why the phone was silent."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of one push: one kind of push to one device."""

    device: str
    """The device's key."""
    label: str
    """The device for people, such as "Jane's iPhone"."""
    kind: str
    provider: str
    outcome: str
    """The one that counts; waiting, when there is no other yet."""
    tone: Tone
    sentence: str
    attempts: tuple[Moment, ...]
    rang: bool
    """Whether the phone reported that it rang."""


@dataclass(frozen=True, slots=True)
class Person:
    """What a round came to for one person."""

    user: str
    verdict: str
    tone: Tone
    standing: str
    """The final one (worker/calls.py); empty while there is none."""
    reached: bool
    """Whether a provider accepted the push that the round is for."""
    deliveries: tuple[Delivery, ...]
    next: tuple[str, ...]
    """What to do next, where something is wrong."""


@dataclass(frozen=True, slots=True)
class Round:
    """One ringing of the call, one notification about it, or what came without either."""

    started_at: int
    """Stream's stamp (unix µs); 0 for events that belong to no round."""
    kind: str
    """ring, notification, missed (known from its call.missed alone), or empty."""
    caller: str
    until: int
    """When (unix µs) the phones stop ringing; 0 if not known."""
    headline: str
    people: tuple[Person, ...]
    timeline: tuple[Moment, ...]
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
    rounds: tuple[Round, ...]
    next: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """The explanation as plain objects, for machines."""
        return asdict(self)


def explain(cid: str, lines: Iterable[Mapping[str, Any]], user: str = "") -> Explanation:
    """Explain the call to which these lines (`worker.trail.read`) belong; with `user`, as far as it is about them."""
    scenes = story.scenes([story.read(line) for line in lines])
    if not scenes:
        return Explanation(VERSION, cid, user, False, f"Bellhop knows nothing of a call {cid}.", (), NO_TRAIL)
    rounds = tuple(_round(scene, user) for scene in scenes)
    people = [person for round_ in rounds for person in round_.people]
    if user and not people:
        called = list(dict.fromkeys(name for scene in scenes for name in scene.users))
        summary = f"{user} is not among the people of this call: " + (
            f"{listed(called)}." if called else "it has none."
        )
        return Explanation(VERSION, cid, user, False, summary, rounds, (STRANGER,))
    return Explanation(VERSION, cid, user, True, _summary(rounds, people, user), rounds, ())


def _summary(rounds: Sequence[Round], people: Sequence[Person], user: str) -> str:
    if not people:
        return "Nobody was called."
    if user:
        return people[-1].verdict if len(people) == 1 else f"{len(people)} rounds; the last: {people[-1].verdict}"
    reached = sum(person.reached for person in people)
    wrong = list(dict.fromkeys(person.user for person in people if person.tone is Tone.BAD))
    times = f" in {len(rounds)} rounds" if len(rounds) > 1 else ""
    summary = f"{reached} of {len(people)} reached{times}."
    return f"{summary} Something went wrong for {listed(wrong)}." if wrong else summary


def _round(scene: Scene, user: str) -> Round:
    timeline = [line for line in scene.lines if not user or scene.user_of(line) in ("", user)]
    return Round(
        started_at=scene.started_at,
        kind=scene.kind or "",
        caller=next(iter(scene.callers), ""),
        until=scene.until,
        headline=_headline(scene),
        people=tuple(_person(scene, one) for one in scene.users if user in ("", one)),
        timeline=tuple(moment(scene, line) for line in timeline),
        next=_next_for_all(scene),
    )


def _headline(scene: Scene) -> str:
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
    try:
        moment_ = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at)
    except OverflowError:
        return f"{at} µs"
    return moment_.strftime("%Y-%m-%d %H:%M:%S.") + f"{moment_.microsecond // 1000:03} UTC"


def _next_for_all(scene: Scene) -> tuple[str, ...]:
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


def _person(scene: Scene, user: str) -> Person:
    lines = scene.of(user, *ENDINGS, Milestone.WAITED)
    pairs = dict.fromkeys((line.text("kind"), line.text("device")) for line in lines)
    told = {
        pair: _delivery(scene, [line for line in lines if (line.text("kind"), line.text("device")) == pair])
        for pair in pairs
    }
    main = [delivery for (kind, _), delivery in told.items() if kind == scene.kind]
    settled = scene.of(user, Milestone.SETTLED)
    standing = settled[-1].text("outcome") if settled else ""
    reached = any(delivery.outcome == Outcome.ACCEPTED for delivery in main)
    tone = _tone(main, standing, reached)
    return Person(
        user=user,
        verdict=" ".join(_verdict(scene, user, list(told.values()), settled)),
        tone=tone,
        standing=standing,
        reached=reached,
        deliveries=tuple(delivery for delivery in told.values() if delivery.device),
        next=_next(scene, user, lines, main, standing, reached=reached, tone=tone),
    )


def _delivery(scene: Scene, lines: Sequence[Line]) -> Delivery:
    """Tell what became of one push. A later run of the same job finds a duplicate: what the first found counts."""
    attempts = [line for line in lines if line.what == Milestone.ATTEMPTED]
    endings = [line for line in lines if line.what in ENDINGS and line.text("outcome") != Outcome.DUPLICATE]
    accepted = [line for line in attempts if line.text("outcome") == Outcome.ACCEPTED]
    last = (accepted or endings or lines)[-1]
    outcome, kind = last.text("outcome"), last.text("kind")
    name, done = name_of(scene, last), SENT.get(kind, "sent the push")
    failed = sum(line.text("outcome") != Outcome.ACCEPTED for line in attempts)
    tone = words(outcome).tone
    if accepted:
        when = f" {duration(last.at - scene.started_at)} after the call began" if kind == PushKind.RING else ""
        sentence = f"{name} was {done}{when}" + (f", after {_failed_attempts(failed)}" if failed else "")
    elif last.what == Milestone.WAITED:
        sentence, tone = f"{name} is not {done} yet: {because(scene, last)}", Tone.OPEN
    else:
        sentence = f"{name} was not {done}: {because(scene, last)}{answer(last)}{_tries(scene, last, attempts)}"
        late = outcome in OVER and (scene.moment_of(outcome, last.text("user")) or 0) >= LATE_US
        tone = Tone.BAD if outcome in OVER and (late or failed) else tone
    device, told = last.text("device"), tuple(moment(scene, line) for line in attempts)
    rang = kind == PushKind.RING and any(
        line.what == Milestone.RANG and line.text("device") == device for line in scene.lines
    )
    sentence += ", and it reports that it rang" if rang else ""
    return Delivery(device, name, kind, last.text("provider"), outcome, tone, f"{sentence}.", told, rang)


def _tries(scene: Scene, last: Line, attempts: Sequence[Line]) -> str:
    if last.what != Milestone.FINISHED or last.text("outcome") == Outcome.NO_CREDENTIALS:
        return ""
    if not attempts:
        return ", before the first attempt"
    why = because(scene, attempts[-1]) + answer(attempts[-1])
    return f", after {_failed_attempts(len(attempts))}{': ' if len(attempts) == 1 else '; the last time '}{why}"


def _failed_attempts(number: int) -> str:
    return f"{number} failed attempt{'s' if number > 1 else ''}"


def _tone(main: Sequence[Delivery], standing: str, reached: bool) -> Tone:
    tones = {delivery.tone for delivery in main}
    if reached or standing == Standing.ANSWERED:
        return Tone.GOOD
    if Tone.BAD in tones or (standing and not tones):
        return Tone.BAD
    return Tone.OPEN if Tone.OPEN in tones or not tones else Tone.QUIET


def _verdict(scene: Scene, user: str, told: Sequence[Delivery], settled: Sequence[Line]) -> list[str]:
    """Say first what became of the push that the round is for, then how it ended for the user, then of the notice."""
    main = [one for one in told if one.kind == scene.kind]
    good = [one.sentence for one in main if one.outcome == Outcome.ACCEPTED]
    bad = [one.sentence for one in main if one.outcome != Outcome.ACCEPTED and one.tone is not Tone.QUIET]
    quiet = [one.sentence for one in main if one.outcome != Outcome.ACCEPTED and one.tone is Tone.QUIET]
    sentences = good + bad or quiet
    if not main:
        done = SENT[scene.kind or PushKind.RING]
        sentences = [
            f"{user} was not {done}: the trail says nothing of an attempt." if settled else "Nothing is known yet."
        ]
    standing = settled[-1].text("outcome") if settled else ""
    if standing and not any(one.outcome == standing for one in main):
        sentences.append(fill(STANDINGS.get(standing, "It is over for {user}."), scene, settled[-1]))
    if scene.kind is not PushKind.MISSED:
        notices = [one for one in told if one.kind == PushKind.MISSED and one.tone is not Tone.QUIET]
        sentences += [one.sentence for one in notices if one.outcome == Outcome.ACCEPTED] or [
            one.sentence for one in notices
        ]
    return sentences + [moment(scene, line).sentence for line in scene.of(user, Milestone.MAILED)[-1:]]


def _next(
    scene: Scene,
    user: str,
    lines: Sequence[Line],
    main: Sequence[Delivery],
    standing: str,
    *,
    reached: bool,
    tone: Tone,
) -> tuple[str, ...]:
    if reached and standing not in SETTLES_ITSELF and not any(one.rang for one in main):
        providers = {PROVIDERS.get(one.provider, "the provider") for one in main if one.outcome == Outcome.ACCEPTED}
        return (SILENT.format(provider=listed(sorted(providers))),) if scene.kind is PushKind.RING else ()
    if tone is not Tone.BAD:
        return ()
    wrong = [*lines, *scene.of(user, Milestone.MAILED)]
    advice = [fill(words(line.text("outcome")).advice, scene, line) for line in wrong]
    return tuple(one for one in dict.fromkeys(advice) if one)
