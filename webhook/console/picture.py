"""A round as a picture: rows for Stream's webhooks, the queue, each phone and each missed-call notice. Pure.

Most of a ring happens in its first second, and a ring lasts half a minute. So the time axis is logarithmic: each power
of ten gets about the same width. Positions are percentages of the width, so one picture fits every screen.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from bellhop.clock import Micros
from bellhop.domain.outcomes import Tone
from bellhop.domain.phone_report import REJECTIONS
from bellhop.explain.explanation import RoundExplanation
from bellhop.explain.timeline import TimelineEntry
from bellhop.trail import PhoneReported, WebhookReceived
from webhook.console.picture_rows import PictureMark, Row, rows_of
from webhook.console.time_axis import TimeAxis
from webhook.console.time_format import after

MAX_ROWS = 40
MAX_LINES = 6
MARKS_PER_PERCENT = 2
"""How many marks are drawn on one percent of the width. Further marks would cover each other."""
NAME_LENGTH = 22
"""Longest name that fits beside a result on a phone's screen."""
HEADER, LINE_HEIGHT, ROW_HEIGHT, FOOTER = 8, 17, 46, 24
"""In pixels."""
ANSWERS = {"call.accepted": "answered", "call.session_participant_joined": "joined"}
ENDS = ("call.ended", "call.deleted", "call.session_ended")


@dataclass(frozen=True, slots=True)
class PictureRow:
    """One row of marks on the time axis."""

    name: str
    full_name: str
    result: str
    """The result in a few words."""
    tone: Tone
    marks: tuple[PictureMark, ...]
    y: int


@dataclass(frozen=True, slots=True)
class PictureLine:
    """A vertical line through all rows: an answer, the end, or the deadline."""

    x: float
    label: str
    kind: str
    """answer, end or deadline."""
    y: int

    @property
    def anchor(self) -> str:
        """The end of the label that is at the line, so that the label stays inside the picture."""
        return "end" if self.x > 50 else "start"


@dataclass(frozen=True, slots=True)
class Picture:
    """Everything to draw, in that order."""

    ticks: tuple[tuple[float, str], ...]
    lines: tuple[PictureLine, ...]
    rows: tuple[PictureRow, ...]
    left_out: int
    """How many rows are not shown."""
    top: int
    height: int
    description: str
    """The picture in words, for screen readers."""


def picture(round_: RoundExplanation) -> Picture | None:
    """Draw a round; None for the events outside any round, which have no start to count from."""
    entries = [entry for entry in round_.timeline if entry.after_us is not None]
    if not round_.started_at or not entries:
        return None
    ends_us = Micros(round_.until - round_.started_at) if round_.until else None
    axis = TimeAxis.until(max(ends_us or Micros(0), *(entry.after_us or Micros(0) for entry in entries)))
    lines = _lines(round_, entries, ends_us, axis)
    all_rows = rows_of(round_, entries, axis)
    top = HEADER + LINE_HEIGHT * len(lines)
    rows = tuple(_picture_row(row, top + number * ROW_HEIGHT) for number, row in enumerate(all_rows[:MAX_ROWS]))
    return Picture(
        ticks=axis.ticks(),
        lines=lines,
        rows=rows,
        left_out=len(all_rows) - len(rows),
        top=top,
        height=top + ROW_HEIGHT * len(rows) + FOOTER,
        description="; ".join([*(f"{row.full_name}: {row.result}" for row in rows), *(line.label for line in lines)]),
    )


def _picture_row(row: Row, y: int) -> PictureRow:
    return PictureRow(_short(row.name), row.name, row.result, row.tone, _apart(row.marks()), y)


def _apart(marks: Iterable[PictureMark]) -> tuple[PictureMark, ...]:
    """Leave out marks that would cover an earlier mark: thousands of webhooks may come within a second."""
    shown: dict[tuple[int, Tone, bool], PictureMark] = {}
    for mark in marks:
        shown.setdefault((round(mark.x * MARKS_PER_PERCENT), mark.tone, mark.length > 0), mark)
    return tuple(shown.values())


def _lines(
    round_: RoundExplanation, entries: Sequence[TimelineEntry], ends_us: Micros | None, axis: TimeAxis
) -> tuple[PictureLine, ...]:
    events = list(_line_events(round_, entries))
    if ends_us is not None:
        events.append((ends_us, "ringing ends", "deadline"))
    return tuple(
        PictureLine(axis.x(at_us), f"{label} {after(at_us)}", kind, HEADER + number * LINE_HEIGHT)
        for number, (at_us, label, kind) in enumerate(sorted(events)[:MAX_LINES])
    )


def _line_events(round_: RoundExplanation, entries: Iterable[TimelineEntry]) -> Iterator[tuple[Micros, str, str]]:
    recipients = {user.user for user in round_.people}
    declined: set[str] = set()
    """The users who declined on a phone. Stream's event of it comes later."""
    for entry in entries:
        if entry.what not in (PhoneReported.what, WebhookReceived.what):
            continue
        at_us, users = entry.after_us or Micros(0), _short(", ".join(entry.users[:2]))
        if entry.what == PhoneReported.what and entry.outcome in REJECTIONS and entry.user not in declined:
            declined.add(entry.user)
            yield at_us, f"{_short(entry.user)} declined", "end"
        elif entry.event in ANSWERS:
            yield at_us, f"{users} {ANSWERS[entry.event]}", "answer"
        elif entry.event == "call.rejected" and not declined.issuperset(entry.users):
            by_recipient = not recipients.isdisjoint(entry.users)
            yield at_us, f"{users} {'declined' if by_recipient else 'cancelled'}", "end"
        elif entry.event in ENDS:
            yield at_us, "call ended", "end"


def _short(name: str) -> str:
    return name if len(name) <= NAME_LENGTH else name[: NAME_LENGTH - 1] + "…"
