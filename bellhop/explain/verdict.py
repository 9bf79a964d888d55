"""The result of one round for one user, and the result of each push. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from bellhop.domain.call import Standing
from bellhop.domain.device import Provider
from bellhop.domain.outcomes import NOT_KNOWN, OF_ONE_ENVIRONMENT, Outcome, Tone, waits_for_credentials
from bellhop.domain.push import FURTHER_RINGS, RINGING, PushKind
from bellhop.explain.delivery import Delivery
from bellhop.explain.other_app import advice_on_other_app
from bellhop.explain.reported import reports_of, says_it_rang, was_shown
from bellhop.explain.rounds import RoundLog
from bellhop.explain.sentences import (
    HOW_RUNG_AGAIN,
    NOT_TAKEN_UP,
    ONE_ENVIRONMENT,
    PROVIDERS,
    SENT,
    SILENT,
    TAKEN_UP_ONLY,
    duration,
    listed,
)
from bellhop.explain.short_reason import LATE_US, short_reason
from bellhop.explain.skip_facts import advice_without_devices
from bellhop.explain.timeline import (
    answer,
    because,
    fill,
    meaning_of,
    name_of,
    standing_sentence,
    timeline_entry,
)
from bellhop.trail import (
    EmailMilestone,
    Milestone,
    PushAttempted,
    PushFinished,
    PushMilestone,
    PushSkipped,
    PushWaited,
    SecondRingDue,
    UserSettled,
)

CALL_WAS_OVER = frozenset({Outcome.TIMED_OUT, Outcome.MISSED, Outcome.CANCELLED, Outcome.ENDED, Outcome.NO_ANSWER})
"""Outcomes of a ring that was not sent because the call was over before."""
KNEW_OF_CALL = frozenset({Standing.ANSWERED, Standing.DECLINED, Standing.BUSY, Standing.REMOVED})
"""Standings of a user who knew of the call, or must not know of it: for them, a silent phone is no problem."""


@dataclass(slots=True)
class UserVerdict:
    """The result of a round for one user. Nothing changes it (see `TimelineEntry`)."""

    user: str
    name: str
    verdict: str
    tone: Tone
    standing: str
    """The user's standing (bellhop/domain/call.py); empty while the phone may ring."""
    final: bool
    """Whether the standing is recorded and cannot change."""
    reached: bool
    """Whether a provider accepted the push that the round is for."""
    deliveries: tuple[Delivery, ...]
    next: tuple[str, ...]
    """What to do next, if something is wrong."""
    reason: str
    """The verdict in a few words, such as "no devices"; empty if there is nothing to say yet."""


def user_verdict(round_log: RoundLog, user: str) -> UserVerdict:
    """Work out the result of a round for one user."""
    standing = round_log.latest_standing(user)
    deliveries = _deliveries(round_log, user, standing)
    # Some iPhones ring by alerts (docs/alert-rings.md): Bellhop sends several, and one accepted alert is enough.
    of_round = [delivery for delivery in deliveries if delivery.kind in (round_log.kind, PushKind.ALERT_RING)]
    reached = any(delivery.outcome == Outcome.ACCEPTED for delivery in of_round)
    tone = _tone(of_round, standing, reached, over=round_log.time_is_over)
    if reached and standing not in (*KNEW_OF_CALL, ""):
        advice = _advice_for_a_silent_phone(round_log, of_round, deliveries)
    else:
        advice = _advice(round_log, user) if tone is Tone.BAD else ()
    return UserVerdict(
        user=user,
        name=round_log.trail.names.get(user, ""),
        verdict=" ".join(_sentences(round_log, user, deliveries, standing)),
        tone=tone,
        standing=standing,
        final=bool(round_log.of(user, UserSettled)),
        reached=reached,
        deliveries=tuple(delivery for delivery in deliveries if delivery.device),
        next=advice,
        reason=short_reason(round_log, user, standing, deliveries, knew=standing in KNEW_OF_CALL),
    )


