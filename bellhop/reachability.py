"""Can this user be rung? One answer with its reasons, before anybody calls. `reachability_facts` reads the facts.

The sentences about phones are those of `bellhop.domain.phone_states`, those about pushes of `bellhop.domain.outcomes`.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from enum import StrEnum
from operator import attrgetter
from typing import NamedTuple

from pydantic import ConfigDict

from bellhop.app_health import app_health
from bellhop.clock import MICROS_PER_SECOND, Micros, as_datetime
from bellhop.domain.device import Device, Provider
from bellhop.domain.outcomes import MEANING, Outcome, Tone
from bellhop.domain.phone import NEVER_HEARD_OF
from bellhop.domain.phone_diagnosis import states_of, worst
from bellhop.domain.phone_states import RingEffect
from bellhop.domain.plan import beside_alerts, suits
from bellhop.domain.push import PushKind
from bellhop.domain.round import Recipient
from bellhop.domain.user import push_refusal, refusal_facts
from bellhop.explain.sentences import PROVIDERS, PURPOSES, REGISTER_FOR_CALLS, phone_name
from bellhop.explain.skip_facts import muted_until, quiet_hours
from bellhop.field_docs import DocumentedModel
from bellhop.queue.names import RINGS
from bellhop.reachability_facts import NO_PUSHES, ReachabilityFacts
from bellhop.store.registered_devices import only_for_notices
from bellhop.store.registered_today import only_unreachable

RECEIPT_WAIT_US = 60 * MICROS_PER_SECOND
"""How long after a ring its receipt may still come."""
MONTH_US = Micros(30 * 24 * 3600 * MICROS_PER_SECOND)
REFUSED_AFTER = 9
"""Months without contact after which Google refuses the token of an Android phone (270 days)."""


class RingAnswer(StrEnum):
    """The answer."""

    YES = "yes"
    MAYBE = "maybe"
    NO = "no"


class ReachabilityReason(DocumentedModel):
    """One reason for the answer."""

    model_config = ConfigDict(frozen=True, json_schema_serialization_defaults_required=True)

    word: str
    """A stable word for programs."""
    effect: RingEffect
    """How it affects a ring: silent, unsure, no_sound, or note (not at all)."""
    sentence: str
    next: str
    """What to do about it."""
    device: str = ""
    """The id of the phone's device; empty if the reason is about all phones of the user."""
    phone: str = ""
    """The name of that phone."""
    path: str = ""
    """Where the setting is on the phone; empty if it is not a setting of the phone."""
    since: datetime | None = None
    """The time of the phone's first report of it, or of the ring that the phone did not report."""


class Reachability(DocumentedModel):
    """Whether a user can be rung now."""

    model_config = ConfigDict(frozen=True)

    user_id: str
    rings: RingAnswer
    """yes, maybe, or no."""
    sentence: str
    reasons: list[ReachabilityReason]
    """The worst first."""


class _Reason(NamedTuple):
    """A reason, with the next step for operators and the one for the user."""

    word: str
    effect: RingEffect
    sentence: str
    next: str
    own_next: str = ""
    """The next step for the user, if it is another one."""
    operator: bool = False
    """Whether only operators may know of it."""
    device: Device | None = None
    path: str = ""
    since_ms: int = 0


