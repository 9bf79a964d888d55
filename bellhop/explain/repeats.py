"""Join attempts that end in the same way into one line, for people who read a timeline. Pure."""

from collections.abc import Sequence
from dataclasses import replace

from bellhop.domain.outcomes import Outcome
from bellhop.domain.push import PushKind
from bellhop.explain.sentences import AGAIN, duration
from bellhop.explain.timeline import TimelineEntry
from bellhop.trail import PushAttempted


def joined(timeline: Sequence[TimelineEntry]) -> list[TimelineEntry]:
    """Replace attempts of one push that follow each other and end in the same way by the first, with their number.

    Lines about other devices may stand between them.
    """
    shown: list[list[TimelineEntry]] = []
    last_of: dict[tuple[str, str], list[TimelineEntry]] = {}
    for entry in timeline:
        push = entry.device, entry.kind
        group = last_of.get(push)
        if group is not None and _ends_like(group[0], entry):
            group.append(entry)
            continue
        shown.append([entry])
        if entry.device:
            last_of[push] = shown[-1]
    return [_as_one(group) for group in shown]


def _ends_like(first: TimelineEntry, entry: TimelineEntry) -> bool:
    is_repeat = entry.what == first.what == PushAttempted.what and entry.outcome == first.outcome
    may_repeat = first.outcome != Outcome.ACCEPTED or first.kind == PushKind.ALERT_RING
    return is_repeat and may_repeat and _result(entry) == _result(first)


def _result(entry: TimelineEntry) -> str:
    """The part of an attempt's sentence that does not say how long it took."""
    return entry.sentence.partition(": ")[2]


def _as_one(group: Sequence[TimelineEntry]) -> TimelineEntry:
    first, last, more = group[0], group[-1], len(group) - 1
    if not more or last.after_us is None:
        return first
    word = "alert" if first.kind == PushKind.ALERT_RING else "attempt"
    counted = f"Another {word}" if more == 1 else f"{more} more {word}s"
    again = AGAIN.format(counted=counted, time=duration(last.after_us))
    return replace(first, sentence=f"{first.sentence} {again}")
