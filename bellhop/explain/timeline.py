"""One sentence for each milestone of a trail. Pure."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bellhop.clock import Micros
from bellhop.domain.call import NOTICE_DUE
from bellhop.domain.outcomes import MEANING, Action, Meaning, Outcome, OutcomeKind, Tone
from bellhop.explain.rounds import RoundLog, stamp_of
from bellhop.explain.sentences import (
    CANCELLATION,
    EVENTS,
    FATES,
    OTHER_EVENT,
    PROVIDERS,
    PURPOSES,
    PUSHES,
    REJECTIONS,
    STANDINGS,
    UNKNOWN_FATE,
    UNKNOWN_STANDING,
    duration,
    listed,
)
from bellhop.trail import (
    EmailMilestone,
    JobPickedUp,
    Milestone,
    PhoneRang,
    PushAttempted,
    PushFinished,
    PushMilestone,
    PushSkipped,
    PushWaited,
    TokenChecked,
    UnknownMilestone,
    UserSettled,
    WebhookReceived,
    WebhookRepeated,
)

UNNAMED = re.compile(r"(apns|fcm) (?:voip|alert) ([0-9a-f]{6})")
"""The label of a device without a name (`bellhop.domain.device`)."""
PHONES = {"apns": "iPhone", "fcm": "Android phone"}
UNKNOWN_OUTCOME = Meaning(
    OutcomeKind.ATTEMPT,
    Action.DONE,
    Tone.OPEN,
    'the outcome is "{outcome}", which this version of Bellhop does not know',
)
WORTH_SAYING_US = 1_000_000
"""The delay of a webhook from which on its sentence mentions the delay."""


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """One milestone as a sentence, with its facts for machines."""

    at: Micros
    """Unix µs."""
    after_us: Micros | None
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


def timeline_entry(round_log: RoundLog, milestone: Milestone) -> TimelineEntry:
    """Describe a milestone in a sentence."""
    outcome: str = getattr(milestone, "outcome", "")
    return TimelineEntry(
        at=milestone.at,
        after_us=Micros(milestone.at - round_log.started_at) if round_log.started_at else None,
        what=milestone.word if isinstance(milestone, UnknownMilestone) else milestone.what,
        sentence=SENTENCES[type(milestone)](round_log, milestone),
        tone=_tone(milestone),
        user=round_log.user_of(milestone),
        device=getattr(milestone, "device", ""),
        kind=getattr(milestone, "kind", ""),
        outcome=outcome,
        ms=getattr(milestone, "ms", None) or 0,
        event=getattr(milestone, "type", ""),
        users=getattr(milestone, "users", ()),
    )


def meaning_of(outcome: str) -> Meaning:
    """What an outcome means, also an outcome that only a newer version knows."""
    return MEANING[Outcome(outcome)] if outcome in MEANING else UNKNOWN_OUTCOME


def _tone(milestone: Milestone) -> Tone:
    if isinstance(milestone, PushMilestone | EmailMilestone) and milestone.outcome in MEANING:
        return meaning_of(milestone.outcome).tone
    return Tone.QUIET


def fill(text: str, round_log: RoundLog, milestone: Milestone) -> str:
    """Fill in the {braces} of a sentence about a milestone."""
    user = round_log.user_of(milestone)
    device: str = getattr(milestone, "device", "")
    outcome: str = getattr(milestone, "outcome", "")
    kind: str = getattr(milestone, "kind", "")
    offset = round_log.us_until(outcome, user)
    after = f" {duration(offset)} after " if offset is not None else ""
    return text.format(
        user=user,
        outcome=outcome,
        # A sentence about a device names its user; a sentence about the user has named them already.
        who=user if device else "they",
        whose=f"{user}'s" if device else "their",
        device=name_of(round_log, milestone),
        provider=PROVIDERS.get(getattr(milestone, "provider", ""), "the provider"),
        app=getattr(milestone, "app", "") or "this app",
        when=after and f"{after}it began",
        since=after and f"{after}the call began",
        push=PUSHES.get(kind, "push"),
        purpose=PURPOSES.get(kind, "this"),
    )


def name_of(round_log: RoundLog, milestone: Milestone) -> str:
    """Name the device that a milestone is about, or the user."""
    device: str = getattr(milestone, "device", "")
    label = getattr(milestone, "label", "") or round_log.labels.get(device, "") or (device and f"device {device[:6]}")
    if unnamed := UNNAMED.fullmatch(label):
        return f"{PHONES[unnamed[1]]} {unnamed[2]}"
    return label or round_log.user_of(milestone) or "somebody"


def because(round_log: RoundLog, push: PushMilestone | EmailMilestone) -> str:
    """Say why a push was not sent, or what became of it: a clause."""
    return fill(meaning_of(push.outcome).sentence, round_log, push)


def answer(push: PushMilestone | EmailMilestone) -> str:
    """Quote the provider's answer in brackets; empty if there was none."""
    said = " ".join(part for part in (str(push.status) if push.status else "", push.reason) if part)
    return f" ({said})" if said else ""