OPEN_APP = "Open the app once on this phone, so that it registers again."
SIGN_IN = "Open the app and sign in, so that it registers this phone."
SERVICE_TROUBLE = _Reason(
    "service_trouble",
    RingEffect.SILENT,
    "The service that rings this phone has a problem at the moment.",
    "Try again later. If it goes on, tell the support of the app.",
)
"""What users get in place of the reasons that only operators may know."""
ASK_FOR_CHANGE = "Nothing, if {user} wants it so. The app or your backend can change it (docs/people.md)."
USELESS_TOKEN = frozenset({Outcome.TOKEN_DEAD, Outcome.BAD_TOKEN, Outcome.WRONG_APP, Outcome.NO_APNS_KEY})
"""Outcomes of the last attempt after which the phone's token is useless."""
SURE_TROUBLE = {Outcome.CREDENTIALS_REFUSED, Outcome.WRONG_APP}
ANSWERS = {
    RingEffect.SILENT: RingAnswer.NO,
    RingEffect.UNSURE: RingAnswer.MAYBE,
    RingEffect.NO_SOUND: RingAnswer.MAYBE,
    RingEffect.NOTE: RingAnswer.YES,
}
SUMMARIES = {
    RingAnswer.YES: "{user} can be rung.",
    RingAnswer.MAYBE: "It is not sure that {user} can be rung: {reason}",
    RingAnswer.NO: "{user} cannot be rung now: {reason}",
}


def judge(facts: ReachabilityFacts, *, for_user: bool = False, caller: str = "") -> Reachability:
    """Answer from these facts. `for_user` leaves out what only operators may know.

    With `caller`, the answer is about calls by this user: the preferences may allow or block them.
    """
    facts = facts._replace(user=facts.user.for_call(Recipient(id=facts.user_id), caller))
    unused = beside_alerts(facts.devices)
    ringing = [device for device in facts.devices if suits(PushKind.RING, device) and device not in unused]
    reasons = [*_of_the_user(facts, ringing)]
    for device in ringing:
        reasons += [reason._replace(device=device) for reason in _of_the_device(facts, device)]
    if for_user:
        reasons = [*_for_user(reasons)]
    effect = _effect(reasons, ringing)
    reasons.sort(key=lambda reason: reason.effect.rank)
    cause = next((reason.sentence for reason in reasons if reason.effect is effect), "")
    sentence = SUMMARIES[ANSWERS[effect]].format(user=facts.user_id, reason=cause)
    shown = [_shown(reason, for_user=for_user) for reason in reasons]
    return Reachability(user_id=facts.user_id, rings=ANSWERS[effect], sentence=sentence, reasons=shown)


def _effect(reasons: Iterable[_Reason], ringing: Iterable[Device]) -> RingEffect:
    """Return the effect of all reasons together on a ring. If there are several phones, the best one decides."""
    by_phone: dict[str, list[RingEffect]] = {device.key: [] for device in ringing}
    for_all: list[RingEffect] = []
    for reason in reasons:
        (by_phone[reason.device.key] if reason.device else for_all).append(reason.effect)
    best = max(map(worst, by_phone.values()), key=attrgetter("rank"), default=RingEffect.SILENT)
    return worst([best, *for_all])


def _shown(reason: _Reason, *, for_user: bool) -> ReachabilityReason:
    device, at_ms = reason.device, reason.since_ms
    return ReachabilityReason(
        word=reason.word,
        effect=reason.effect,
        sentence=reason.sentence,
        next=(for_user and reason.own_next) or reason.next,
        device=device.key if device else "",
        phone=phone_name(device.label) if device else "",
        path=reason.path,
        since=as_datetime(Micros(at_ms * 1000)) if at_ms else None,
    )


def _for_user(reasons: Iterable[_Reason]) -> Iterator[_Reason]:
    """Yield what the user may know, and one reason for everything else that keeps a phone silent."""
    told: set[str] = set()
    for reason in reasons:
        key = reason.device.key if reason.device else ""
        if not reason.operator:
            yield reason
        elif reason.effect is not RingEffect.NOTE and key not in told:
            told.add(key)
            yield SERVICE_TROUBLE._replace(effect=reason.effect, device=reason.device)


def _of_the_user(facts: ReachabilityFacts, ringing: list[Device]) -> Iterator[_Reason]:
    if not facts.installation.workers.get(RINGS):
        sentence = "No worker is alive that sends rings."
        yield _Reason("no_worker", RingEffect.SILENT, sentence, "Start `bellhop worker`.", operator=True)
    yield from _wishes(facts)
    if sentence := only_unreachable(facts.user_id, facts.unreachable):
        advice = "Use a phone with Google Play services or an iPhone, or reach this user in another way."
        yield _Reason("unreachable_phones", RingEffect.NOTE, sentence, advice)
    if not ringing:
        yield _no_phone(facts)


