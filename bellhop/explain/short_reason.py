"""Why somebody's phone rang or did not ring, in a few words for one line of a list. Pure."""

from collections.abc import Iterable, Sequence

from bellhop.clock import Micros
from bellhop.domain.call import Standing
from bellhop.domain.outcomes import Outcome, Tone, waits_for_credentials
from bellhop.domain.phone_report import PhoneEvent
from bellhop.domain.push import PushKind
from bellhop.explain.delivery import Delivery
from bellhop.explain.rounds import RoundLog
from bellhop.explain.sentences import NOT_TAKEN_UP, duration
from bellhop.explain.skip_facts import advice_without_devices
from bellhop.explain.timeline import meaning_of
from bellhop.trail import EmailMilestone, PushAttempted, PushMilestone

LATE_US = 3_000_000
"""A phone must be rung within this time. If the call was cancelled later, a push that was not sent is a failure."""
WORDS: dict[str, str] = {
    Outcome.UNSENT: "no connection to the provider",
    Outcome.UNKNOWN: "result unknown",
    Outcome.UNAVAILABLE: "provider unavailable",
    Outcome.CIRCUIT_OPEN: "provider unavailable",
    Outcome.WRONG_APP: "token of another app",
    Outcome.NO_APNS_KEY: "no APNs key at Firebase",
    Outcome.NO_CREDENTIALS: "no credentials for the app",
}
"""Where the outcome's own word says too little."""
OF_ALL: dict[str, str] = {Outcome.TOKEN_DEAD: "all tokens dead", Outcome.BAD_TOKEN: "all tokens refused"}
"""The same, if several phones have this outcome and no other."""
STANDINGS: dict[str, str] = {
    Standing.ANSWERED: "answered",
    Standing.DECLINED: "declined",
    Standing.BUSY: "busy",
    Standing.REMOVED: "removed from the call",
    Standing.CANCELLED: "cancelled",
    Standing.ENDED: "call ended",
    **dict.fromkeys(
        (Standing.TIMED_OUT, Standing.MISSED, Standing.MISSED_QUIETLY, Standing.NO_ANSWER, Standing.STALE),
        "not answered",
    ),
}
ORDER = (Tone.BAD, Tone.OPEN, Tone.QUIET)


def short_reason(round_log: RoundLog, user: str, standing: str, deliveries: Sequence[Delivery], *, knew: bool) -> str:
    """Return the reason, such as "no devices"; empty if there is nothing to say yet.

    `knew` says whether the user knew of the call, even if no push arrived.
    """
    of_round = [delivery for delivery in deliveries if delivery.kind == round_log.kind]
    ring = {round_log.kind, PushKind.ALERT_RING}
    others = [delivery for delivery in deliveries if delivery.kind not in ring and delivery.device]
    parts = [_of_the_push(round_log, user, standing, of_round, knew=knew)]
    if failed := _failed(others):
        parts.append(f"notice: {_words(round_log, user, failed)}")
    parts += [f"e-mail: {_word(email.outcome)}" for email in _last_bad_email(round_log, user)]
    return ", ".join(part for part in parts if part)


def first_accepted_us(deliveries: Iterable[Delivery]) -> Micros | None:
    """How long (µs) after the call began the first push was accepted; None if no push was accepted."""
    accepted = [
        attempt for delivery in deliveries for attempt in delivery.attempts if attempt.outcome == Outcome.ACCEPTED
    ]
    return min((attempt.after_us for attempt in accepted if attempt.after_us is not None), default=None)


def _of_the_push(round_log: RoundLog, user: str, standing: str, of_round: Sequence[Delivery], *, knew: bool) -> str:
    first_us = first_accepted_us(of_round)
    if first_us is not None and first_us > LATE_US and round_log.kind is PushKind.RING:
        return f"rang after {duration(first_us)}"
    failed = _failed(of_round)
    if first_us is not None and failed:
        return f"{len(failed)} of {len(of_round)} phones: {_words(round_log, user, failed)}"
    untold = standing == Standing.NO_ANSWER and round_log.is_untold
    if first_us is not None or (knew and not failed):
        return "" if untold else STANDINGS.get(standing, "")
    if of_round:
        return _words(round_log, user, of_round)
    if round_log.time_is_over and not round_log.has_started:
        return NOT_TAKEN_UP
    return "no attempt" if standing or round_log.time_is_over else ""


def _failed(deliveries: Iterable[Delivery]) -> list[Delivery]:
    return [delivery for delivery in deliveries if delivery.tone is Tone.BAD]


def _last_bad_email(round_log: RoundLog, user: str) -> list[EmailMilestone]:
    return [email for email in round_log.of(user, EmailMilestone)[-1:] if meaning_of(email.outcome).tone is Tone.BAD]


def _words(round_log: RoundLog, user: str, deliveries: Sequence[Delivery]) -> str:
    """Say what happened to the pushes with the worst tone."""
    worst = next((tone for tone in ORDER if any(delivery.tone is tone for delivery in deliveries)), None)
    outcomes = [_outcome(round_log, user, delivery) for delivery in deliveries if delivery.tone is worst]
    if len(outcomes) > 1 and len(outcomes) == len(deliveries) and len(set(outcomes)) == 1 and outcomes[0] in OF_ALL:
        return OF_ALL[outcomes[0]]
    return " and ".join(dict.fromkeys(map(_word, outcomes)))


def _outcome(round_log: RoundLog, user: str, delivery: Delivery) -> str:
    """Return what decided about a push: if it had no success, that of its last attempt, or the reason to wait."""
    if delivery.outcome == Outcome.ACCEPTED and delivery.tone is Tone.BAD:
        return PhoneEvent.NOT_SHOWN
    if delivery.attempts:
        return delivery.outcome if delivery.tone is Tone.QUIET else delivery.attempts[-1].outcome
    pushes = [push for push in round_log.of(user, PushMilestone) if push.device == delivery.device]
    if any(advice_without_devices(push) for push in pushes):
        return "no_token_for_calls" if delivery.kind == PushKind.RING else "no_token_for_notices"
    if any(waits_for_credentials(push.outcome, push.reason) for push in pushes if not isinstance(push, PushAttempted)):
        return Outcome.CREDENTIALS_REFUSED
    return delivery.outcome


def _word(outcome: str) -> str:
    return WORDS.get(outcome, outcome.replace("_", " "))
