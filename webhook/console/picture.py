"""A round as a picture: a lane for Stream's webhooks, one for the wait in the queue, one for each phone. Pure.

Rings are decided in their first second and end after half a minute, so the axis of time is logarithmic: it gives each
tenfold of time about the same room. Places are percentages of the width, so one picture fits every screen.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bellhop.clock import Micros
from bellhop.domain.outcomes import Outcome, Tone
from bellhop.explain.explanation import RoundExplanation
from bellhop.explain.timeline import TimelineEntry
from bellhop.trail import (
    JobPickedUp,
    PhoneRang,
    PushAttempted,
    PushFinished,
    PushSkipped,
    PushWaited,
    WebhookReceived,
    WebhookRepeated,
)
from webhook.console.time_format import after

ABOUT_PHONES = {milestone.what for milestone in (PushSkipped, PushWaited, PushAttempted, PushFinished, PhoneRang)}
MOST_LANES = 40
MOST_LINES = 6
NAME = 22
"""Characters of a name that fit beside an outcome on a phone."""
KNEE_US = 20_000
"""Up to about here the axis is linear."""
SHORTEST_US = 1_000_000
MARGIN, WIDTH = 1.5, 97.0
"""Where the axis begins, and how long it is, in percent of the picture's width."""
TICKS_US = {
    0: "0",
    100_000: "0.1 s",
    1_000_000: "1 s",
    10_000_000: "10 s",
    60_000_000: "1 min",
    600_000_000: "10 min",
    3_600_000_000: "1 h",
    86_400_000_000: "1 day",
}
HEADER, LINE, LANE, FOOTER = 8, 17, 46, 24
"""Heights in pixels."""
BEGINNINGS = ("call.ring", "call.notification")
ANSWERS = {"call.accepted": "answered", "call.session_participant_joined": "joined"}
ENDS = ("call.ended", "call.deleted", "call.session_ended")


@dataclass(frozen=True, slots=True)
class PictureMark:
    """A moment on a lane, or (with a length) a stretch of time that ended in it."""

    x: float
    length: float
    tone: Tone
    title: str


@dataclass(frozen=True, slots=True)
class PictureRow:
    """One row."""

    name: str
    full_name: str
    says: str
    """What it came to, in a few words."""
    tone: Tone
    marks: tuple[PictureMark, ...]
    y: int


@dataclass(frozen=True, slots=True)
class Upright:
    """A moment that concerns every lane: an answer, the end, the deadline."""

    x: float
    label: str
    kind: str
    """answer, end or deadline."""
    y: int

    @property
    def anchor(self) -> str:
        """Which end of the label is at the line, so that it stays inside the picture."""
        return "end" if self.x > 50 else "start"


@dataclass(frozen=True, slots=True)
class Picture:
    """Everything, in the order in which it is drawn."""

    ticks: tuple[tuple[float, str], ...]
    uprights: tuple[Upright, ...]
    lanes: tuple[PictureRow, ...]
    left_out: int
    """How many lanes there is no room for."""
    top: int
    height: int
    says: str
    """The same in words."""


def picture(round_: RoundExplanation) -> Picture | None:
    """Draw a round; None for what has no beginning to count from."""
    moments = [one for one in round_.timeline if one.after_us is not None]
    if not round_.started_at or not moments:
        return None
    until = Micros(round_.until - round_.started_at if round_.until else 0)
    span = max(SHORTEST_US, until, *(one.after_us or 0 for one in moments))
    uprights = _uprights(round_, moments, until, span)
    rows = [_webhooks(moments, span), *_queue(moments, span), *_phones(round_, moments, span)]
    top = HEADER + LINE * len(uprights)
    lanes = tuple(
        PictureRow(_short(name), name, says, tone, marks, top + number * LANE)
        for number, (name, says, tone, marks) in enumerate(rows[:MOST_LANES])
    )
    return Picture(
        ticks=tuple((_x(at, span), text) for at, text in TICKS_US.items() if at <= span),
        uprights=uprights,
        lanes=lanes,
        left_out=len(rows) - len(lanes),
        top=top,
        height=top + LANE * len(lanes) + FOOTER,
        says="; ".join(
            [*(f"{lane.full_name}: {lane.says}" for lane in lanes), *(upright.label for upright in uprights)]
        ),
    )


Row = tuple[str, str, Tone, tuple[PictureMark, ...]]


