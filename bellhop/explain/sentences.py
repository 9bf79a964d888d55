"""The sentences in which Bellhop explains a call: one for every outcome, standing and fate of a token. Pure.

They are for a support person: short, concrete, without blame. {braces} are filled in by `bellhop.explain.explanation`.
"""

from enum import StrEnum
from typing import NamedTuple

from bellhop.domain.call import Standing
from bellhop.domain.device import Provider
from bellhop.domain.outcomes import Outcome
from bellhop.domain.push import PushKind
from bellhop.trail import TokenFate


class Tone(StrEnum):
    """How a part of a story ended."""

    GOOD = "good"
    """The push went out, or the call was answered."""
    QUIET = "quiet"
    """No push, and rightly so."""
    OPEN = "open"
    """Not over yet."""
    BAD = "bad"
    """There should have been a push."""


class Words(NamedTuple):
    """An outcome for people."""

    because: str
    """What follows "was not rung: "."""
    tone: Tone
    advice: str = ""
    """What to do next, where there is something."""


MOST_NAMED = 12
"""People that one sentence names."""
OUR_MISTAKE = "Please report this to Bellhop's developers, with the answer that the timeline shows."

OUTCOMES: dict[str, Words] = {
    Outcome.ACCEPTED: Words("{provider} accepted the push", Tone.GOOD),
    Outcome.UNSENT: Words(
        "the push did not get as far as {provider}",
        Tone.BAD,
        "Check that this machine can reach {provider}: run `bellhop check`.",
    ),
    Outcome.UNKNOWN: Words(
        "the connection to {provider} broke before it answered, so the push may or may not have arrived",
        Tone.BAD,
        "If this happens often, look at the network between this machine and {provider}: run `bellhop check`.",
    ),
    Outcome.UNAVAILABLE: Words(
        "{provider} had a problem of its own", Tone.BAD, "Look at {provider}'s status page for the time of the call."
    ),
    Outcome.THROTTLED: Words(
        "{provider} asked Bellhop to slow down",
        Tone.BAD,
        "Find out why there are so many pushes: {provider} limits how many one phone, or one app, may get.",
    ),
    Outcome.DELAYED: Words(
        "the way to {provider} took long, so the call was looked at again",
        Tone.OPEN,
        "If this happens often, look at how busy this machine is, and at the network between it and {provider}: run "
        "`bellhop check`.",
    ),
    Outcome.TOKEN_DEAD: Words(
        "{provider} says that the app was removed from this phone, or that its push token was replaced",
        Tone.BAD,
        "Ask {user} to open the app once, so that it registers its present token.",
    ),
    Outcome.BAD_TOKEN: Words(
        "{provider} does not know this phone's push token",
        Tone.BAD,
        "Ask {user} to open the app once, so that it registers its present token; if that does not help, check that "
        "the app registers the token for the right app and environment.",
    ),
    Outcome.WRONG_APP: Words(
        "{provider} says that this phone's push token belongs to another app than {app}",
        Tone.BAD,
        "Check which app the phone registers its token with: {app} is not the one that the token was made for.",
    ),
    Outcome.CREDENTIALS_REFUSED: Words(
        "{provider} refused the credentials for {app}",
        Tone.BAD,
        "Run `bellhop check`: it says what is wrong with the credentials for {app}. Nobody with this app is rung.",
    ),
    Outcome.TOO_LARGE: Words("the push was larger than {provider} allows", Tone.BAD, OUR_MISTAKE),
    Outcome.BAD_REQUEST: Words("{provider} could not make sense of the push", Tone.BAD, OUR_MISTAKE),
    Outcome.CIRCUIT_OPEN: Words(
        "{provider} kept failing for {app}, so the push waited",
        Tone.BAD,
        "Run `bellhop check`, and look at {provider}'s status page for the time of the call.",
    ),
    Outcome.NO_CREDENTIALS: Words(
        "no credentials for {app} are configured",
        Tone.BAD,
        "Add the credentials for {app} to Bellhop's settings, or have the phone register with an app that has some.",
    ),
    Outcome.NO_DEVICES: Words(
        "no phone is registered for {purpose}",
        Tone.BAD,
        "See which phones Bellhop knows: `bellhop devices list {user}`. Ask {user} to open the app and sign in, so "
        "that it registers; an iPhone has one token for calls and another for everything else.",
    ),
    Outcome.SAME_PHONE: Words("another token of the same phone was used", Tone.QUIET),
    Outcome.MUTED: Words("{who} had muted all calls", Tone.QUIET),
    Outcome.QUIET_HOURS: Words("the call began in {whose} quiet hours", Tone.QUIET),
    Outcome.ANSWERED: Words("{who} had answered{since}", Tone.QUIET),
    Outcome.DECLINED: Words("{who} had declined{since}", Tone.QUIET),
    Outcome.BUSY: Words("{who} had another call", Tone.QUIET),
    Outcome.TIMED_OUT: Words("{whose} app had stopped ringing{since}", Tone.QUIET),
    Outcome.MISSED: Words("Stream had counted the call as missed{when}", Tone.QUIET),
    Outcome.CANCELLED: Words("the call was cancelled{when}", Tone.QUIET),
    Outcome.ENDED: Words("the call had ended{when}", Tone.QUIET),
    Outcome.TOO_LATE: Words(
        "there was no time left to ring",
        Tone.BAD,
        "Look in the timeline for where the time went: to Stream's webhook, or to waiting for a worker. For the "
        "second, see that enough workers run.",
    ),
    Outcome.DUPLICATE: Words("it had been sent this {push} already", Tone.QUIET),
    Outcome.HELD: Words("another worker was sending it at that moment", Tone.OPEN),
    Outcome.SIGNED_OUT: Words("it was signed out, or passed on to another user, meanwhile", Tone.QUIET),
    Outcome.RUNG_AGAIN: Words("the call rang again since, and that ring has pushes of its own", Tone.QUIET),
    Outcome.GAVE_UP: Words("no attempt succeeded in the time there was", Tone.BAD),
    Outcome.MAIL_ACCEPTED: Words("the mail server took the e-mail", Tone.GOOD),
    Outcome.MAIL_WAITING: Words("it waits, to be one with others from the same caller", Tone.OPEN),
    Outcome.MAIL_REFUSED: Words(
        "the mail server refused the e-mail",
        Tone.BAD,
        "Check {user}'s e-mail address, and what the mail server says about Bellhop's sender address.",
    ),
    Outcome.MAIL_DEFERRED: Words("the mail server was away, or asked to try again later", Tone.OPEN),
    Outcome.MAIL_UNKNOWN: Words(
        "the connection to the mail server broke before it answered, so the e-mail may or may not have gone", Tone.BAD
    ),
    Outcome.MAIL_UNWRITTEN: Words(
        "the e-mail could not be written",
        Tone.BAD,
        'The worker\'s log says more ("mail_not_written"): most likely a template of your own fails. It is tried '
        "again for a day, so mend the template and restart the worker.",
    ),
    Outcome.MAIL_GAVE_UP: Words(
        "the e-mail could not be handed over within a day",
        Tone.BAD,
        "Check that this machine can reach the mail server: run `bellhop check`.",
    ),
    Outcome.MAIL_OFF: Words("{who} asked for no e-mails about missed calls", Tone.QUIET),
    Outcome.NO_ADDRESS: Words("no e-mail address is known", Tone.QUIET),
    Outcome.PUSH_ACCEPTED: Words("{who} had a missed-call notice on the phone", Tone.QUIET),
}
"""Everything that can become of a push or an e-mail."""