def _no_phone(facts: ReachabilityFacts) -> _Reason:
    if facts.devices:
        sentence = only_for_notices({facts.user_id: len(facts.devices)}) + "."
        advice = REGISTER_FOR_CALLS.format(user=facts.user_id)
        return _Reason("only_for_notices", RingEffect.SILENT, sentence, advice, "Update the app, open it and sign in.")
    names = {"user": facts.user_id, "purpose": PURPOSES[PushKind.RING]}
    advice = facts.today or MEANING[Outcome.NO_DEVICES].advice.format_map(names)
    return _Reason(
        "no_devices", RingEffect.SILENT, f"No phone of {facts.user_id} is registered for calls.", advice, SIGN_IN
    )


def _wishes(facts: ReachabilityFacts) -> Iterator[_Reason]:
    """Yield why the user gets no pushes now: by the user's preferences, or because Stream deactivated the user."""
    refusal = push_refusal(facts.user, facts.now)
    if refusal is None:
        return
    behind, advice = refusal_facts(facts.user, refusal), ASK_FOR_CHANGE.format(user=facts.user_id)
    own = "Switch it off in the app, if you want to be called."
    sentences = {
        Outcome.MUTED: f"{facts.user_id} has muted all calls{muted_until(behind)}.",
        Outcome.QUIET_HOURS: f"{facts.user_id} has quiet hours now{quiet_hours(behind)}.",
        Outcome.CALLER_BLOCKED: f"{facts.user_id} has blocked this caller.",
        Outcome.DEACTIVATED: f"{facts.user_id} is deactivated at Stream.",
    }
    if refusal is Outcome.DEACTIVATED:
        advice, own = "Reactivate the user at Stream, if that is wanted.", "Ask the support of the app."
    yield _Reason(refusal, RingEffect.SILENT, sentences[refusal], advice, own)


def _of_the_device(facts: ReachabilityFacts, device: Device) -> Iterator[_Reason]:
    for find in (_disabled, _credentials, _last_push, _receipts, _registration, _subscription, _settings_of_the_phone):
        yield from find(facts, device)


