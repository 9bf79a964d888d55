"""The sentences in which Bellhop explains a call, except those of `bellhop.domain.outcomes`. Pure.

They are for support people: short, concrete, without blame. `bellhop.explain.timeline` fills in the {braces}.
"""

import re
from datetime import UTC, datetime, timedelta

from bellhop.clock import Micros
from bellhop.domain import round_of_test
from bellhop.domain.call import Stamp, Standing
from bellhop.domain.device import Provider
from bellhop.domain.push import PushKind
from bellhop.trail import QuestionOutcome, TokenFate

MAX_NAMED = 12
"""The number of users that one sentence names."""

UNNAMED = re.compile(r"(apns|fcm|webpush) (?:voip|alert) ([0-9a-f]{6})")
"""The label of a device without a name (`Device.label`): provider, kind, and the first digits of the device's key."""
PHONES = {"apns": "iPhone", "fcm": "Android phone", "webpush": "browser"}
"""The name of a phone, or of a browser, by provider, if the device has no name."""

STANDINGS: dict[str, str] = {
    Standing.RINGING: "The phone may still ring.",
    Standing.ANSWERED: "{user} answered{since}.",
    Standing.DECLINED: "{user} declined{since}.",
    Standing.MISSED_QUIETLY: "{user} missed the call, and Stream asked Bellhop to send no notice.",
    Standing.BUSY: "{user} had another call.",
    Standing.TIMED_OUT: "{user} did not answer in time.",
    Standing.MISSED: "{user} missed the call.",
    Standing.CANCELLED: "The call was cancelled{when}.",
    Standing.ENDED: "The call ended{when}, and {user} had not answered.",
    Standing.REMOVED: "{user} was removed from the call{when}.",
    Standing.NO_ANSWER: "{user} did not answer before the time to ring was over.",
    Standing.STALE: "{user} did not answer. Bellhop learned this too late to send a notice.",
}
"""The final standing of a recipient."""
UNTOLD_STANDING = (
    "Stream has told Bellhop nothing of this call but the ring, so it is not known whether {user} answered."
)
"""The standing NO_ANSWER, if nothing but the ring is known."""
NOT_RUNG_STANDINGS: dict[str, str] = {
    Standing.NO_ANSWER: "The time to ring was over, and Bellhop had rung no phone of {user}.",
    Standing.STALE: "Bellhop rang no phone of {user}, and learned too late that the ring was over to send a notice.",
}
"""The standings of a user who did not answer, if no push of the ring was accepted."""
UNKNOWN_STANDING = "The call is over for {user}."
NOTICE_IS_DUE = " A missed-call notice for {user} is due."

FATES: dict[str, str] = {
    TokenFate.REMOVED: "Bellhop removed the push token of {device}: {provider} says that the token is dead.",
    TokenFate.NEWER: "Bellhop kept the push token of {device}: the phone has registered it again since the time that "
    "{provider} names.",
    TokenFate.CHANGED: "Bellhop left the push token of {device} alone: it was registered again, or removed, in the "
    "meantime.",
    TokenFate.BRAKED: "Bellhop kept the push token of {device}: too many tokens of this app die at the same time. "
    "This looks like a mistake in the settings. Run `bellhop check`.",
    TokenFate.MOVED: "{device} belongs to Apple's other environment: Apple accepted the push there, and Bellhop "
    "now uses that environment.",
}
"""What a provider's answer did to a device's registration."""
UNKNOWN_FATE = "The provider's answer was about the push token of {device}."

