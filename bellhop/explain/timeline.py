"""The timeline of a round: one entry, with a sentence, for each milestone of a trail. Pure.

`explanation.py` builds the timeline. `verdict.py` uses the parts of the sentences too.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bellhop.clock import Micros, iso
from bellhop.domain.call import NOTICE_DUE, Stamp, Standing
from bellhop.domain.outcomes import (
    MEANING,
    NOT_KNOWN,
    Action,
    Meaning,
    Outcome,
    OutcomeKind,
    Tone,
    waits_for_credentials,
)
from bellhop.domain.push import STARTED
from bellhop.domain.rejections import BY_PHONE, REASONS
from bellhop.explain.other_app import sentence_on_other_app
from bellhop.explain.reported import carried_sentence, report_sentence
from bellhop.explain.rounds import RoundLog
from bellhop.explain.sentences import (
    CAME_LATER,
    CANCELLATION,
    EVENTS,
    FATES,
    GAVE_UP,
    HOW_RUNG_AGAIN,
    LEARNED,
    LEARNED_CANCEL,
    MEMBERS_UNKNOWN,
    NEVER_CAME,
    NO_MORE_ATTEMPTS,
    NOT_ATTEMPTED,
    NOT_RUNG_STANDINGS,
    NOTICE_IS_DUE,
    OTHER_EVENT,
    PROVIDERS,
    PURPOSES,
    PUSHES,
    QUESTIONS,
    REFUSED_BEFORE,
    REJECTED_BY_PHONE,
    REJECTIONS,
    STANDINGS,
    UNKNOWN_FATE,
    UNKNOWN_QUESTION,
    UNKNOWN_STANDING,
    UNTOLD_STANDING,
    clock_time,
    duration,
    listed,
    phone_name,
)
from bellhop.explain.skip_facts import (
    devices_in_words,
    disabled_at,
    facts_of,
    muted_until,
    quiet_hours,
    sentence_without_devices,
)
from bellhop.explain.webhooks import ANSWERS, ENDS, arrival_of, stamp_of
from bellhop.trail import (
    EmailMilestone,
    JobPickedUp,
    JobWaits,
    Milestone,
    PhoneRang,
    PhoneReported,
    PushAttempted,
    PushFinished,
    PushMilestone,
    PushReduced,
    PushSkipped,
    PushWaited,
    RejectionCarried,
    SecondRingDue,
    StreamAsked,
    TokenChecked,
    UnknownMilestone,
    UserSettled,
    WebhookMilestone,
    WebhookOutdated,
    WebhookPutOff,
    WebhookReceived,
    WebhookRepeated,
    read_learned,
)

UNKNOWN_OUTCOME = Meaning(
    OutcomeKind.ATTEMPT,
    Action.DONE,
    Tone.OPEN,
    'the outcome is "{outcome}", which this version of Bellhop does not know',
)
_MEANING: Mapping[str, Meaning] = {str(outcome): meaning for outcome, meaning in MEANING.items()}
SLOW_WEBHOOK_US = 1_000_000
"""If a webhook took longer than this to arrive, its sentence mentions the delay."""


@dataclass(slots=True)
class TimelineEntry:
    """One milestone as a sentence, with its facts for machines. Nothing changes it.

    It is not frozen: a call may have ten thousand, and a frozen dataclass takes about twice as long to make.
    """

    at: Micros
    """When it happened by Redis's clock, unix µs."""
    after_us: Micros | None
    """How long after the round began; None if the milestone belongs to no round."""
    what: str
    """The milestone's word (`Milestone.what`)."""
    sentence: str
    tone: Tone
    user: str
    """The user whom a push, an e-mail or a standing is about; empty if none."""
    device: str
    """The device's key; empty if the milestone is not about a device."""
    kind: str
    """The kind of push: ring, notification or missed; empty if the milestone is not about a push."""
    outcome: str
    """The outcome of a push or an e-mail, or the user's standing; empty if there is none."""
    ms: float
    """How long an attempt took; it ended at `at`. 0 for all other milestones."""
    event: str
    """The type of a webhook; empty for all other milestones."""
    users: tuple[str, ...]
    """The users whom a webhook is about."""
    time: str
    """`at` as an RFC 3339 time, in UTC."""


def timeline_entry(round_log: RoundLog, milestone: Milestone) -> TimelineEntry:
    """Return the entry for a milestone of the round. It is written once: the timeline and the verdict need it."""
    entry: TimelineEntry | None = round_log.entries.get(id(milestone))
    if entry is None:
        entry = round_log.entries[id(milestone)] = _new_entry(round_log, milestone)
    return entry