def _deliveries(round_log: RoundLog, user: str, standing: str) -> list[Delivery]:
    by_push: dict[tuple[str, str], list[PushMilestone]] = {}
    for push in round_log.of(user, PushMilestone):
        by_push.setdefault((push.kind, push.device), []).append(push)
    named = {kind for kind, device in by_push if device}
    return [
        _delivery(round_log, pushes, standing)
        for (kind, device), pushes in by_push.items()
        # A wait without a device: Redis did not answer, so the phones were not known yet.
        if device or kind not in named or not isinstance(pushes[-1], PushWaited)
    ]


def _delivery(round_log: RoundLog, pushes: Sequence[PushMilestone], standing: str) -> Delivery:
    """Work out the result of one push."""
    last = _deciding(pushes)
    attempts = _attempts(pushes)
    name = name_of(round_log, last)
    sentence, tone = _delivery_sentence(round_log, name, last, pushes, standing)
    is_ring = last.kind in RINGING
    reports = reports_of(round_log, last.device) if is_ring and last.kind != PushKind.ALERT_RING else ""
    if is_ring and last.outcome == Outcome.ACCEPTED and not was_shown(round_log, last.device):
        tone = Tone.BAD
    return Delivery(
        device=last.device,
        label=name,
        kind=last.kind,
        provider=last.provider,
        outcome=last.outcome,
        tone=tone,
        sentence=f"{sentence}{reports}.",
        attempts=tuple(timeline_entry(round_log, attempt) for attempt in attempts),
        rang=is_ring and last.device in round_log.rang,
    )


def _attempts(pushes: Sequence[PushMilestone]) -> list[PushAttempted]:
    return [push for push in pushes if isinstance(push, PushAttempted)]


def _deciding(pushes: Sequence[PushMilestone]) -> PushMilestone:
    """Return the milestone with the result of a push: its accepted attempt, else its latest end, else its latest wait.

    DUPLICATE is left out: it comes from a later run of the job, and the result is that of the first run.
    """
    accepted = [attempt for attempt in _attempts(pushes) if attempt.outcome == Outcome.ACCEPTED]
    ends = [push for push in pushes if not isinstance(push, PushWaited) and push.outcome != Outcome.DUPLICATE]
    return (accepted or ends or pushes)[-1]


def _delivery_sentence(
    round_log: RoundLog, name: str, last: PushMilestone, pushes: Sequence[PushMilestone], standing: str
) -> tuple[str, Tone]:
    done = SENT.get(last.kind, "sent the push")
    if last.outcome == Outcome.ACCEPTED and isinstance(last, PushAttempted):
        return _accepted_sentence(round_log, f"{name} was {done}", last, pushes), Tone.GOOD
    too_late = round_log.time_is_over and last.kind == PushKind.RING
    over = too_late or (bool(standing) and last.kind == PushKind.RING)
    if isinstance(last, PushWaited) and not too_late:
        return f"{name} is not {done} yet: {because(round_log, last)}{answer(last)}", Tone.OPEN
    attempts = _attempts(pushes)
    unknown = any(attempt.outcome in NOT_KNOWN for attempt in attempts)
    start = f"It is not known whether {name} was {done}" if unknown else f"{name} was not {done}"
    reason = f"{because(round_log, last)}{answer(last)}{_tries(round_log, last, pushes)}"
    if not over and _will_retry(last, attempts):
        return f"{start} yet, after {_counted(attempts)}; Bellhop is still trying: {reason}", Tone.OPEN
    return f"{start}: {reason}", _failure_tone(round_log, last, attempts)


def _accepted_sentence(round_log: RoundLog, start: str, last: PushMilestone, pushes: Sequence[PushMilestone]) -> str:
    when = f" {duration(round_log.us_since_start(last))} after the call began" if last.kind in RINGING else ""
    if last.kind == PushKind.SECOND_RING:
        start, when = f"{start}{_road(last)}", f"{when}{_silence(round_log, last)}"
    if last.kind == PushKind.ALERT_RING:
        alerts = len([attempt for attempt in _attempts(pushes) if attempt.outcome == Outcome.ACCEPTED])
        start = f"{start}, {alerts} time{'' if alerts == 1 else 's'}, the last"
    others = [attempt for attempt in _attempts(pushes) if attempt.outcome != Outcome.ACCEPTED]
    return f"{start}{when}, after {_counted(others)}" if others else f"{start}{when}"