STANDINGS: dict[str, str] = {
    Standing.RINGING: "The phone may still ring.",
    Standing.ANSWERED: "{user} answered{since}.",
    Standing.DECLINED: "{user} declined{since}.",
    Standing.MISSED_QUIETLY: "{user} missed the call, and Stream asked not to tell them.",
    Standing.BUSY: "{user} was in another call.",
    Standing.TIMED_OUT: "{user} did not answer in time.",
    Standing.MISSED: "{user} missed the call.",
    Standing.CANCELLED: "The call was cancelled{when}.",
    Standing.ENDED: "The call ended{when} without {user}.",
    Standing.NO_ANSWER: "{user} did not answer before the time to ring was over.",
    Standing.STALE: "{user} did not answer; it was found out too late to tell them.",
}
"""Where a recipient stood in the end."""

FATES: dict[str, str] = {
    TokenFate.REMOVED: "The push token of {device} was removed: {provider} says that it is dead.",
    TokenFate.NEWER: "The push token of {device} was kept: it was registered after the time that {provider} speaks of.",
    TokenFate.CHANGED: "The push token of {device} was left alone: it was registered again, or removed, meanwhile.",
    TokenFate.BRAKED: "The push token of {device} was kept: too many tokens of the app die at once, which looks like "
    "a mistake in the settings. Run `bellhop check`.",
    TokenFate.MOVED: "{device} belongs to Apple's other environment, where the push got through; it is kept so.",
}
"""What a provider's answer did to a device's registration."""