def _new_entry(round_log: RoundLog, milestone: Milestone) -> TimelineEntry:
    """Write the entry for a milestone. A fact that this kind of milestone does not have is empty."""
    return TimelineEntry(
        at=milestone.at,
        after_us=round_log.us_since_start(milestone) if round_log.started_at else None,
        what=milestone.word if isinstance(milestone, UnknownMilestone) else milestone.what,
        sentence=SENTENCES[type(milestone)](round_log, milestone),
        tone=_tone(milestone),
        user=round_log.user_of(milestone),
        device=getattr(milestone, "device", ""),
        kind=getattr(milestone, "kind", ""),
        outcome=getattr(milestone, "outcome", ""),
        ms=getattr(milestone, "ms", None) or 0,
        event=getattr(milestone, "type", ""),
        users=getattr(milestone, "users", ()),
        time=iso(milestone.at),
    )


def meaning_of(outcome: str) -> Meaning:
    """Return the meaning of an outcome; UNKNOWN_OUTCOME if a newer version of Bellhop wrote it."""
    return _MEANING.get(outcome, UNKNOWN_OUTCOME)


def _tone(milestone: Milestone) -> Tone:
    if isinstance(milestone, (PushMilestone, EmailMilestone)) and milestone.outcome in MEANING:
        return meaning_of(milestone.outcome).tone
    return Tone.QUIET


def fill(text: str, round_log: RoundLog, milestone: Milestone) -> str:
    """Replace the {braces} of a sentence by facts of the milestone."""
    return text.format_map(_Facts(round_log, milestone)) if "{" in text else text


@dataclass(slots=True)
class _Facts:
    """The facts of a milestone, by the names in {braces}. Each is worked out only if a sentence names it."""

    round_log: RoundLog
    milestone: Milestone

    def __getitem__(self, name: str) -> str:
        return _FACTS[name](self.round_log, self.milestone)


def name_of(round_log: RoundLog, milestone: Milestone) -> str:
    """Name the device that a milestone is about, or the user."""
    device: str = getattr(milestone, "device", "")
    label = getattr(milestone, "label", "") or round_log.labels.get(device, "") or (device and f"device {device[:6]}")
    return phone_name(label) or round_log.user_of(milestone) or "somebody"


def _after_start(round_log: RoundLog, milestone: Milestone, of: str) -> str:
    """Return " 2 s after the call began", if it is known when the outcome of the milestone began to hold."""
    offset_us = round_log.us_until(getattr(milestone, "outcome", ""), round_log.user_of(milestone))
    return "" if offset_us is None else f" {duration(offset_us)} after {of} began"


_FACTS: dict[str, Callable[[RoundLog, Milestone], str]] = {
    "user": lambda log, line: log.user_of(line),
    "outcome": lambda _, line: getattr(line, "outcome", ""),
    # A sentence about a device names its user; a sentence about the user has named them already.
    "who": lambda log, line: log.user_of(line) if getattr(line, "device", "") else "they",
    "whose": lambda log, line: f"{log.user_of(line)}'s" if getattr(line, "device", "") else "their",
    "device": name_of,
    "provider": lambda _, line: PROVIDERS.get(getattr(line, "provider", ""), "the provider"),
    "app": lambda _, line: getattr(line, "app", "") or "this app",
    "when": lambda log, line: _after_start(log, line, "it"),
    "since": lambda log, line: _after_start(log, line, "the call"),
    "push": lambda _, line: PUSHES.get(getattr(line, "kind", ""), "push"),
    "purpose": lambda _, line: PURPOSES.get(getattr(line, "kind", ""), "this"),
    "devices": lambda _, line: devices_in_words(line),
    "until": lambda _, line: muted_until(facts_of(line)),
    "disabled": lambda _, line: disabled_at(facts_of(line)),
    "hours": lambda _, line: quiet_hours(facts_of(line)),
}
"""How each name in {braces} is filled in."""


def because(round_log: RoundLog, push: PushMilestone | EmailMilestone) -> str:
    """Return a clause with the reason why a push or an e-mail was not sent, or with the result of an attempt."""
    if waits_for_credentials(push.outcome, push.reason):
        return fill(REFUSED_BEFORE, round_log, push)
    by_facts = sentence_without_devices(push) or sentence_on_other_app(push)
    return fill(by_facts or meaning_of(push.outcome).sentence, round_log, push)


def answer(push: PushMilestone | EmailMilestone) -> str:
    """Quote the status and the reason that the provider gave, in brackets; empty if it gave none."""
    if isinstance(push, PushSkipped):  # its reason has facts that the sentence tells
        return ""
    parts = [str(push.status) if push.status else "", push.reason]
    quoted = " ".join(part for part in parts if part)
    return f" ({quoted})" if quoted else ""


