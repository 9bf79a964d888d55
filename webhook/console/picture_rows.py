"""The rows of the picture: Stream's webhooks, the queue, each phone, and each missed-call notice. Pure."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from bellhop.domain import round_of_test
from bellhop.domain.outcomes import Outcome, Tone
from bellhop.domain.push import STARTED, PushKind
from bellhop.explain.delivery import Delivery
from bellhop.explain.explanation import RoundExplanation
from bellhop.explain.timeline import TimelineEntry
from bellhop.explain.verdict import UserVerdict
from bellhop.explain.webhooks import OPENERS
from bellhop.trail import (
    EmailMilestone,
    JobPickedUp,
    PhoneRang,
    PhoneReported,
    PushAttempted,
    PushFinished,
    PushSkipped,
    PushWaited,
    WebhookOutdated,
    WebhookPutOff,
    WebhookReceived,
    WebhookRepeated,
)
from webhook.console.time_axis import TimeAxis
from webhook.console.time_format import after

WEBHOOKS = (WebhookReceived.what, WebhookRepeated.what, WebhookOutdated.what, WebhookPutOff.what)
PUSHES = tuple(line.what for line in (PushSkipped, PushWaited, PushAttempted, PushFinished, PhoneRang, PhoneReported))
STARTS = (*OPENERS, *STARTED)

OF_A_RING: dict[str, str] = {
    PushKind.SECOND_RING: "again",
    PushKind.ALERT_RING: "again",
    PushKind.RING_OVER: "end of the ring",
}
"""Further pushes to a phone that was rung, by their kind, and how their rows are called."""

PushTo = tuple[str, str]
"""A kind of push, and a device. The device is empty for entries that are about no device."""
EntriesByPush = Mapping[PushTo, Sequence[TimelineEntry]]


@dataclass(frozen=True, slots=True)
class PictureMark:
    """A mark at a time of a row. With a length, also a bar that ends there."""

    x: float
    length: float
    tone: Tone
    title: str


class Row(NamedTuple):
    """One row, without its position in the picture."""

    name: str
    result: str
    tone: Tone
    marks: Callable[[], Iterable[PictureMark]]
    """Makes the marks. It is called only for the rows that are shown: a big call has many more rows."""


def rows_of(round_: RoundExplanation, entries: Sequence[TimelineEntry], axis: TimeAxis) -> list[Row]:
    """Make the rows from the entries that have a time."""
    return [_webhooks(entries, axis), *_queue(entries, axis), *_phones(round_, entries, axis)]


def _webhooks(entries: Iterable[TimelineEntry], axis: TimeAxis) -> Row:
    webhooks = [entry for entry in entries if entry.what in WEBHOOKS and entry.event != round_of_test.EVENT]
    if not webhooks:
        return Row("Stream", "nothing", Tone.QUIET, tuple)
    first, *others = webhooks
    # The first webhook's bar begins at the start of the call: it shows the delay of a late webhook.

    def marks() -> Iterator[PictureMark]:
        yield _mark(first, axis, since_us=0)
        yield from (_mark(webhook, axis) for webhook in others)

    plural = "" if len(webhooks) == 1 else "s"
    return Row("Stream", f"{len(webhooks)} webhook{plural}, from {after(first.after_us)}", Tone.QUIET, marks)


def _queue(entries: Sequence[TimelineEntry], axis: TimeAxis) -> Iterator[Row]:
    queued = next((entry for entry in entries if entry.event in STARTS), None)
    picked_up = next((entry for entry in entries if entry.what == JobPickedUp.what), None)
    if queued and picked_up:
        wait_us = max((picked_up.after_us or 0) - (queued.after_us or 0), 0)
        wait = f"{wait_us / 1000:.0f} ms" if wait_us < 1_000_000 else f"{wait_us / 1e6:.1f} s"
        yield Row("Queue", f"waited {wait}", Tone.QUIET, lambda: (_mark(picked_up, axis, since_us=queued.after_us),))
    elif queued:
        yield Row("Queue", "waits for a worker", Tone.OPEN, lambda: (_mark(queued, axis),))


def _phones(round_: RoundExplanation, entries: Iterable[TimelineEntry], axis: TimeAxis) -> Iterator[Row]:
    """Make a row for each phone and each notice. A user without a phone gets a row with the reason."""
    by_user: dict[str, dict[PushTo, list[TimelineEntry]]] = defaultdict(lambda: defaultdict(list))
    emails: dict[str, list[TimelineEntry]] = defaultdict(list)
    for entry in entries:
        if entry.what in PUSHES:
            by_user[entry.user][entry.kind or PushKind.RING, entry.device].append(entry)
        elif entry.what == EmailMilestone.what:
            emails[entry.user].append(entry)
    for user in round_.people:
        yield from _phones_of(user, round_.kind, by_user.get(user.user, {}), axis)
        if of_user := emails.get(user.user):
            marks = partial(_attempt_marks, of_user, axis)
            yield Row(f"{user.user}, e-mail", _words(of_user[-1].outcome), of_user[-1].tone, marks)


def _phones_of(user: UserVerdict, round_kind: str, by_push: EntriesByPush, axis: TimeAxis) -> Iterator[Row]:
    deliveries = {(delivery.kind, delivery.device): delivery for delivery in user.deliveries}
    for push, entries in sorted(by_push.items(), key=lambda item: item[0][0] != round_kind):
        marks = partial(_attempt_marks, entries, axis)
        delivery = deliveries.get(push)
        if delivery is None:
            first = entries[0]
            yield Row(_name(user.user, first.kind, round_kind), _words(first.outcome), first.tone, marks)
        else:
            yield Row(
                _name(delivery.label, delivery.kind, round_kind), _result(delivery, entries), delivery.tone, marks
            )


def _result(delivery: Delivery, entries: Iterable[TimelineEntry]) -> str:
    """Say in a few words what happened, and when: the phone's report counts more than the provider's answer."""
    rang = next((entry for entry in entries if entry.what == PhoneRang.what), None)
    if rang:
        return f"rang {after(rang.after_us)}"
    accepted = next((attempt for attempt in delivery.attempts if attempt.outcome == Outcome.ACCEPTED), None)
    return f"{_words(delivery.outcome)} {after(accepted.after_us)}" if accepted else _words(delivery.outcome)


def _name(label: str, kind: str, round_kind: str) -> str:
    """Name a row. A further push to the same phone has a row of its own, and the name says what the push is."""
    if kind in OF_A_RING:
        return f"{label}, {OF_A_RING[kind]}"
    is_ring = round_kind == round_of_test.KIND and kind == PushKind.RING
    return label if is_ring or kind == round_kind else f"{label}, notice"


def _attempt_marks(entries: Iterable[TimelineEntry], axis: TimeAxis) -> Iterator[PictureMark]:
    return (_mark(entry, axis, since_us=(entry.after_us or 0) - entry.ms * 1000) for entry in entries)


def _mark(entry: TimelineEntry, axis: TimeAxis, since_us: float | None = None) -> PictureMark:
    """Make a mark, with a bar from `since_us` to it if that is given."""
    after_us = entry.after_us or 0
    x = axis.x(after_us)
    length = round(x - axis.x(since_us), 2) if since_us is not None else 0
    return PictureMark(x, max(length, 0), entry.tone, f"{after(entry.after_us)}: {entry.sentence}")


def _words(outcome: str) -> str:
    return outcome.replace("_", " ")