EVENTS: dict[str, str] = {
    "call.ring": "Stream reports that {caller} calls {users}",
    "call.notification": "Stream asks to tell {users} about the call",
    "call.missed": "Stream reports that {users} missed the call",
    "call.accepted": "Stream reports that {users} answered",
    "call.session_participant_joined": "Stream reports that {users} joined the call",
    "call.rejected": "Stream reports that {users} declined",
    "call.ended": "Stream reports the end of the call",
    "call.deleted": "Stream reports that the call was deleted",
    "call.session_ended": "Stream reports the end of this session of the call",
}
"""Stream's webhooks; any other is named as it is."""
REJECTIONS = {
    "busy": "Stream reports that {users} has another call",
    "timeout": "Stream reports that {users} did not answer in time",
}
CANCELLATION = "Stream reports that the caller, {users}, cancelled the call"

PUSHES: dict[str, str] = {
    PushKind.RING: "ring",
    PushKind.NOTIFICATION: "notification",
    PushKind.MISSED: "missed-call notice",
}
"""What a push is called."""
SENT: dict[str, str] = {
    PushKind.RING: "rung",
    PushKind.NOTIFICATION: "notified",
    PushKind.MISSED: "sent a missed-call notice",
}
"""What is done with it: "was rung"."""
PURPOSES: dict[str, str] = {
    PushKind.RING: "calls",
    PushKind.NOTIFICATION: "notifications",
    PushKind.MISSED: "missed-call notices",
}
PROVIDERS: dict[str, str] = {Provider.APNS: "Apple", Provider.FCM: "Google"}

SILENT = (
    "If a phone stayed silent although {provider} accepted the push, look at the phone: is it switched on and online, "
    "is a Focus or Do Not Disturb on, may the app notify, and does it show the call when a push arrives?"
)
LATE_WEBHOOK = (
    "Stream's webhook took {time} to get here: see in Stream's dashboard whether earlier tries failed, and whether "
    "Bellhop's web process was up."
)
LATE_WORKER = (
    "The ring waited {time} for a worker: see that workers run and keep up (/readyz says whether any is alive)."
)
NOT_TAKEN_UP = "No worker has taken the ring up: see that workers run (/readyz says whether any is alive)."
LEFT_OUT = (
    "The call has more members than Bellhop takes of one webhook: {left_out} of them were left out. Ring them in "
    "smaller groups (members_ids)."
)
STRANGER = "Check the user id: it is the id that Stream knows them by, and capital letters count."
NO_TRAIL = (
    "Check the id: it is the call's type and its id, such as default:1234, exactly as Stream shows them.",
    "With several Stream apps, look in the right one: `--tenant` on the command line, the list above in the console.",
    "Bellhop remembers a call for some days after its last webhook (BELLHOP_TRAIL_DAYS).",
    "If the call is recent, its webhooks never came, or were refused: run `bellhop check`, compare the webhook URL in "
    'Stream\'s dashboard, and look for "webhook_refused" in the log of the web process.',
)


def duration(us: float) -> str:
    """A length of time for people, in the unit that suits it."""
    ms = max(us, 0) / 1000
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


def listed(names: list[str] | tuple[str, ...], more: int = 0) -> str:
    """Names as a person would list them: "a, b and c"; of many the first, and how many more there are."""
    more += max(0, len(names) - MOST_NAMED)
    shown = [*names[:MOST_NAMED], *([f"{more} more"] if more else [])]
    return f"{', '.join(shown[:-1])} and {shown[-1]}" if len(shown) > 1 else "".join(shown)
