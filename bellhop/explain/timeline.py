"""Each line of a call's trail in a sentence. Pure."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from bellhop.domain.call import NOTICE_DUE
from bellhop.explain.rounds import Line, RoundLog
from bellhop.explain.sentences import (
    CANCELLATION,
    EVENTS,
    FATES,
    OUTCOMES,
    PROVIDERS,
    PURPOSES,
    PUSHES,
    REJECTIONS,
    STANDINGS,
    Tone,
    Words,
    duration,
    listed,
)
from bellhop.trail import Milestone

UNNAMED = re.compile(r"(apns|fcm) (?:voip|alert) ([0-9a-f]{6})")
"""The label of a device that nobody gave a name (`bellhop.domain.device`)."""
PHONES = {"apns": "iPhone", "fcm": "Android phone"}
STRANGE = Words('of "{outcome}", which this version of Bellhop does not know', Tone.OPEN)
WORTH_SAYING_US = 1_000_000
"""A webhook that took longer to get here is told so."""


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """One line of the trail, in a sentence."""

    at: int
    """Unix µs."""
    after_us: int | None
    """The same, since the round's stamp; None where there is no round."""
    what: str
    """The milestone."""
    sentence: str
    tone: Tone
    user: str
    device: str
    """The device's key."""
    kind: str
    """Of push: ring, notification or missed."""
    outcome: str
    ms: float
    """How long an attempt took; it ended at `at`."""
    event: str
    """The type of the webhook that came."""
    users: tuple[str, ...]
    """Whom it is about."""


def timeline_entry(scene: RoundLog, line: Line) -> TimelineEntry:
    """Tell one line."""
    tell = SENTENCES.get(line.what)
    outcome = line.text("outcome")
    return TimelineEntry(
        at=line.at,
        after_us=line.at - scene.started_at if scene.started_at else None,
        what=line.what,
        sentence=tell(scene, line)
        if tell
        else f"Something that this version of Bellhop has no sentence for: {line.what}.",
        tone=words(outcome).tone if outcome in OUTCOMES and line.what != Milestone.SETTLED else Tone.QUIET,
        user=scene.user_of(line),
        device=line.text("device"),
        kind=line.text("kind"),
        outcome=outcome,
        ms=line.number("ms"),
        event=line.text("type"),
        users=line.names("users"),
    )


def words(outcome: str) -> Words:
    """The words for an outcome; some for one that only a newer version knows."""
    return OUTCOMES.get(outcome, STRANGE)


def fill(text: str, scene: RoundLog, line: Line) -> str:
    """Put what a line is about where a sentence says {…}."""
    user, device = scene.user_of(line), line.text("device")
    offset = scene.moment_of(line.text("outcome"), user)
    after = f" {duration(offset)} after " if offset is not None else ""
    return text.format(
        user=user,
        outcome=line.text("outcome"),
        # What is said of a device names its user; what is said of the user does not name them again.
        who=user if device else "they",
        whose=f"{user}'s" if device else "their",
        device=name_of(scene, line),
        provider=PROVIDERS.get(line.text("provider"), "the provider"),
        app=line.text("app") or "this app",
        when=after and f"{after}it began",
        since=after and f"{after}the call began",
        push=PUSHES.get(line.text("kind"), "push"),
        purpose=PURPOSES.get(line.text("kind"), "this"),
    )


def name_of(scene: RoundLog, line: Line) -> str:
    """Name the device a line is about, or the user."""
    device = line.text("device")
    label = line.text("label") or scene.labels.get(device, "") or (device and f"device {device[:6]}")
    if unnamed := UNNAMED.fullmatch(label):
        return f"{PHONES[unnamed[1]]} {unnamed[2]}"
    return label or scene.user_of(line) or "somebody"


def because(scene: RoundLog, line: Line) -> str:
    """Say why a push was not sent, or what became of it: a clause."""
    return fill(words(line.text("outcome")).because, scene, line)


def answer(line: Line) -> str:
    """What the provider answered, in its own words and in brackets; empty where it did not."""
    status = line.number("status")
    said = " ".join(part for part in (f"{status:.0f}" if status else "", line.text("reason")) if part)
    return f" ({said})" if said else ""