EVENTS: dict[str, str] = {
    "call.ring": "Stream reports that {caller} called {users}",
    round_of_test.EVENT: "A test ring of the phones of {users} began",
    "call.notification": "Stream asks Bellhop to notify {users} of the call",
    "call.live_started": "Stream reports that the call went live",
    "call.session_started": "Stream reports that the first person joined the call",
    "call.missed": "Stream reports that {users} missed the call",
    "call.accepted": "Stream reports that {users} answered",
    "call.session_participant_joined": "Stream reports that {users} joined the call",
    "call.session_participant_left": "Stream reports that {users} left the call",
    "call.rejected": "Stream reports that {users} declined",
    "call.member_removed": "Stream reports that {users} left the list of the call's members",
    "call.blocked_user": "Stream reports that {users} got blocked in the call",
    "call.kicked_user": "Stream reports that {users} got removed from the call",
    "call.ended": "Stream reports the end of the call",
    "call.deleted": "Stream reports that the call was deleted",
    "call.session_ended": "Stream reports the end of this session of the call",
}
"""Stream's webhooks. The past tense fits every subject: one name, several names, and an id such as "you"."""
OTHER_EVENT = "Stream sent {kind}"
REJECTIONS = {
    "busy": "Stream reports that {users} had another call",
    "timeout": "Stream reports that {users} did not answer in time",
    "report-call-failed": "Stream reports that the phone of {users} could not show the call",
    "not-configured": "Stream reports that the app of {users} could not ring, since it was not set up",
}
"""A callee's call.rejected, by its reason."""
REJECTED_BY_PHONE = "Stream reports that the phone of {users} stopped ringing, since the call was over ({reason})"
CANCELLATION = "Stream reports that the caller, {users}, cancelled the call"
GAVE_UP = "Stream reports that nobody answered in time, and the app of the caller, {users}, gave up"

QUESTIONS: dict[str, str] = {
    QuestionOutcome.ANSWERED: "Bellhop asked Stream for the state of the ring. Stream reports nothing new.",
    QuestionOutcome.UNKNOWN_CALL: "Bellhop asked Stream for the state of the ring. Stream does not know the call.",
    QuestionOutcome.NO_ANSWER: "Bellhop asked Stream for the state of the ring, and got no answer ({reason}). It "
    "continued with what the webhooks say.",
    QuestionOutcome.REFUSED: "Stream refused to give the state of the ring ({reason}). Bellhop continued with what the "
    "webhooks say.",
    QuestionOutcome.OVER_BUDGET: "Bellhop did not ask Stream for the state of the ring: there were more questions than "
    "BELLHOP_STREAM_QUESTIONS_PER_S allows.",
}
"""The result of asking Stream, if it taught nothing."""
MEMBERS_UNKNOWN = (
    "Bellhop asked Stream who the members of the call are, and Stream did not say it ({reason}). Bellhop asks again, "
    "for an hour."
)
"""Before a push that a call began."""
UNKNOWN_QUESTION = "Bellhop asked Stream for the state of the ring."
LEARNED: dict[str, str] = {
    Stamp.ACCEPTED: "Stream says {user} answered at {at}",
    Stamp.REJECTED: "Stream says {user} rejected the call at {at}",
    Stamp.MISSED: "Stream says {user} missed the call at {at}",
    Stamp.SESSION_ENDED: "Stream says this session of the call ended at {at}",
    Stamp.ENDED: "Stream says the call ended at {at}",
}
"""What Stream says when Bellhop asks, by the start of the stamp's name."""
LEARNED_CANCEL = "Stream says the caller, {user}, cancelled the call at {at}"
NEVER_CAME = "; its webhook never came."
CAME_LATER = "; its webhook came {time} later."

PUSHES: dict[str, str] = {
    PushKind.RING: "ring",
    PushKind.NOTIFICATION: "notification",
    PushKind.MISSED: "missed-call notice",
    PushKind.LIVE_STARTED: "notification of the live call",
    PushKind.SESSION_STARTED: "notification of the call's start",
    PushKind.SECOND_RING: "second ring",
    PushKind.RING_OVER: "end of the ring",
    PushKind.ALERT_RING: "repeated alert",
}
"""The name of a kind of push."""
SENT: dict[str, str] = {
    PushKind.RING: "rung",
    PushKind.NOTIFICATION: "notified",
    PushKind.MISSED: "sent a missed-call notice",
    PushKind.LIVE_STARTED: "notified of the live call",
    PushKind.SESSION_STARTED: "notified of the call's start",
    PushKind.SECOND_RING: "rung again",
    PushKind.RING_OVER: "told that the ring was over",
    PushKind.ALERT_RING: "rung again by an alert",
}
"""The participle for a kind of push, to put after "was"."""
PURPOSES: dict[str, str] = {
    PushKind.RING: "calls",
    PushKind.NOTIFICATION: "notifications",
    PushKind.MISSED: "missed-call notices",
    PushKind.LIVE_STARTED: "notifications",
    PushKind.SESSION_STARTED: "notifications",
    PushKind.SECOND_RING: "calls",
    PushKind.RING_OVER: "calls",
    PushKind.ALERT_RING: "calls",
}
"""What a phone registers a token for."""
PROVIDERS: dict[str, str] = {Provider.APNS: "Apple", Provider.FCM: "Google", Provider.WEB_PUSH: "Web Push"}