def _received(round_log: RoundLog, event: WebhookReceived) -> str:
    caller = (event.callers or round_log.callers or ("somebody",))[0]
    users = listed(event.users, event.more or 0) or "nobody"
    sentence = _event_text(round_log, event).format(
        kind=event.type or "a webhook", caller=caller, users=users, reason=event.reason
    )
    if event.left_out:
        sentence += f". Bellhop ignored {event.left_out} more members: the webhook had too many"
    delay_us = Micros(arrival_of(event) - stamp_of(event))
    if delay_us > SLOW_WEBHOOK_US:
        sentence += f". The webhook took {duration(delay_us)} to arrive{_at_attempt(event)}"
    return f"{sentence}."


def _event_text(round_log: RoundLog, event: WebhookReceived) -> str:
    text = EVENTS.get(event.type, OTHER_EVENT)
    if event.type != "call.rejected":
        return text
    if event.users and set(event.users) <= set(round_log.callers):
        return GAVE_UP if REASONS.get(event.reason) is Stamp.TIMED_OUT else CANCELLATION
    if event.reason in BY_PHONE:
        return REJECTED_BY_PHONE
    return REJECTIONS.get(event.reason, text)


def _at_attempt(event: WebhookMilestone) -> str:
    return f", at attempt {event.attempt}" if event.attempt and event.attempt > 1 else ""


def _repeated(_: RoundLog, event: WebhookRepeated) -> str:
    how_often = f", {event.times} times" if event.times else _at_attempt(event)
    return f"Stream sent the same {event.type or 'webhook'} again{how_often}. Bellhop ignored it."


def _outdated(_: RoundLog, event: WebhookOutdated) -> str:
    age = duration(Micros(event.at - event.stamp)) if event.stamp else "too long"
    return f"A {event.type or 'webhook'} came {age} after its event. Bellhop ignored it: it was sent again, or held up."


def _put_off(_: RoundLog, event: WebhookPutOff) -> str:
    return (
        f"Stream sent {event.type or 'a webhook'}{_at_attempt(event)}. Too many rings of the same Stream app waited, "
        "so Bellhop asked Stream to send it again."
    )


def _waits(_: RoundLog, job: JobWaits) -> str:
    return "Other jobs of the same Stream app waited for a worker. Apps take turns, so this one waited behind them."


def _picked_up(round_log: RoundLog, job: JobPickedUp) -> str:
    push = PUSHES.get(job.job, "work")
    if job != round_log.first_picked_up.get(job.job):
        return f"A worker started the {push} again: it was queued twice, or the first worker stopped."
    if not round_log.openings:
        return f"A worker started the {push}."
    return f"A worker started the {push} {duration(Micros(job.at - round_log.openings[0].at))} after it was queued."


def _skipped(round_log: RoundLog, push: PushSkipped) -> str:
    return f"{name_of(round_log, push)} gets no {PUSHES.get(push.kind, 'push')}: {because(round_log, push)}."


def _waited(round_log: RoundLog, push: PushWaited) -> str:
    return (
        fill("Bellhop cannot send the {push} for {device} yet: ", round_log, push)
        + f"{because(round_log, push)}{answer(push)}."
    )


def _attempted(round_log: RoundLog, push: PushAttempted) -> str:
    took = f" after {duration(Micros(round(push.ms * 1000)))}" if push.ms else ""
    if push.outcome == Outcome.ACCEPTED:
        return fill("{provider} accepted the {push} for {device}", round_log, push) + f"{took}."
    result = "has an unknown result" if push.outcome in NOT_KNOWN else "failed"
    start = fill(f"An attempt to send the {{push}} for {{device}} {result}", round_log, push)
    return f"{start}{took}: {because(round_log, push)}{answer(push)}."


def _finished(round_log: RoundLog, push: PushFinished) -> str:
    start = NO_MORE_ATTEMPTS if (push.device, push.kind) in round_log.attempted else NOT_ATTEMPTED
    return fill(start, round_log, push) + f"{because(round_log, push)}{answer(push)}."


def _token(round_log: RoundLog, token: TokenChecked) -> str:
    return fill(FATES.get(token.detail, UNKNOWN_FATE), round_log, token)


def _reduced(round_log: RoundLog, push: PushReduced) -> str:
    start = fill("The {push} for {device} went without a part of your own: ", round_log, push)
    return f"{start}{push.detail}. It did not fit into the push, or could not be filled in."


def _second_ring(round_log: RoundLog, phone: SecondRingDue) -> str:
    how = HOW_RUNG_AGAIN.get(phone.provider, "by another push")
    return f"{name_of(round_log, phone)} sent no receipt within {phone.detail} s, so Bellhop rings it again {how}."