def _received(scene: RoundLog, line: Line) -> str:
    users, kind = line.names("users"), line.text("type")
    text = EVENTS.get(kind, "Stream sent {kind}")
    if kind == "call.rejected":
        by_caller = users and set(users) <= set(scene.callers)
        text = CANCELLATION if by_caller else REJECTIONS.get(line.text("reason"), text)
    caller = (line.names("callers") or scene.callers or ("somebody",))[0]
    told = text.format(
        kind=kind or "a webhook", caller=caller, users=listed(users, int(line.number("more"))) or "nobody"
    )
    if left_out := int(line.number("left_out")):
        told += f". {left_out} more members were left out: Bellhop takes no more of one webhook"
    delay, attempt = line.at - line.stamp, int(line.number("attempt"))
    if delay > WORTH_SAYING_US:
        told += f". The webhook took {duration(delay)} to get here"
        told += f", at attempt {attempt}" if attempt > 1 else ""
    return f"{told}."


def _repeated(_: RoundLog, line: Line) -> str:
    attempt = int(line.number("attempt"))
    which = f", at attempt {attempt}" if attempt > 1 else ""
    return f"Stream sent the same {line.text('type') or 'webhook'} again{which}: nothing was done twice."


def _picked_up(scene: RoundLog, line: Line) -> str:
    push = PUSHES.get(line.text("job"), "work")
    before = [one for one in scene.lines if one.what == line.what and one.text("job") == line.text("job")]
    if before[:1] != [line]:
        return f"A worker took the {push} up once more: it was queued twice, or the first worker went away."
    waited = line.at - scene.openings[0].at if scene.openings else 0
    return f"A worker took the {push} up" + (f", {duration(waited)} after it was queued." if scene.openings else ".")


def _skipped(scene: RoundLog, line: Line) -> str:
    return f"{name_of(scene, line)} gets no {PUSHES.get(line.text('kind'), 'push')}: {because(scene, line)}."


def _waited(scene: RoundLog, line: Line) -> str:
    return fill("The {push} for {device} does not go out yet: ", scene, line) + f"{because(scene, line)}."


def _attempted(scene: RoundLog, line: Line) -> str:
    took = f" in {duration(line.number('ms') * 1000)}" if line.number("ms") else ""
    if line.text("outcome") == "accepted":
        return fill("{provider} accepted the {push} for {device}", scene, line) + f"{took}."
    start = fill("An attempt at the {push} for {device} failed", scene, line)
    return f"{start}{took}: {because(scene, line)}{answer(line)}."


def _finished(scene: RoundLog, line: Line) -> str:
    return fill("No more attempts at the {push} for {device}: ", scene, line) + f"{because(scene, line)}."


def _token(scene: RoundLog, line: Line) -> str:
    fate = FATES.get(line.text("detail"), "Something happened to the push token of {device}.")
    return fill(fate, scene, line)


def _settled(scene: RoundLog, line: Line) -> str:
    where = line.text("outcome")
    sentence = fill(STANDINGS.get(where, "It is over for {user}."), scene, line)
    return f"{sentence} A missed-call notice is due to {line.text('user')}." if where in NOTICE_DUE else sentence


def _mailed(scene: RoundLog, line: Line) -> str:
    none = words(line.text("outcome")).tone is Tone.QUIET
    start = "No missed-call e-mail for {user}: " if none else "The missed-call e-mail to {user}: "
    return fill(start, scene, line) + f"{because(scene, line)}{answer(line)}."


def _rang(scene: RoundLog, line: Line) -> str:
    return f"{name_of(scene, line)} reports that it rang."


def _unreadable(_: RoundLog, __: Line) -> str:
    return "Stream sent a webhook that could not be read; it was kept for the developers."


SENTENCES: dict[str, Callable[[RoundLog, Line], str]] = {
    Milestone.RECEIVED: _received,
    Milestone.REPEATED: _repeated,
    Milestone.UNREADABLE: _unreadable,
    Milestone.PICKED_UP: _picked_up,
    Milestone.SKIPPED: _skipped,
    Milestone.WAITED: _waited,
    Milestone.ATTEMPTED: _attempted,
    Milestone.FINISHED: _finished,
    Milestone.TOKEN: _token,
    Milestone.SETTLED: _settled,
    Milestone.RANG: _rang,
    Milestone.MAILED: _mailed,
}
"""How each milestone is told."""
