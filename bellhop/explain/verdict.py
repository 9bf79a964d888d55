"""What one round came to for one person: a verdict, and what became of each push. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from bellhop.domain.call import Standing
from bellhop.domain.device import Provider
from bellhop.domain.outcomes import MEANING, Action, Outcome
from bellhop.domain.push import PushKind
from bellhop.explain.rounds import Line, RoundLog
from bellhop.explain.sentences import PROVIDERS, SENT, SILENT, STANDINGS, Tone, duration, listed
from bellhop.explain.timeline import TimelineEntry, answer, because, fill, name_of, timeline_entry, words
from bellhop.trail import Milestone

LATE_US = 3_000_000
"""Who is cancelled on after that long without a push should have been rung before."""
ENDINGS = (Milestone.SKIPPED, Milestone.ATTEMPTED, Milestone.FINISHED)
OVER = frozenset({Outcome.TIMED_OUT, Outcome.MISSED, Outcome.CANCELLED, Outcome.ENDED})
"""The call was over before there was a push."""
REPEATED = frozenset({Action.RETRY_NOW, Action.RETRY_LATER})
KNEW = frozenset({Standing.ANSWERED, Standing.DECLINED, Standing.BUSY})
"""Who does one of these knows of the call, and does not wonder why the phone was silent."""


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
    attempts: tuple[TimelineEntry, ...]
    rang: bool
    """Whether the phone reported that it rang."""


@dataclass(frozen=True, slots=True)
class UserVerdict:
    """What a round came to for one person."""

    user: str
    verdict: str
    tone: Tone
    standing: str
    """Where they stand (bellhop/domain/call.py); empty while the phone may ring."""
    final: bool
    """Whether that is recorded for good."""
    reached: bool
    """Whether a provider accepted the push that the round is for."""
    deliveries: tuple[Delivery, ...]
    next: tuple[str, ...]
    """What to do next, where something is wrong."""


def user_verdict(scene: RoundLog, user: str) -> UserVerdict:
    """Tell what a round came to for one of its people."""
    lines = scene.of(user, *ENDINGS, Milestone.WAITED)
    pairs = dict.fromkeys((line.text("kind"), line.text("device")) for line in lines)
    settled = [line.text("outcome") for line in scene.of(user, Milestone.SETTLED)]
    standing = settled[-1] if settled else scene.standing_of(user)
    told = {
        pair: _delivery(scene, [line for line in lines if (line.text("kind"), line.text("device")) == pair], standing)
        for pair in pairs
    }
    main = [delivery for (kind, _), delivery in told.items() if kind == scene.kind]
    reached = any(delivery.outcome == Outcome.ACCEPTED for delivery in main)
    tone = _tone(main, standing, reached)
    return UserVerdict(
        user=user,
        verdict=" ".join(_verdict(scene, user, list(told.values()), standing)),
        tone=tone,
        standing=standing,
        final=bool(settled),
        reached=reached,
        deliveries=tuple(delivery for delivery in told.values() if delivery.device),
        next=_next(scene, user, lines, main, standing, reached=reached, tone=tone),
    )


def _delivery(scene: RoundLog, lines: Sequence[Line], standing: str) -> Delivery:
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
        start = f"{name} was not {done}"
        if any(line.text("outcome") == Outcome.UNKNOWN for line in attempts):
            start = f"It is not known whether {name} was {done}"
        if _goes_on(last, attempts, standing):
            start, tone = f"{start} yet, after {_failed_attempts(failed)}; it is still being tried", Tone.OPEN
        sentence = f"{start}: {because(scene, last)}{answer(last)}{_tries(scene, last, attempts, lines)}"
        late = outcome in OVER and (scene.moment_of(outcome, last.text("user")) or 0) >= LATE_US
        tone = Tone.BAD if outcome in OVER and (late or failed) else tone
    device, told = last.text("device"), tuple(timeline_entry(scene, line) for line in attempts)
    rang = kind == PushKind.RING and any(
        line.what == Milestone.RANG and line.text("device") == device for line in scene.lines
    )
    sentence += ", and it reports that it rang" if rang else ""
    return Delivery(device, name, kind, last.text("provider"), outcome, tone, f"{sentence}.", told, rang)


def _goes_on(last: Line, attempts: Sequence[Line], standing: str) -> bool:
    """Whether another attempt follows the last one: a push that ends without a provider's last word has a line of it.

    A ring stops when it is over for the user, a notice is sent because it is.
    """
    outcome = last.text("outcome")
    if last.what != Milestone.ATTEMPTED or (standing and last.text("kind") == PushKind.RING):
        return False
    if outcome == Outcome.BAD_TOKEN and last.text("provider") == Provider.APNS:  # Apple's other environment is next
        return sum(line.text("outcome") == outcome for line in attempts) == 1
    return outcome in MEANING and MEANING[Outcome(outcome)].action in REPEATED


def _tries(scene: RoundLog, last: Line, attempts: Sequence[Line], lines: Sequence[Line]) -> str:
    if last.what != Milestone.FINISHED or last.text("outcome") == Outcome.NO_CREDENTIALS:
        return ""
    if attempts:
        why = because(scene, attempts[-1]) + answer(attempts[-1])
        return f", after {_failed_attempts(len(attempts))}{': ' if len(attempts) == 1 else '; the last time '}{why}"
    before = "" if last.text("outcome") == Outcome.GAVE_UP else ", before the first attempt"
    waited = [line for line in lines if line.what == Milestone.WAITED]
    return before + (f": {because(scene, waited[-1])}" if waited else "")


def _failed_attempts(number: int) -> str:
    return f"{number} failed attempt{'s' if number > 1 else ''}"


def _tone(main: Sequence[Delivery], standing: str, reached: bool) -> Tone:
    tones = {delivery.tone for delivery in main}
    if reached or standing == Standing.ANSWERED:
        return Tone.GOOD
    if standing in KNEW:
        return Tone.QUIET
    if Tone.BAD in tones or (standing and not tones):
        return Tone.BAD
    return Tone.OPEN if Tone.OPEN in tones or not tones else Tone.QUIET


def _verdict(scene: RoundLog, user: str, told: Sequence[Delivery], standing: str) -> list[str]:
    """Say first what became of the push that the round is for, then how it ended for the user, then of the notice."""
    main = [one for one in told if one.kind == scene.kind]
    good = [one for one in main if one.outcome == Outcome.ACCEPTED]
    quiet = [one for one in main if one.tone is Tone.QUIET]
    shown = good + [one for one in main if one not in (*good, *quiet)] or quiet
    sentences = [one.sentence for one in shown]
    if not shown:
        done = SENT[scene.kind or PushKind.RING]
        nothing = f"{user} was not {done}: the trail says nothing of an attempt."
        sentences = [nothing if standing else "Nothing is known yet."]
    if standing and not any(one.outcome == standing for one in shown):
        told_of = Line("", 0, {"user": user, "outcome": standing})
        sentences.append(fill(STANDINGS.get(standing, "It is over for {user}."), scene, told_of))
    if scene.kind is not PushKind.MISSED:
        notices = [one for one in told if one.kind == PushKind.MISSED and one.device and one.tone is not Tone.QUIET]
        accepted = [one for one in notices if one.outcome == Outcome.ACCEPTED]
        sentences += [one.sentence for one in accepted or notices]
    mail = [timeline_entry(scene, line) for line in scene.of(user, Milestone.MAILED)[-1:]]
    return sentences + [one.sentence for one in mail if one.tone is not Tone.QUIET]


def _next(
    scene: RoundLog,
    user: str,
    lines: Sequence[Line],
    main: Sequence[Delivery],
    standing: str,
    *,
    reached: bool,
    tone: Tone,
) -> tuple[str, ...]:
    if reached and standing not in (*KNEW, "") and not any(one.rang for one in main):
        providers = {PROVIDERS.get(one.provider, "the provider") for one in main if one.outcome == Outcome.ACCEPTED}
        return (SILENT.format(provider=listed(sorted(providers))),) if scene.kind is PushKind.RING else ()
    if tone is not Tone.BAD:
        return ()
    wrong = [line for line in lines if line.text("kind") == scene.kind] + scene.of(user, Milestone.MAILED)
    advice = [fill(words(line.text("outcome")).advice, scene, line) for line in wrong]
    return tuple(one for one in dict.fromkeys(advice) if one)