def _received(round_log: RoundLog, event: WebhookReceived) -> str:
    caller = (event.callers or round_log.callers or ("somebody",))[0]
    users = listed(event.users, event.more or 0) or "nobody"
    sentence = _event_text(round_log, event).format(kind=event.type or "a webhook", caller=caller, users=users)
    if event.left_out:
        sentence += f". Bellhop ignored {event.left_out} more members: the webhook had too many"
    delay = Micros(event.at - stamp_of(event))
    if delay > WORTH_SAYING_US:
        sentence += f". The webhook took {duration(delay)} to arrive{_at_attempt(event)}"
    return f"{sentence}."


def _event_text(round_log: RoundLog, event: WebhookReceived) -> str:
    text = EVENTS.get(event.type, OTHER_EVENT)
    if event.type != "call.rejected":
        return text
    if event.users and set(event.users) <= set(round_log.callers):
        return CANCELLATION
    return REJECTIONS.get(event.reason, text)


def _at_attempt(event: WebhookReceived | WebhookRepeated) -> str:
    return f", at attempt {event.attempt}" if event.attempt and event.attempt > 1 else ""


def _repeated(_: RoundLog, event: WebhookRepeated) -> str:
    return f"Stream sent the same {event.type or 'webhook'} again{_at_attempt(event)}. Bellhop ignored it."


def _picked_up(round_log: RoundLog, job: JobPickedUp) -> str:
    push = PUSHES.get(job.job, "work")
    same = [other for other in round_log.milestones if isinstance(other, JobPickedUp) and other.job == job.job]
    if same[:1] != [job]:
        return f"A worker started the {push} again: it was queued twice, or the first worker stopped."
    if not round_log.openings:
        return f"A worker started the {push}."
    return f"A worker started the {push} {duration(Micros(job.at - round_log.openings[0].at))} after it was queued."


def _skipped(round_log: RoundLog, push: PushSkipped) -> str:
    return f"{name_of(round_log, push)} gets no {PUSHES.get(push.kind, 'push')}: {because(round_log, push)}."


def _waited(round_log: RoundLog, push: PushWaited) -> str:
    return fill("Bellhop cannot send the {push} for {device} yet: ", round_log, push) + f"{because(round_log, push)}."


def _attempted(round_log: RoundLog, push: PushAttempted) -> str:
    took = f" after {duration(Micros(round(push.ms * 1000)))}" if push.ms else ""
    if push.outcome == Outcome.ACCEPTED:
        return fill("{provider} accepted the {push} for {device}", round_log, push) + f"{took}."
    start = fill("An attempt to send the {push} for {device} failed", round_log, push)
    return f"{start}{took}: {because(round_log, push)}{answer(push)}."


def _finished(round_log: RoundLog, push: PushFinished) -> str:
    return fill("No more attempts to send the {push} for {device}: ", round_log, push) + f"{because(round_log, push)}."


def _token(round_log: RoundLog, token: TokenChecked) -> str:
    return fill(FATES.get(token.detail, UNKNOWN_FATE), round_log, token)


def _settled(round_log: RoundLog, settled: UserSettled) -> str:
    sentence = fill(STANDINGS.get(settled.outcome, UNKNOWN_STANDING), round_log, settled)
    return f"{sentence} A missed-call notice for {settled.user} is due." if settled.outcome in NOTICE_DUE else sentence


def _mailed(round_log: RoundLog, email: EmailMilestone) -> str:
    none = meaning_of(email.outcome).tone is Tone.QUIET
    start = "No missed-call e-mail for {user}: " if none else "The missed-call e-mail to {user}: "
    return fill(start, round_log, email) + f"{because(round_log, email)}{answer(email)}."


def _rang(round_log: RoundLog, phone: PhoneRang) -> str:
    return f"{name_of(round_log, phone)} reports that it rang."


def _unknown(_: RoundLog, line: UnknownMilestone) -> str:
    return f"This version of Bellhop has no sentence for this line of the trail: {line.word or 'it is unreadable'}."


SENTENCES: dict[type[Milestone], Callable[[RoundLog, Any], str]] = {
    WebhookReceived: _received,
    WebhookRepeated: _repeated,
    JobPickedUp: _picked_up,
    PushSkipped: _skipped,
    PushWaited: _waited,
    PushAttempted: _attempted,
    PushFinished: _finished,
    TokenChecked: _token,
    UserSettled: _settled,
    PhoneRang: _rang,
    EmailMilestone: _mailed,
    UnknownMilestone: _unknown,
}
"""The sentence for each milestone."""
