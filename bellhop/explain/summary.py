"""A call in one line of a list, and what a list of calls may be narrowed to. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from bellhop.clock import Micros
from bellhop.domain.call import Standing
from bellhop.domain.outcomes import Outcome, Tone
from bellhop.domain.push import PushKind
from bellhop.explain.explanation import Explanation, RoundExplanation
from bellhop.explain.sentences import listed
from bellhop.explain.verdict import KNEW, LATE_US, Delivery, UserVerdict
from bellhop.trail import EmailMilestone

NAMES_SHOWN = 3
WORST_FIRST = (Tone.BAD, Tone.OPEN, Tone.QUIET, Tone.GOOD)


class Flag(StrEnum):
    """What makes a call worth a look."""

    NOT_REACHED = "not_reached"
    """It rang on no phone of somebody who neither answered nor declined elsewhere: whatever the reason."""
    LATE = "late"
    """Somebody's first phone rang late, or there was no time left to ring it."""
    FAILED = "failed"
    """A push to a phone, or an e-mail, failed for good."""


@dataclass(frozen=True, slots=True)
class CallSummary:
    """One line of a list of calls."""

    cid: str
    started_at: Micros
    """Stream's stamp (unix µs) of the last round; 0 if it is not known."""
    kind: str
    """ring, notification or missed."""
    caller: str
    called: str
    """Who, for people: "ben, jane and 4 more"."""
    rounds: int
    people: int
    """How many the last round is for."""
    reached: int
    """To how many of them a push went out."""
    tone: Tone
    """The worst of them."""
    flags: frozenset[Flag]


def summarize(found: Explanation) -> CallSummary:
    """Sum an explained call up: its last round, with the flags of all of them."""
    rounds = [round_ for round_ in found.rounds if round_.started_at] or list(found.rounds)
    if not rounds:
        return CallSummary(found.cid, Micros(0), "", "", "", 0, 0, 0, Tone.OPEN, frozenset())
    last, names = rounds[-1], [person.user for person in rounds[-1].people]
    tones = {person.tone for person in last.people}
    return CallSummary(
        cid=found.cid,
        started_at=last.started_at,
        kind=last.kind,
        caller=last.caller,
        called=listed(names[:NAMES_SHOWN], len(names) - len(names[:NAMES_SHOWN])),
        rounds=len(rounds),
        people=len(names),
        reached=sum(person.reached for person in last.people),
        tone=next((tone for tone in WORST_FIRST if tone in tones), Tone.OPEN),
        flags=frozenset(flag for round_ in rounds for flag in flags(round_)),
    )


def flags(round_: RoundExplanation) -> frozenset[Flag]:
    """Find what makes a round worth a look."""
    found = {
        Flag.NOT_REACHED: any(not_reached(round_, person) for person in round_.people),
        Flag.LATE: any(late(round_, person) for person in round_.people),
        Flag.FAILED: any(_failed(round_, person) for person in round_.people),
    }
    return frozenset(flag for flag, holds in found.items() if holds)


def not_reached(round_: RoundExplanation, person: UserVerdict) -> bool:
    """Whether it rang on none of a person's phones, and is known not to, though they knew nothing of the call."""
    over = bool(person.standing) and person.standing != Standing.RINGING
    settled = person.tone in (Tone.BAD, Tone.QUIET) or (person.tone is Tone.OPEN and over)
    return round_.kind == PushKind.RING and not person.reached and person.standing not in KNEW and settled


def late(round_: RoundExplanation, person: UserVerdict) -> bool:
    """Whether a person's first phone was rung late, or too late to be rung."""
    if round_.kind != PushKind.RING:
        return False
    rings = [delivery for delivery in person.deliveries if delivery.kind == PushKind.RING]
    if (first := first_ring_us(rings)) is not None:
        return first > LATE_US
    return any(delivery.outcome == Outcome.TOO_LATE for delivery in rings)


def first_ring_us(rings: Iterable[Delivery]) -> int | None:
    """How long (µs) after the call began the first push was accepted; None if none was."""
    accepted = [one for ring in rings for one in ring.attempts if one.outcome == Outcome.ACCEPTED]
    return min((one.after_us for one in accepted if one.after_us is not None), default=None)


def _failed(round_: RoundExplanation, person: UserVerdict) -> bool:
    mails = [one for one in round_.timeline if one.what == EmailMilestone.what and one.user == person.user]
    last_mail_failed = bool(mails) and mails[-1].tone is Tone.BAD
    # A push that the call's end overtook is late, perhaps, but it did not fail.
    failures = (one for one in person.deliveries if one.tone is Tone.BAD and one.attempts)
    never_tried = (one for one in person.deliveries if one.outcome in {Outcome.NO_CREDENTIALS, Outcome.GAVE_UP})
    return last_mail_failed or any(failures) or any(never_tried)