HOW_RUNG_AGAIN: dict[str, str] = {Provider.APNS: "by an alert", Provider.FCM: "by the same push"}
"""How a phone that sent no receipt is rung a second time, by the provider of the ring."""
AGAIN = "{counted}, until {time} after the call began, ended in the same way."
NO_MORE_ATTEMPTS = "No more attempts to send the {push} for {device}: "
NOT_ATTEMPTED = "The {push} for {device} was not sent: "
"""The end of a push, if there was no attempt."""
NO_DEVICE = "no device of {user} was registered"
ONLY_FOR_NOTICES = "{user} had {devices} for notices and none for calls: an iPhone rings by its VoIP token"
ONLY_FOR_CALLS = "{user} had {devices} for calls and none for notices: an iPhone gets notices by its alert token"
"""Why a user got no push: NO_DEVICES, if the trail has the number of the user's devices."""
REGISTER_FOR_CALLS = (
    "Let the app register the iPhone's VoIP token (PushKit) too, with kind voip: see docs/client-contract.md. "
    "`bellhop devices list {user}` shows the tokens that are registered now."
)
REGISTER_FOR_NOTICES = (
    "Let the app register the iPhone's APNs token too, with kind alert: see docs/client-contract.md. "
    "`bellhop devices list {user}` shows the tokens that are registered now."
)

OTHER_PROJECT = (
    "Google says that this phone's push token belongs to another Firebase project than {app}, the project of Bellhop's "
    "service account"
)
EVERY_ANDROID_PHONE = (
    "Every Android phone of this call got this answer: Bellhop's service account is of the project {app}, and the "
    "phones' tokens are of another one. Use a service account of the project in the app's google-services.json."
)
PERHAPS_EVERY_ANDROID_PHONE = (
    "If every Android phone gets this answer, Bellhop's service account is of another project than the app: run "
    "`bellhop check`, which asks Google about several phones. If only this phone gets it, its token is not of {app}."
)

OTHER_KEY = "the browser subscribed with another public key than that of {app}"
SUBSCRIBE_AGAIN = (
    "Let the page subscribe again, with the key that GET /v1/web-push/key returns. If no browser gets a push, the key "
    "pair of {app} was replaced: then all browsers must subscribe again."
)

ONE_ENVIRONMENT = (
    "The credentials for {app} are for one of Apple's environments only, and this push was for the other. Phones of "
    "the right environment ring. To ring both, use a key for both environments."
)
REFUSED_BEFORE = "{provider} refuses the credentials for {app}, so the push waited"
"""Why a push waits, if the circuit is open because the provider refused the credentials."""