def _x(us: float, span: int) -> float:
    return round(MARGIN + WIDTH * math.log1p(max(us, 0) / KNEE_US) / math.log1p(span / KNEE_US), 2)


def _mark(moment: TimelineEntry, span: int, since: float | None = None) -> PictureMark:
    at = moment.after_us or Micros(0)
    x = _x(at, span)
    length = round(x - _x(at if since is None else since, span), 2)
    return PictureMark(x, max(length, 0), moment.tone, f"{after(at)}: {moment.sentence}")


def _webhooks(moments: Iterable[TimelineEntry], span: int) -> Row:
    came = [one for one in moments if one.what in (WebhookReceived.what, WebhookRepeated.what)]
    # The first was on its way since the call began: where a late ring lost its time may be here.
    marks = tuple(_mark(one, span, since=None if number else 0) for number, one in enumerate(came))
    says = f"{len(came)} webhook{'' if len(came) == 1 else 's'}, from {after(came[0].after_us)}" if came else "nothing"
    return "Stream", says, Tone.QUIET, marks


def _queue(moments: Sequence[TimelineEntry], span: int) -> Iterable[Row]:
    queued = next((one for one in moments if one.event in BEGINNINGS), None)
    begun = next((one for one in moments if one.what == JobPickedUp.what), None)
    if queued and begun:
        wait_us = (begun.after_us or 0) - (queued.after_us or 0)
        says = f"{max(wait_us, 0) / 1000:.0f} ms" if wait_us < 1_000_000 else f"{wait_us / 1e6:.1f} s"
        yield "Queue", f"waited {says}", Tone.QUIET, (_mark(begun, span, since=queued.after_us),)
    elif queued:
        yield "Queue", "waits for a worker", Tone.OPEN, (_mark(queued, span),)


def _phones(round_: RoundExplanation, moments: Sequence[TimelineEntry], span: int) -> Iterable[Row]:
    """Draw a lane for each phone; for a person without any, one that says why."""
    of_device: dict[tuple[str, str], list[TimelineEntry]] = {}
    for one in moments:
        if one.what in ABOUT_PHONES and one.user:
            of_device.setdefault((one.user, one.device), []).append(one)
    for person in round_.people:
        deliveries = {delivery.device: delivery for delivery in reversed(person.deliveries)}
        for (user, device), its in of_device.items():
            if user != person.user:
                continue
            delivery = deliveries.get(device)
            marks = tuple(_mark(one, span, since=(one.after_us or 0) - one.ms * 1000) for one in its)
            if delivery is None:
                first = its[0]
                yield person.user, _word(first.outcome), first.tone, marks
                continue
            accepted = next((one for one in delivery.attempts if one.outcome == Outcome.ACCEPTED), None)
            when = f" {after(accepted.after_us)}" if accepted else ""
            word = "rang" if delivery.rang else _word(delivery.outcome)
            # An iPhone has a token for rings and another for the rest, and both have the phone's name.
            name = delivery.label if delivery.kind == round_.kind else f"{delivery.label}, notice"
            yield name, f"{word}{when}", delivery.tone, marks


def _uprights(
    round_: RoundExplanation, moments: Iterable[TimelineEntry], until: Micros, span: int
) -> tuple[Upright, ...]:
    people = {person.user for person in round_.people}
    found: list[tuple[Micros, str, str]] = [(until, "ringing ends", "deadline")] if until else []
    for one in moments:
        at, who = one.after_us or Micros(0), ", ".join(one.users[:2])
        if one.what != WebhookReceived.what:
            continue
        if one.event in ANSWERS:
            found.append((at, f"{_short(who)} {ANSWERS[one.event]}", "answer"))
        elif one.event == "call.rejected":
            declined = bool(people & set(one.users))
            found.append((at, f"{_short(who)} {'declined' if declined else 'cancelled'}", "end"))
        elif one.event in ENDS:
            found.append((at, "call ended", "end"))
    first = sorted(found)[:MOST_LINES]
    return tuple(
        Upright(_x(at, span), f"{label} {after(at)}", kind, HEADER + number * LINE)
        for number, (at, label, kind) in enumerate(first)
    )


def _word(outcome: str) -> str:
    return outcome.replace("_", " ")


def _short(name: str) -> str:
    return name if len(name) <= NAME else name[: NAME - 1] + "…"