def _road(push: PushMilestone) -> str:
    return f" {HOW_RUNG_AGAIN[push.provider]}" if push.provider in HOW_RUNG_AGAIN else ""


def _silence(round_log: RoundLog, push: PushMilestone) -> str:
    """Say how long the phone had not reported before its second ring, if the trail says it."""
    before = [line for line in round_log.of(push.user, SecondRingDue) if line.at <= push.at]
    return f", because the phone did not report within {before[-1].detail} s" if before else ""


def _failure_tone(round_log: RoundLog, last: PushMilestone, attempts: Sequence[PushAttempted]) -> Tone:
    if last.outcome not in CALL_WAS_OVER:
        tone = meaning_of(last.outcome).tone
        return Tone.BAD if tone is Tone.OPEN and round_log.time_is_over else tone
    late = (round_log.us_until(last.outcome, last.user) or 0) >= LATE_US
    return Tone.BAD if late or attempts else meaning_of(last.outcome).tone


def _will_retry(last: PushMilestone, attempts: Sequence[PushAttempted]) -> bool:
    """Whether another attempt follows the last one. If none follows, the trail has a PushFinished after it."""
    if not isinstance(last, PushAttempted):
        return False
    if last.outcome == Outcome.BAD_TOKEN and last.provider == Provider.APNS:  # Apple's other environment is next
        return [attempt.outcome for attempt in attempts].count(last.outcome) == 1
    return meaning_of(last.outcome).retry


def _tries(round_log: RoundLog, last: PushMilestone, pushes: Sequence[PushMilestone]) -> str:
    if not isinstance(last, PushFinished) or last.outcome == Outcome.NO_CREDENTIALS:
        return ""
    if attempts := _attempts(pushes):
        why = because(round_log, attempts[-1]) + answer(attempts[-1])
        return f", after {_counted(attempts)}{': ' if len(attempts) == 1 else '; the last time '}{why}"
    before = "" if last.outcome == Outcome.GAVE_UP else ", before the first attempt"
    waited = [push for push in pushes if isinstance(push, PushWaited)]
    return f"{before}: {because(round_log, waited[-1])}{answer(waited[-1])}" if waited else before


def _counted(attempts: Sequence[PushAttempted]) -> str:
    """Count attempts that were not accepted. One with an unknown result has perhaps not failed."""
    unknown = len([attempt for attempt in attempts if attempt.outcome in NOT_KNOWN])
    failed = len(attempts) - unknown
    counts = [f"{failed} failed attempt{'s' if failed > 1 else ''}"] if failed else []
    if unknown:
        counts.append(f"{unknown} attempt{'s' if unknown > 1 else ''} with an unknown result")
    return " and ".join(counts)


def _tone(of_round: Sequence[Delivery], standing: str, reached: bool, *, over: bool) -> Tone:
    tones = {delivery.tone for delivery in of_round}
    shown = reached and not all(delivery.tone is Tone.BAD for delivery in of_round)
    if shown or standing == Standing.ANSWERED:
        return Tone.GOOD
    if standing in KNEW_OF_CALL:
        return Tone.QUIET
    if Tone.BAD in tones or ((standing or over) and not tones):
        return Tone.BAD
    return Tone.OPEN if Tone.OPEN in tones or not tones else Tone.QUIET


def _sentences(round_log: RoundLog, user: str, deliveries: Sequence[Delivery], standing: str) -> list[str]:
    """Write the verdict: the push that the round is for, then the user's standing, then the notice and the e-mail."""
    shown = _to_report([delivery for delivery in deliveries if delivery.kind == round_log.kind])
    sentences = [delivery.sentence for delivery in shown] or [_no_delivery(round_log, user, standing)]
    if standing and not any(delivery.outcome == standing for delivery in shown):
        sentences.append(standing_sentence(round_log, user, standing))
    if round_log.kind is not PushKind.MISSED:
        sentences += _sentences_on_further_rings(deliveries) + _notice_sentences(deliveries)
    emails = [timeline_entry(round_log, email) for email in round_log.of(user, EmailMilestone)[-1:]]
    return sentences + [email.sentence for email in emails if email.tone is not Tone.QUIET]