def standing_sentence(round_log: RoundLog, user: str, standing: str) -> str:
    """Describe a user's latest standing. If it is recorded, the timeline has the sentence."""
    if settled := round_log.of(user, UserSettled):
        return timeline_entry(round_log, settled[-1]).sentence.removesuffix(NOTICE_IS_DUE.format(user=user))
    return _standing_sentence(
        round_log, UserSettled(at=Micros(0), round=round_log.started_at, user=user, outcome=standing)
    )


def _standing_sentence(round_log: RoundLog, settled: UserSettled) -> str:
    """Describe a standing: as "did not answer" only if a phone rang and Stream would have told an answer."""
    if settled.outcome in NOT_RUNG_STANDINGS and round_log.rang_nowhere(settled.user):
        return fill(NOT_RUNG_STANDINGS[settled.outcome], round_log, settled)
    if settled.outcome == Standing.NO_ANSWER and round_log.is_untold:
        return fill(UNTOLD_STANDING, round_log, settled)
    return fill(STANDINGS.get(settled.outcome, UNKNOWN_STANDING), round_log, settled)


def _settled(round_log: RoundLog, settled: UserSettled) -> str:
    sentence = _standing_sentence(round_log, settled)
    return sentence + NOTICE_IS_DUE.format(user=settled.user) if settled.outcome in NOTICE_DUE else sentence


def _mailed(round_log: RoundLog, email: EmailMilestone) -> str:
    not_due = meaning_of(email.outcome).tone is Tone.QUIET
    start = "No missed-call e-mail for {user}: " if not_due else "The missed-call e-mail to {user}: "
    return fill(start, round_log, email) + f"{because(round_log, email)}{answer(email)}."


def _rang(round_log: RoundLog, phone: PhoneRang) -> str:
    return f"{name_of(round_log, phone)} reports that it rang."


def _reported(round_log: RoundLog, report: PhoneReported) -> str:
    return report_sentence(round_log, report, name_of(round_log, report))


def _asked(round_log: RoundLog, asked: StreamAsked) -> str:
    if asked.kind in STARTED.values():
        return MEMBERS_UNKNOWN.format(reason=asked.reason)
    learned = [_learned(round_log, asked, name, at) for name, at in read_learned(asked).items()]
    if learned:
        return " ".join(learned)
    return QUESTIONS.get(asked.outcome, UNKNOWN_QUESTION).format(reason=asked.reason or "no reason is known")


def _learned(round_log: RoundLog, asked: StreamAsked, name: str, at: Micros) -> str:
    """Say what Stream reported, and whether the webhook about it came later."""
    kind = next((kind for kind in LEARNED if name.startswith(kind)), Stamp.ENDED)
    user = name.removeprefix(kind)
    if kind == Stamp.MISSED:  # the session is between them
        user = user.partition(":")[2]
    cancelled = kind == Stamp.REJECTED and user in round_log.state.callers
    sentence = (LEARNED_CANCEL if cancelled else LEARNED[kind]).format(user=user, at=clock_time(at))
    types = _WEBHOOKS_OF.get(kind, ENDS)
    later = round_log.webhooks.first_since(asked.at, types, None if types is ENDS else user)
    if later is None:
        return sentence + NEVER_CAME
    return sentence + CAME_LATER.format(time=duration(Micros(later - asked.at)))


_WEBHOOKS_OF: dict[str, tuple[str, ...]] = {
    Stamp.ACCEPTED: ANSWERS,
    Stamp.REJECTED: ("call.rejected",),
    Stamp.MISSED: ("call.missed",),
}
"""The webhooks that report what Stream says when Bellhop asks, if that is not the end of the call."""


def _unknown(_: RoundLog, line: UnknownMilestone) -> str:
    return f"This version of Bellhop has no sentence for this line of the trail: {line.word or 'it is unreadable'}."


SENTENCES: dict[type[Milestone], Callable[[RoundLog, Any], str]] = {
    WebhookReceived: _received,
    WebhookRepeated: _repeated,
    WebhookOutdated: _outdated,
    WebhookPutOff: _put_off,
    JobWaits: _waits,
    JobPickedUp: _picked_up,
    PushSkipped: _skipped,
    PushWaited: _waited,
    PushAttempted: _attempted,
    PushFinished: _finished,
    TokenChecked: _token,
    PushReduced: _reduced,
    SecondRingDue: _second_ring,
    UserSettled: _settled,
    PhoneRang: _rang,
    PhoneReported: _reported,
    RejectionCarried: carried_sentence,
    EmailMilestone: _mailed,
    StreamAsked: _asked,
    UnknownMilestone: _unknown,
}
"""The function that writes the sentence, by kind of milestone."""
