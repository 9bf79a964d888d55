"""A call in one line of a list, and the flags by which a list of calls is filtered. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NamedTuple

from bellhop.clock import Micros
from bellhop.domain import round_of_test
from bellhop.domain.call import NOTICE_DUE, Standing
from bellhop.domain.outcomes import Outcome, Tone
from bellhop.domain.push import QUIET, PushKind
from bellhop.explain.delivery import Delivery
from bellhop.explain.explanation import Explanation, RoundExplanation, explain_end, explain_for, explain_latest
from bellhop.explain.sentences import listed, named
from bellhop.explain.short_reason import LATE_US, first_accepted_us
from bellhop.explain.timeline import TimelineEntry
from bellhop.explain.verdict import KNEW_OF_CALL, UserVerdict
from bellhop.explain.whole_trail import UNKNOWN_TIME
from bellhop.trail import EmailMilestone, Milestone

NAMES_SHOWN = 3
REASONS_SHOWN = 2
MAX_LINES = 2_000
"""How many lines of a trail a summary explains, the latest rounds first. All lines of the last round are explained."""
WORST_FIRST = (Tone.BAD, Tone.OPEN, Tone.QUIET, Tone.GOOD)


class Flag(StrEnum):
    """A reason to look at a call."""

    NOT_REACHED = "not_reached"
    """No phone of some user rang, for any reason, and the user did not answer or decline in the app."""
    LATE = "late"
    """Some user's first phone rang late, or there was no time left to ring it."""
    FAILED = "failed"
    """A push to a phone, or an e-mail, failed for good."""


class Extent(StrEnum):
    """How much of a call's trail its summary is about."""

    WHOLE = "whole"
    END = "end"
    """Only the end of the trail was read: earlier rounds were not looked at, and `rounds` does not count them."""
    TOO_LONG = "too_long"
    """The last round is longer than what was read of the trail: nothing is known about it."""
    PENDING = "pending"
    """The trail was not read yet."""


@dataclass(frozen=True, slots=True)
class CallSummary:
    """One line of a list of calls."""

    cid: str
    started_at: Micros
    """Stream's stamp (unix µs) of the last round; 0 if it is not known."""
    kind: str
    """ring, notification, missed or test."""
    caller: str
    called: str
    """The users of the last round as a text: "ben (Ben Stone), jane and 4 more"."""
    rounds: int
    unchecked: int
    """How many of the earliest rounds were not looked at: `flags` does not include them."""
    people: int
    """The number of users of the last round."""
    reached: int
    """The number of users of the last round for whom a provider accepted the push."""
    tone: Tone
    """The worst `PersonResult` of the last round; bad if there is a bad one in any round that was looked at."""
    flags: frozenset[Flag]
    """The flags of all rounds that were looked at."""
    extent: Extent = Extent.WHOLE
    caller_name: str = ""
    reason: str = ""
    """Why, in a few words: that of the users with the worst result."""


def summarize_trail(cid: str, trail: Iterable[Milestone], now: Micros = UNKNOWN_TIME) -> CallSummary:
    """Summarize a call by its trail. The work is bounded: of many rounds, only the latest are looked at."""
    latest = explain_latest(cid, trail, MAX_LINES, now=now)
    return summarize(latest.explanation, latest.left_out)


def summarize_for(
    cid: str, lines: Sequence[Milestone], most_lines: int, now: Micros, user: str
) -> tuple[CallSummary, int]:
    """Summarize a call for this user, or for all users if `user` is empty or was not called, as the caller.

    Returns how many users were explained, too.
    """
    latest = explain_for(cid, lines, most_lines, user, now)
    users = sum(len(round_.people) for round_ in latest.explanation.rounds)
    return summarize(latest.explanation, latest.left_out), users


def summarize_end(
    cid: str, lines: Sequence[Milestone], most_lines: int, now: Micros = UNKNOWN_TIME, user: str = ""
) -> CallSummary | None:
    """Summarize a call by the last lines of a longer trail: by the latest of the rounds that began in these lines.

    None if no round did. `user` as in `summarize_for`.
    """
    explanation = explain_end(cid, lines, most_lines, now, user)
    if user and not explanation.found:
        return summarize_end(cid, lines, most_lines, now)
    return replace(summarize(explanation), extent=Extent.END) if explanation.rounds else None


def without_summary(cid: str, began_at: Micros, extent: Extent) -> CallSummary:
    """Return the line of a call of which only the beginning of its last round is known."""
    return CallSummary(cid, began_at, "", "", "", 0, 0, 0, 0, Tone.OPEN, frozenset(), extent)