def _disabled(facts: ReachabilityFacts, device: Device) -> Iterator[_Reason]:
    """Yield a reason if an operator has disabled the phone."""
    at = facts.user.disabled_since(device.phone_names)
    if at is not None:
        sentence = f"This phone was disabled by an operator at {as_datetime(at):%Y-%m-%d %H:%M} UTC."
        advice = MEANING[Outcome.DISABLED].advice.format(user=facts.user_id)
        own = "Ask the support of the app to enable this phone."
        yield _Reason(Outcome.DISABLED, RingEffect.SILENT, sentence, advice, own, since_ms=at // 1000)


def _credentials(facts: ReachabilityFacts, device: Device) -> Iterator[_Reason]:
    """Yield what is wrong with the app at its provider, as the workers report."""
    app = (device.provider, device.app)
    if facts.apps and app not in facts.apps:
        meaning = MEANING[Outcome.NO_CREDENTIALS]
        sentence, advice = f"{meaning.sentence}.".format(app=device.app), meaning.advice.format(app=device.app)
        yield _Reason(Outcome.NO_CREDENTIALS, RingEffect.SILENT, sentence, advice, operator=True)
    health = app_health(*app, facts.installation.channels_by_app().get(app, ()))
    if health.tone is Tone.BAD and health.outcome:
        effect = RingEffect.SILENT if health.outcome in SURE_TROUBLE else RingEffect.UNSURE
        yield _Reason(health.outcome, effect, health.sentence, health.next, operator=True)


def _last_push(facts: ReachabilityFacts, device: Device) -> Iterator[_Reason]:
    """Yield a reason if the last attempt to ring showed a useless token, and it was not registered again since."""
    last = facts.pushes.get(device.key, NO_PUSHES)
    if last.outcome not in USELESS_TOKEN or last.attempted_at <= device.registered_at:
        return
    outcome = Outcome(last.outcome)
    names = {"provider": PROVIDERS[device.provider], "app": device.app, "user": facts.user_id}
    sentence = MEANING[outcome].sentence.format_map(names)
    advice = MEANING[outcome].advice.format_map(names)
    is_ours = outcome in (Outcome.WRONG_APP, Outcome.NO_APNS_KEY)
    yield _Reason(outcome, RingEffect.SILENT, f"{sentence}.", advice, OPEN_APP, operator=is_ours)


def _receipts(facts: ReachabilityFacts, device: Device) -> Iterator[_Reason]:
    """Yield a reason if the provider accepted a ring and the phone did not report it."""
    pushes, record = facts.pushes.get(device.key, NO_PUSHES), facts.records.get(device.key, NEVER_HEARD_OF)
    if not facts.has_receipts or not pushes.accepted or facts.now < pushes.accepted_at + RECEIPT_WAIT_US:
        return
    provider = PROVIDERS[device.provider]
    when = f"{as_datetime(pushes.accepted_at):%Y-%m-%d %H:%M} UTC"
    advice = "Check the phone: is it switched on and online, and does the app show the call when a push arrives?"
    if not record.last_receipt_ms:
        sentence = (
            f"The phone has never reported that it rang, although {provider} accepted a ring at {when}. Perhaps its "
            "app does not send receipts."
        )
        advice = "Let the app send receipts: docs/client-contract.md."
        yield _Reason("no_receipt_ever", RingEffect.NOTE, sentence, advice, operator=True)
    elif not pushes.is_reported and record.last_receipt_ms * 1000 < pushes.accepted_at:
        sentence = f"The phone has reported earlier rings, but not the last one, which {provider} accepted at {when}."
        yield _Reason("no_receipt_lately", RingEffect.UNSURE, sentence, advice, since_ms=pushes.accepted_at // 1000)


def _registration(facts: ReachabilityFacts, device: Device) -> Iterator[_Reason]:
    """Yield a reason if the last registration is a month old. Apps that use Bellhop's API register at each start."""
    months = (facts.now - device.registered_at) // MONTH_US
    if months < 1 or not device.registered_at:
        return
    sentence = f"This phone was last registered on {as_datetime(device.registered_at):%Y-%m-%d}."
    effect = RingEffect.NOTE
    if device.provider is Provider.FCM and months >= REFUSED_AFTER:
        effect = RingEffect.UNSURE
        sentence += " Google refuses tokens of Android phones that were not used for 270 days."
    advice = f"Ask {facts.user_id} to open the app. An app that registers with Bellhop does so at each start."
    yield _Reason("registered_long_ago", effect, sentence, advice, OPEN_APP)


def _subscription(facts: ReachabilityFacts, device: Device) -> Iterator[_Reason]:
    """Yield a reason if a browser's subscription has ended. The browser gave that time when it registered."""
    if device.expires_at and device.expires_at <= facts.now:
        sentence = f"The browser's subscription for pushes ended on {as_datetime(device.expires_at):%Y-%m-%d}."
        advice = f"Ask {facts.user_id} to open the app in the browser, so that it registers again."
        yield _Reason("subscription_ended", RingEffect.UNSURE, sentence, advice, OPEN_APP)


def _settings_of_the_phone(facts: ReachabilityFacts, device: Device) -> Iterator[_Reason]:
    record = facts.records.get(device.key, NEVER_HEARD_OF)
    if not record.health_at_ms:
        sentence = "The app on this phone reports nothing about the phone's settings."
        advice = "Let the app send its health: docs/client-contract.md."
        yield _Reason("no_health", RingEffect.NOTE, sentence, advice, operator=True)
    for state in states_of(record, device, facts.now):
        yield _Reason(state.word, state.effect, state.sentence, state.next, path=state.path, since_ms=state.since_ms)