SILENT = (
    "If a phone stayed silent although {provider} accepted the push, check the phone: is it switched on and online, is "
    "a Focus or Do Not Disturb on, can the app send notifications, and does the app show the call when a push arrives?"
)
LATE_WEBHOOK = (
    "Stream's webhook took {time} to arrive: check in Stream's dashboard whether earlier attempts failed, and check "
    "that Bellhop's web process was running. If neither is the cause, the clock of Redis's machine may be wrong: run "
    "`bellhop check`, which compares the clocks."
)
LATE_WORKER = "The ring waited {time} for a worker: check that workers run and are fast enough (see /readyz)."
NOT_STARTED = (
    "No worker has started the ring: run `bellhop check`. It says whether workers run, and finds workers that use "
    "another database of the same Redis."
)
RINGS_ONLY = (
    "If people answer such calls, Stream's webhook sends call.ring and no other event: select all events of calls for "
    "it in Stream's dashboard, and run `bellhop check`. Until then, answered calls look missed, and phones may ring on "
    "after an answer."
)
LEFT_OUT = (
    "The call has more members than Bellhop accepts in one webhook. Bellhop ignored {left_out} of them. Ring them in "
    "smaller groups (members_ids), or raise BELLHOP_RING_MEMBERS."
)
NOT_TAKEN_UP = "no worker took it up in time"
TAKEN_UP_ONLY = "a worker took it up, but sent nothing before the time to ring was over"
"""Why a phone was not rung, if the time to ring is over and no push of the ring is on the trail."""
NOT_TAKEN = "Nobody was called. {webhook} No other {type} came."
"""The result of a call if Bellhop took no webhook that asks to call people."""
PUT_OFF = (
    "Find out why so many rings of this Stream app wait: run `bellhop check`, and start more workers. If so many may "
    "wait, raise BELLHOP_RINGS_WAITING_PER_APP (docs/tenants.md)."
)
OUTDATED = (
    "Find out what held the webhook up, such as an Amazon SQS queue that nothing read. If nothing did, the clock of "
    "Redis's machine may be wrong: run `bellhop check`, which compares the clocks."
)
NOT_A_MEMBER = "Check the user id: it must be the id in Stream, with the same capital letters."
NEVER_ASKED = "Stream told Bellhop of this call ({events}) but never asked to ring it: was it created with ring: true?"
WORD_OF_EVENT = {
    "call.created": "created",
    "call.live_started": "went live",
    "call.member_added": "member added",
    "call.session_started": "started",
    "call.accepted": "answered",
    "call.rejected": "rejected",
    "call.session_participant_joined": "joined",
    "call.session_participant_left": "left",
    "call.session_ended": "ended",
    "call.ended": "ended",
    "call.deleted": "deleted",
}
"""What happened to a call that never rang, by the type of the event."""
NEVER_RUNG = (
    "Let the app or the backend create the call with ring: true, or ring it later: only then Stream sends call.ring, "
    "and Bellhop rings phones.",
    "If it was created with ring: true, Stream's webhook may not send call.ring to Bellhop: run `bellhop check`.",
)
NO_TRAIL = (
    "Check the id: it is the call's type and its id, such as default:1234, exactly as Stream shows them.",
    "With several Stream apps, look in the right one: use `--tenant`, or the list at the top of the console.",
    "Bellhop keeps the trail of a call for some days after its last webhook (BELLHOP_TRAIL_DAYS).",
    "If the call is recent, its webhooks did not arrive or were refused: run `bellhop check`, compare the webhook URL "
    'in Stream\'s dashboard, and look for "webhook_refused" in the log of the web process.',
)


def duration(length_us: Micros) -> str:
    """Write a length of time as a text, in a suitable unit."""
    ms = max(length_us, 0) / 1000
    if ms < 100:
        return f"{ms:.0f} ms"
    seconds = ms / 1000
    if seconds < 59.5:
        return f"{seconds:.0f} s" if seconds >= 9.95 else f"{seconds:.1f} s".replace(".0 ", " ")
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(round(seconds / 60), 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{round(hours / 24)} days"


def clock_time(at: Micros) -> str:
    """Write the time of day of a moment, in UTC."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at)).strftime("%H:%M:%S")


def named(user_id: str, name: str) -> str:
    """Write a user's id, and the name beside it if it is known: "u-17 (Jane Roe)"."""
    return f"{user_id} ({name})" if name else user_id


def listed(names: list[str] | tuple[str, ...], more: int = 0) -> str:
    """List names: "a, b and c". Of many names, list the first ones and say how many more there are."""
    more += max(0, len(names) - MAX_NAMED)
    shown = list(names[:MAX_NAMED])
    if more:
        shown.append(f"{more} more")
    return f"{', '.join(shown[:-1])} and {shown[-1]}" if len(shown) > 1 else "".join(shown)


def phone_name(label: str) -> str:
    """Name a phone by its device's label, in the same way wherever Bellhop names it."""
    unnamed = UNNAMED.fullmatch(label)
    return f"{PHONES[unnamed[1]]} {unnamed[2]}" if unnamed else label