def summarize(explanation: Explanation, left_out: int = 0) -> CallSummary:
    """Summarize an explained call by its last round; `left_out` is the number of earlier rounds not explained."""
    rounds = [round_ for round_ in explanation.rounds if round_.started_at] or list(explanation.rounds)
    if explanation.user:
        rounds = [round_ for round_ in rounds if round_.people]
    if not rounds:
        return CallSummary(explanation.cid, Micros(0), "", "", "", 0, 0, 0, 0, Tone.OPEN, frozenset())
    last = rounds[-1]
    shown = [named(verdict.user, verdict.name) for verdict in last.people[:NAMES_SHOWN]]
    results = [person_results(round_) for round_ in rounds]
    tone = Tone.BAD if any(_worst(of_round) is Tone.BAD for of_round in results) else _worst(results[-1])
    decisive = next(of_round for of_round in reversed(results) if _worst(of_round) is tone)
    return CallSummary(
        cid=explanation.cid,
        started_at=last.started_at,
        kind=last.kind,
        caller=last.caller,
        called=listed(shown, len(last.people) - len(shown)),
        rounds=len(rounds) + left_out,
        unchecked=left_out,
        people=len(last.people),
        reached=len([verdict for verdict in last.people if verdict.reached]),
        tone=tone,
        flags=frozenset(flag for of_round in results for result in of_round for flag in result.flags),
        reason=_reason(decisive),
        caller_name=last.caller_name,
    )


class PersonResult(NamedTuple):
    """The result of a round for one user, as each list and page shows it."""

    verdict: UserVerdict
    flags: frozenset[Flag]
    tone: Tone
    """The verdict's tone, but bad if a flag is bad. NOT_REACHED is not bad for a user who wants no calls now."""


def person_results(round_: RoundExplanation) -> list[PersonResult]:
    """Return the result for each user of a round, the worst first."""
    emails = {entry.user: entry for entry in round_.timeline if entry.what == EmailMilestone.what}
    results = [_person_result(round_, verdict, emails.get(verdict.user)) for verdict in round_.people]
    return sorted(results, key=lambda result: WORST_FIRST.index(result.tone))


def _person_result(round_: RoundExplanation, verdict: UserVerdict, last_email: TimelineEntry | None) -> PersonResult:
    found = {
        Flag.NOT_REACHED: not_reached(round_, verdict),
        Flag.LATE: late(round_, verdict),
        Flag.FAILED: _failed(round_, verdict, last_email),
    }
    is_bad = found[Flag.LATE] or found[Flag.FAILED] or (found[Flag.NOT_REACHED] and verdict.tone is not Tone.QUIET)
    return PersonResult(verdict, frozenset(flag for flag in Flag if found[flag]), Tone.BAD if is_bad else verdict.tone)


def _worst(results: Iterable[PersonResult]) -> Tone:
    return min((result.tone for result in results), key=WORST_FIRST.index, default=Tone.OPEN)


def _reason(results: Sequence[PersonResult]) -> str:
    """Name the most frequent reasons of the worst results; if there is not one of all users, with the users."""
    tone = _worst(results)
    worst = [result.verdict for result in results if result.tone is tone]
    by_reason: dict[str, list[str]] = {}
    for verdict in worst:
        by_reason.setdefault(verdict.reason, []).append(verdict.user)
    if len(by_reason) == 1 and len(worst) == len(results):
        return worst[0].reason
    groups = sorted(by_reason.items(), key=lambda group: (-len(group[1]), group[0]))
    named = [f"{reason}: {listed(of[:NAMES_SHOWN], len(of[NAMES_SHOWN:]))}" for reason, of in groups if reason]
    return "; ".join(named[:REASONS_SHOWN])


def not_reached(round_: RoundExplanation, verdict: UserVerdict) -> bool:
    """Whether no phone of a user rang and none will ring, and the user neither answered nor declined."""
    if round_.kind != PushKind.RING or verdict.reached or verdict.standing in KNEW_OF_CALL:
        return False
    over = bool(verdict.standing) and verdict.standing != Standing.RINGING
    return verdict.tone in (Tone.BAD, Tone.QUIET) or (verdict.tone is Tone.OPEN and over)


def missed(round_: RoundExplanation, verdict: UserVerdict) -> bool:
    """Whether a user got a ring, or should have got one, and did not answer or decline."""
    is_over = verdict.standing in {*NOTICE_DUE, Standing.MISSED_QUIETLY, Standing.STALE}
    return not_reached(round_, verdict) or (is_over and round_.kind not in QUIET)


def late(round_: RoundExplanation, verdict: UserVerdict) -> bool:
    """Whether a user's first phone was rung late, or not at all because the time was over."""
    if round_.kind != PushKind.RING:
        return False
    rings = [delivery for delivery in verdict.deliveries if delivery.kind == PushKind.RING]
    if (first := first_accepted_us(rings)) is not None:
        return first > LATE_US
    return any(ring.outcome == Outcome.TOO_LATE for ring in rings)


def _failed(round_: RoundExplanation, verdict: UserVerdict, last_email: TimelineEntry | None) -> bool:
    if round_.kind == round_of_test.KIND:
        return False
    if last_email and last_email.tone is Tone.BAD:
        return True
    return any(_push_failed(delivery) for delivery in verdict.deliveries)


def _push_failed(delivery: Delivery) -> bool:
    """Whether a push failed for good. A push that had no attempt before the call ended was late, but did not fail."""
    never_tried = delivery.outcome in {Outcome.NO_CREDENTIALS, Outcome.GAVE_UP}
    return never_tried or (delivery.tone is Tone.BAD and bool(delivery.attempts))