def _to_report(deliveries: Sequence[Delivery]) -> list[Delivery]:
    """Return the accepted pushes, then those that failed or still go on. If there is none, return those not due."""
    accepted = [delivery for delivery in deliveries if delivery.outcome == Outcome.ACCEPTED]
    others = [delivery for delivery in deliveries if delivery.outcome != Outcome.ACCEPTED]
    return accepted + [delivery for delivery in others if delivery.tone is not Tone.QUIET] or others


def _no_delivery(round_log: RoundLog, user: str, standing: str) -> str:
    done = SENT[round_log.kind or PushKind.RING]
    if round_log.time_is_over and not (standing and round_log.has_started):
        return f"{user} was not {done}: {TAKEN_UP_ONLY if round_log.has_started else NOT_TAKEN_UP}."
    return f"{user} was not {done}: the trail has no attempt." if standing else "Nothing is known yet."


def _sentences_on_further_rings(deliveries: Sequence[Delivery]) -> list[str]:
    further = [delivery for delivery in deliveries if delivery.kind in FURTHER_RINGS and delivery.device]
    return [delivery.sentence for delivery in further if delivery.tone is not Tone.QUIET]


def _notice_sentences(deliveries: Sequence[Delivery]) -> list[str]:
    notices = [delivery for delivery in deliveries if delivery.kind == PushKind.MISSED and delivery.device]
    accepted = [notice for notice in notices if notice.outcome == Outcome.ACCEPTED]
    return [notice.sentence for notice in accepted or notices if notice.tone is not Tone.QUIET]


def _advice_for_a_silent_phone(
    round_log: RoundLog, of_round: Sequence[Delivery], deliveries: Sequence[Delivery]
) -> tuple[str, ...]:
    if round_log.kind is not PushKind.RING or any(says_it_rang(round_log, delivery.device) for delivery in deliveries):
        return ()
    accepted = [delivery for delivery in of_round if delivery.outcome == Outcome.ACCEPTED]
    if known := [delivery for delivery in accepted if delivery.device in round_log.trail.today]:
        advice = (f"{delivery.label}: {round_log.trail.today[delivery.device]}" for delivery in known)
        return tuple(dict.fromkeys(advice))
    providers = {PROVIDERS.get(delivery.provider, "the provider") for delivery in accepted}
    return (SILENT.format(provider=listed(sorted(providers))),)


def _advice(round_log: RoundLog, user: str) -> tuple[str, ...]:
    pushes = [push for push in round_log.of(user, PushMilestone) if push.kind == round_log.kind]
    wrong: list[PushMilestone | EmailMilestone] = [*pushes, *round_log.of(user, EmailMilestone)]
    advice = [_today(round_log, line) or fill(_advice_on(round_log, line), round_log, line) for line in wrong]
    return tuple(sentence for sentence in dict.fromkeys(advice) if sentence)


def _today(round_log: RoundLog, milestone: Milestone) -> str:
    """Return what is known today about a user who had no device: it is better advice."""
    if isinstance(milestone, PushSkipped) and milestone.outcome == Outcome.NO_DEVICES:
        return round_log.trail.today.get(milestone.user, "")
    return ""


def _advice_on(round_log: RoundLog, milestone: PushMilestone | EmailMilestone) -> str:
    """Return what to do about an outcome. If a push waits because of refused credentials, these must be corrected."""
    if advice := advice_without_devices(milestone) or advice_on_other_app(round_log, milestone):
        return advice
    if isinstance(milestone, PushMilestone) and milestone.reason in OF_ONE_ENVIRONMENT:
        return ONE_ENVIRONMENT
    waits = waits_for_credentials(milestone.outcome, milestone.reason)
    outcome = Outcome.CREDENTIALS_REFUSED if waits else milestone.outcome
    return meaning_of(outcome).advice
