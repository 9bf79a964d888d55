"""Every outcome of a push or an e-mail in one table: what Bellhop does about it, its sentence and its advice. Pure."""

from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import NamedTuple

from bellhop.clock import Micros, Seconds


class Action(Enum):
    """What Bellhop does after an outcome."""

    DONE = "nothing more"
    RETRY_NOW = "tries again at once, since nothing reached the provider"
    RETRY_LATER = "tries again after a pause"
    PRUNE = "removes the token, unless it was registered again or too many tokens die at once"
    SWITCH_ENVIRONMENT = "Apple: tries the other environment, once"
    OPEN_CIRCUIT = "tries again; after three in a row, sends this app one push a second or less until one is accepted"
    CONFIRM = "tries again twice, since a single such answer may be the provider's mistake"
    ALERT = "does not try again"
    SKIP = "sends nothing"


class Outcome(StrEnum):
    """The result of one push or e-mail, or of one attempt to send it."""

    # Of one attempt.
    ACCEPTED = "accepted"
    UNSENT = "unsent"
    UNKNOWN = "unknown"
    WORKER_DIED = "worker_died"
    UNAVAILABLE = "unavailable"
    THROTTLED = "throttled"
    DELAYED = "delayed"
    TOKEN_DEAD = "token_dead"  # noqa: S105 - a word, not a password
    BAD_TOKEN = "bad_token"  # noqa: S105
    WRONG_APP = "wrong_app"
    NO_APNS_KEY = "no_apns_key"
    CREDENTIALS_REFUSED = "credentials_refused"
    TOO_LARGE = "too_large"
    BAD_REQUEST = "bad_request"
    # Why no attempt was made, or why no more attempts were made.
    CIRCUIT_OPEN = "circuit_open"
    NO_CREDENTIALS = "no_credentials"
    NO_DEVICES = "no_devices"
    DISABLED = "disabled"
    SAME_PHONE = "same_phone"
    MUTED = "muted"
    QUIET_HOURS = "quiet_hours"
    CALLER_BLOCKED = "caller_blocked"
    DEACTIVATED = "deactivated"
    ANSWERED = "answered"
    DECLINED = "declined"
    BUSY = "busy"
    TIMED_OUT = "timed_out"
    MISSED = "missed"
    CANCELLED = "cancelled"
    ENDED = "ended"
    NO_ANSWER = "no_answer"
    REMOVED = "removed"
    TOO_LATE = "too_late"
    DUPLICATE = "duplicate"
    HELD = "held"
    REDIS_AWAY = "redis_away"
    SIGNED_OUT = "signed_out"
    RUNG_AGAIN = "rung_again"
    STILL_RINGS = "still_rings"
    REPORTED = "reported"
    CALLER_LIMIT = "caller_limit"
    CALL_LIMIT = "call_limit"
    OPEN_LIMIT = "open_limit"
    CALLEE_LIMIT = "callee_limit"
    TOO_MANY_MEMBERS = "too_many_members"
    GAVE_UP = "gave_up"
    # Of an e-mail, or why there is none.
    MAIL_WAITING = "mail_waiting"
    MAIL_ACCEPTED = "mail_accepted"
    MAIL_REFUSED = "mail_refused"
    MAIL_DEFERRED = "mail_deferred"
    MAIL_UNKNOWN = "mail_unknown"
    MAIL_UNWRITTEN = "mail_unwritten"
    MAIL_GAVE_UP = "mail_gave_up"
    MAIL_OFF = "mail_off"
    NO_ADDRESS = "no_address"
    STREAM_ADDRESS = "stream_address"
    UNSUBSCRIBED = "unsubscribed"
    MAIL_ADDRESS_LIMIT = "mail_address_limit"
    MAIL_CALLER_LIMIT = "mail_caller_limit"
    PUSH_ACCEPTED = "push_accepted"


class OutcomeKind(Enum):
    """What an outcome is about."""

    ATTEMPT = "attempt"
    """One attempt to send a push: the provider's answer, or why there was none."""
    NO_ATTEMPT = "no attempt"
    """Why no attempt was made, or why no more attempts were made."""
    EMAIL = "e-mail"


class Tone(StrEnum):
    """How good an outcome is for the users of a call."""

    GOOD = "good"
    """The push went out, or the call was answered."""
    QUIET = "quiet"
    """No push, for a good reason."""
    OPEN = "open"
    """Not over yet."""
    BAD = "bad"
    """There should have been a push."""


class Meaning(NamedTuple):
    """What an outcome means, and what Bellhop does about it."""

    kind: OutcomeKind
    action: Action
    tone: Tone
    sentence: str
    """A clause that follows "was not rung: ". `bellhop.explain.timeline` fills in its {braces}."""
    advice: str = ""
    """What to do about it, if there is something to do."""

    @property
    def retry(self) -> bool:
        """Whether Bellhop tries again."""
        return self.action in (Action.RETRY_NOW, Action.RETRY_LATER, Action.OPEN_CIRCUIT)

    @property
    def prune(self) -> bool:
        """Whether the token is dead."""
        return self.action is Action.PRUNE


OUR_MISTAKE = "Please report this to Bellhop's developers, with the answer in the timeline."

MEANING: dict[Outcome, Meaning] = {
    Outcome.ACCEPTED: Meaning(
        OutcomeKind.ATTEMPT,
        Action.DONE,
        Tone.GOOD,
        "{provider} accepted the push",
    ),
    Outcome.UNSENT: Meaning(
        OutcomeKind.ATTEMPT,
        Action.RETRY_NOW,
        Tone.BAD,
        "the push did not reach {provider}",
        "Check that this machine can reach {provider}: run `bellhop check`.",
    ),
    Outcome.UNKNOWN: Meaning(
        OutcomeKind.ATTEMPT,
        Action.RETRY_LATER,
        Tone.BAD,
        "the connection to {provider} broke before an answer came, so the push may or may not have arrived",
        "If this happens often, check the network between this machine and {provider}: run `bellhop check`.",
    ),
    Outcome.WORKER_DIED: Meaning(
        OutcomeKind.ATTEMPT,
        Action.RETRY_LATER,
        Tone.BAD,
        "the worker died, or stood still, before it recorded {provider}'s answer, so the push may or may not have "
        "arrived",
        'If this happens often, find out why workers end: look for "worker_died" in the logs, and check that the '
        "machine has enough memory.",
    ),
    Outcome.UNAVAILABLE: Meaning(
        OutcomeKind.ATTEMPT,
        Action.RETRY_LATER,
        Tone.BAD,
        "{provider} had an internal problem",
        "Check {provider}'s status page for the time of the call.",
    ),
    Outcome.THROTTLED: Meaning(
        OutcomeKind.ATTEMPT,
        Action.RETRY_LATER,
        Tone.BAD,
        "{provider} asked Bellhop to slow down",
        "Find out why there are so many pushes: {provider} limits how many one phone, or one app, can get.",
    ),
    Outcome.DELAYED: Meaning(
        OutcomeKind.ATTEMPT,
        Action.RETRY_NOW,
        Tone.OPEN,
        "the connection to {provider} took long, so Bellhop checked the call again",
        "If this happens often, check how busy this machine is, and the network between it and {provider}: run "
        "`bellhop check`.",
    ),
    Outcome.TOKEN_DEAD: Meaning(
        OutcomeKind.ATTEMPT,
        Action.PRUNE,
        Tone.BAD,
        "{provider} says that the app was removed from this phone, or that its push token was replaced",
        "Ask {user} to open the app once, so that it registers its current token.",
    ),
    Outcome.BAD_TOKEN: Meaning(
        OutcomeKind.ATTEMPT,
        Action.SWITCH_ENVIRONMENT,
        Tone.BAD,
        "{provider} does not know this phone's push token",
        "Ask {user} to open the app once, so that it registers its current token. If that does not help, check "
        "that the app registers the token for the right app and environment.",
    ),
    Outcome.WRONG_APP: Meaning(
        OutcomeKind.ATTEMPT,
        Action.ALERT,
        Tone.BAD,
        "{provider} says that this phone's push token belongs to another app than {app}",
        "Check which app the phone registers its token with: the token was not made for {app}.",
    ),
    Outcome.NO_APNS_KEY: Meaning(
        OutcomeKind.ATTEMPT,
        Action.ALERT,
        Tone.BAD,
        "{provider} could not pass the push on: for {app}, Firebase has no valid APNs key for iPhones, or no Web Push "
        "key for browsers",
        "In the Firebase console, under Project settings, Cloud Messaging, upload an APNs key of your Apple team. "
        "Until then, {provider} delivers nothing to iPhones for {app}.",
    ),
    Outcome.CREDENTIALS_REFUSED: Meaning(
        OutcomeKind.ATTEMPT,
        Action.OPEN_CIRCUIT,
        Tone.BAD,
        "{provider} refused the credentials for {app}",
        "Run `bellhop check`: it says what is wrong with the credentials for {app}. Until this is corrected, no "
        "phone with this app rings.",
    ),
    Outcome.TOO_LARGE: Meaning(
        OutcomeKind.ATTEMPT,
        Action.CONFIRM,
        Tone.BAD,
        "the push was larger than {provider} allows",
        OUR_MISTAKE,
    ),
    Outcome.BAD_REQUEST: Meaning(
        OutcomeKind.ATTEMPT,
        Action.CONFIRM,
        Tone.BAD,
        "{provider} could not understand the push",
        OUR_MISTAKE,
    ),
    Outcome.CIRCUIT_OPEN: Meaning(
        OutcomeKind.NO_ATTEMPT,
        Action.RETRY_LATER,
        Tone.BAD,
        "{provider} failed repeatedly for {app}, so the push waited",
        "Run `bellhop check`, and check {provider}'s status page for the time of the call.",
    ),
    Outcome.NO_CREDENTIALS: Meaning(
        OutcomeKind.NO_ATTEMPT,
        Action.ALERT,
        Tone.BAD,
        "Bellhop has no credentials for {app}",
        "Add the credentials for {app} to Bellhop's settings, or let the phone register with an app that has "
        "credentials.",
    ),
    Outcome.NO_DEVICES: Meaning(
        OutcomeKind.NO_ATTEMPT,
        Action.SKIP,
        Tone.BAD,
        "no phone is registered for {purpose}",
        "List the phones that Bellhop knows: `bellhop devices list {user}`. Ask {user} to open the app and sign "
        "in, so that the phone registers. An iPhone has one token for calls and another for everything else.",
    ),
    Outcome.DISABLED: Meaning(
        OutcomeKind.NO_ATTEMPT,
        Action.SKIP,
        Tone.QUIET,
        "the phone was disabled by an operator{disabled}",
        "Enable it on {user}'s page in the console, or by `bellhop devices enable`, if the phone should ring again.",
    ),
    Outcome.SAME_PHONE: Meaning(
        OutcomeKind.NO_ATTEMPT,
        Action.SKIP,
        Tone.QUIET,
        "Bellhop used another token of the same phone",
    ),
    Outcome.MUTED: Meaning(
        OutcomeKind.NO_ATTEMPT,
        Action.SKIP,
        Tone.QUIET,
        "{who} had muted all calls{until}",
    ),
    Outcome.QUIET_HOURS: Meaning(
        OutcomeKind.NO_ATTEMPT,
        Action.SKIP,
        Tone.QUIET,
        "the call began in {whose} quiet hours{hours}",
    ),
    Outcome.CALLER_BLOCKED: Meaning(
        OutcomeKind.NO_ATTEMPT,
        Action.SKIP,
        Tone.QUIET,
        "{who} had blocked the caller",
    ),
    Outcome.DEACTIVATED: Meaning(
        OutcomeKind.NO_ATTEMPT,
        Action.SKIP,
        Tone.QUIET,
        "{who} was deactivated at Stream",
    ),
    Outcome.ANSWERED: Meaning(
        OutcomeKind.NO_ATTEMPT,
        Action.SKIP,
        Tone.QUIET,
        "{who} had already answered{since}",
    ),
    Outcome.DECLINED: Meaning(
        OutcomeKind.NO_ATTEMPT,
        Action.SKIP,
        Tone.QUIET,
        "{who} had already declined{since}",
    ),
    Outcome.BUSY: Meaning(
        OutcomeKind.NO_ATTEMPT,
        Action.SKIP,
        Tone.QUIET,
        "{who} had another call",
    ),
    Outcome.TIMED_OUT: Meaning(
        OutcomeKind.NO_ATTEMPT,
        Action.SKIP,
        Tone.QUIET,
        "{whose} app had stopped ringing{since}",
    ),
    Outcome.MISSED: Meaning(
        OutcomeKind.NO_ATTEMPT,
        Action.SKIP,
        Tone.QUIET,
        "Stream had already reported the call as missed{when}",
    ),
    Outcome.CANCELLED: Meaning(
        OutcomeKind.NO_ATTEMPT,
        Action.SKIP,
        Tone.QUIET,
        "the call was cancelled{when}",
    ),
    Outcome.ENDED: Meaning(
        OutcomeKind.NO_ATTEMPT,
        Action.SKIP,
        Tone.QUIET,
        "the call had ended{when}",
    ),
    Outcome.NO_ANSWER: Meaning(
        OutcomeKind.NO_ATTEMPT,
        Action.SKIP,
        Tone.QUIET,
        "nobody had answered in time, and the caller's app had given up{when}",
    ),
    Outcome.REMOVED: Meaning(
        OutcomeKind.NO_ATTEMPT,
        Action.SKIP,
        Tone.QUIET,
        "{who} had been removed from the call{when}",
    ),
    Outcome.TOO_LATE: Meaning(
        OutcomeKind.NO_ATTEMPT,
        Action.SKIP,
        Tone.BAD,
        "there was no time left to ring",
        "Find the step in the timeline that took the time: the way of Stream's webhook, or the wait for a worker. "
        "In the second case, check that enough workers run.",
    ),
    Outcome.DUPLICATE: Meaning(
        OutcomeKind.NO_ATTEMPT,
        Action.SKIP,
        Tone.QUIET,
        "Bellhop had already sent it this {push}",
    ),
    Outcome.HELD: Meaning(
        OutcomeKind.NO_ATTEMPT,
        Action.RETRY_LATER,
        Tone.OPEN,
        "another worker was sending the {push} at that moment",
    ),
    Outcome.REDIS_AWAY: Meaning(
        OutcomeKind.NO_ATTEMPT,
        Action.RETRY_LATER,
        Tone.OPEN,
        "a server of Redis did not answer",
        "Redis did not answer at the time of the call, so a phone rang late: find out why. On a Redis Cluster, a "
        "replica replaces a dead master some seconds later (docs/redis.md).",
    ),
    Outcome.SIGNED_OUT: Meaning(
        OutcomeKind.NO_ATTEMPT,
        Action.SKIP,
        Tone.QUIET,
        "the phone was signed out, or given to another user, in the meantime",
    ),
    Outcome.RUNG_AGAIN: Meaning(
        OutcomeKind.NO_ATTEMPT,
        Action.SKIP,
        Tone.QUIET,
        "the call has rung again since, and the new ring has its own pushes",
    ),
    Outcome.STILL_RINGS: Meaning(
        OutcomeKind.NO_ATTEMPT,
        Action.RETRY_LATER,
        Tone.OPEN,
        "the phone may still ring, and the {push} would end that; it is sent when the time to ring is over",
    ),
    Outcome.REPORTED: Meaning(
        OutcomeKind.NO_ATTEMPT,
        Action.SKIP,
        Tone.QUIET,
        "the phone has reported that the ring arrived",
    ),
    Outcome.CALLER_LIMIT: Meaning(
        OutcomeKind.NO_ATTEMPT,
        Action.SKIP,
        Tone.BAD,
        "the caller had called too many people in that minute",
        "If the caller may call so many people, as a service that makes all calls may, raise BELLHOP_RINGS_PER_CALLER "
        "(docs/security.md).",
    ),
    Outcome.CALL_LIMIT: Meaning(
        OutcomeKind.NO_ATTEMPT,
        Action.SKIP,
        Tone.BAD,
        "the call had rung too many people in that minute",
        "If a call of your app may ring so many people, raise BELLHOP_RINGS_PER_CALL (docs/security.md).",
    ),
    Outcome.OPEN_LIMIT: Meaning(
        OutcomeKind.NO_ATTEMPT,
        Action.SKIP,
        Tone.BAD,
        "too many rings of the call were going on",
        "If a call of your app may ring so often at the same time, raise BELLHOP_OPEN_ROUNDS_PER_CALL "
        "(docs/security.md).",
    ),
    Outcome.CALLEE_LIMIT: Meaning(
        OutcomeKind.NO_ATTEMPT,
        Action.SKIP,
        Tone.BAD,
        "{who} had been called too often in that minute",
        "If {user} may be called so often, raise BELLHOP_RINGS_PER_CALLEE (docs/security.md).",
    ),
    Outcome.TOO_MANY_MEMBERS: Meaning(
        OutcomeKind.NO_ATTEMPT,
        Action.SKIP,
        Tone.BAD,
        "the webhook had more members than Bellhop rings",
        "Ring them in smaller groups (members_ids), or raise BELLHOP_RING_MEMBERS (docs/security.md).",
    ),
    Outcome.GAVE_UP: Meaning(
        OutcomeKind.NO_ATTEMPT,
        Action.ALERT,
        Tone.BAD,
        "no attempt succeeded in the available time",
    ),
    Outcome.MAIL_WAITING: Meaning(
        OutcomeKind.EMAIL,
        Action.RETRY_LATER,
        Tone.OPEN,
        "it waits for more missed calls from the same caller",
    ),
    Outcome.MAIL_ACCEPTED: Meaning(
        OutcomeKind.EMAIL,
        Action.DONE,
        Tone.GOOD,
        "the mail server accepted the e-mail",
    ),
    Outcome.MAIL_REFUSED: Meaning(
        OutcomeKind.EMAIL,
        Action.DONE,
        Tone.BAD,
        "the mail server refused the e-mail",
        "Check {user}'s e-mail address, and what the mail server says about Bellhop's sender address.",
    ),
    Outcome.MAIL_DEFERRED: Meaning(
        OutcomeKind.EMAIL,
        Action.RETRY_LATER,
        Tone.OPEN,
        "the mail server was unreachable, or asked Bellhop to try again later",
    ),
    Outcome.MAIL_UNKNOWN: Meaning(
        OutcomeKind.EMAIL,
        Action.RETRY_LATER,
        Tone.BAD,
        "the mail server gave no clear answer, so the e-mail may or may not have been sent",
    ),
    Outcome.MAIL_UNWRITTEN: Meaning(
        OutcomeKind.EMAIL,
        Action.RETRY_LATER,
        Tone.BAD,
        "the e-mail could not be written",
        'Look for "mail_not_written" in the log of the worker: most likely one of your own templates fails. '
        "Correct the template and restart the worker. Bellhop tries again for a day.",
    ),
    Outcome.MAIL_GAVE_UP: Meaning(
        OutcomeKind.EMAIL,
        Action.ALERT,
        Tone.BAD,
        "the mail server did not accept the e-mail within a day, or three times gave no clear answer",
        "Check that this machine can reach the mail server: run `bellhop check`.",
    ),
    Outcome.MAIL_OFF: Meaning(
        OutcomeKind.EMAIL,
        Action.SKIP,
        Tone.QUIET,
        "{who} turned off e-mails about missed calls",
    ),
    Outcome.NO_ADDRESS: Meaning(
        OutcomeKind.EMAIL,
        Action.SKIP,
        Tone.QUIET,
        "no usable e-mail address is known",
    ),
    Outcome.STREAM_ADDRESS: Meaning(
        OutcomeKind.EMAIL,
        Action.SKIP,
        Tone.QUIET,
        "the only known address is in Stream's custom data, and the settings do not allow using it",
        "Register {whose} address by `PUT /v1/users/<id>/contact`, or set BELLHOP_MAIL_STREAM_ADDRESSES=true if only "
        "your backend can change users' custom data.",
    ),
    Outcome.UNSUBSCRIBED: Meaning(
        OutcomeKind.EMAIL,
        Action.SKIP,
        Tone.QUIET,
        "the address was unsubscribed by the link in an e-mail",
    ),
    Outcome.MAIL_ADDRESS_LIMIT: Meaning(
        OutcomeKind.EMAIL,
        Action.SKIP,
        Tone.BAD,
        "the address had already got the most e-mails that are allowed in an hour",
        "If many users share this address on purpose, raise BELLHOP_MAIL_PER_ADDRESS_HOUR. If not, find out who gave "
        "them this address.",
    ),
    Outcome.MAIL_CALLER_LIMIT: Meaning(
        OutcomeKind.EMAIL,
        Action.SKIP,
        Tone.BAD,
        "calls of this caller had already led to the most e-mails that are allowed in an hour",
        "If this caller may call so many people, raise BELLHOP_MAIL_PER_CALLER_HOUR. If not, ban the caller at Stream.",
    ),
    Outcome.PUSH_ACCEPTED: Meaning(
        OutcomeKind.EMAIL,
        Action.SKIP,
        Tone.QUIET,
        "{who} got a missed-call notice on the phone",
    ),
}
"""Every outcome with its meaning."""

NOT_KNOWN = frozenset({Outcome.UNKNOWN, Outcome.WORKER_DIED})
"""The outcomes of an attempt that may or may not have reached the phone."""

NOTHING_LEFT = frozenset({Outcome.CIRCUIT_OPEN, Outcome.DELAYED})
"""The outcomes of an attempt that sent nothing."""

CALLS_NOBODY = frozenset({Outcome.CALLER_LIMIT, Outcome.CALL_LIMIT, Outcome.OPEN_LIMIT})
"""The outcomes of a whole call.ring or call.notification that a bound turned away."""


@dataclass(frozen=True, slots=True)
class AttemptResult:
    """The result of one attempt. Senders return it; they do not raise when a provider fails."""

    outcome: Outcome
    status: int = 0
    """The HTTP status; 0 when there was none."""
    reason: str = ""
    """The reason that the provider gave, or ours if it did not answer. It never contains a token or a payload."""
    provider_id: str = ""
    """The provider's name for the push: apns-id, or FCM's message name."""
    retry_after_s: Seconds | None = None
    """The shortest wait that the provider asks for in its answer."""
    documented_wait_s: Seconds | None = None
    """How long to wait by the provider's documentation. `worker.delivery.quick_repeats` says when a ring waits less."""
    dead_since: Micros | None = None
    """The time (unix µs) from which the provider counts the token as dead; None if the provider gives none."""
    fault: object = field(default=None, compare=False, repr=False)
    """What broke: the same object for all pushes that failed because one connection broke or could not be opened."""


def waits_for_credentials(outcome: str, reason: str) -> bool:
    """Whether a push waits because the provider refused the credentials: only then an open circuit has a reason."""
    return outcome == Outcome.CIRCUIT_OPEN and bool(reason)


def credentials_are_refused(outcome: str, reason: str) -> bool:
    """Whether the provider refused our credentials: for this push, or before, so that it waits."""
    return outcome == Outcome.CREDENTIALS_REFUSED or waits_for_credentials(outcome, reason)


OF_ONE_ENVIRONMENT = frozenset({"BadEnvironmentKeyIdInToken", "BadCertificateEnvironment"})
"""Apple's reasons for refusing credentials of the other environment. They are about some phones only, and any user can
register a phone of the wrong environment."""
NOT_TRUSTED = "the server's certificate is not trusted: check the CA file"
NO_CONNECTION = "no connection: check the URL, the firewall (Apple: TCP 443 or 2197) and the proxy"
ADVICE_BY_REASON = {
    "InvalidProviderToken": "Apple does not know this key: check the key id and the team id, and that the key is not "
    "revoked",
    "ExpiredProviderToken": "Apple says that the token is too old: set this machine's clock (NTP)",
    "TopicDisallowed": "these credentials may not push to this bundle id: check the topic, and the certificate's app",
    "BadCertificateEnvironment": "the certificate is for Apple's other environment",
    "BadEnvironmentKeyIdInToken": "the key is limited to Apple's other environment: create a key for both",
    "UnrelatedKeyIdInToken": "the key is limited to other bundle ids: create a key for this app",
    "SERVICE_DISABLED": "the FCM API is switched off for this project: enable it in the Google Cloud console",
    "TOKEN_REFUSED": "Google refuses the service account's key: the key was deleted, or this machine's clock is wrong",
    "TOKEN_ENDPOINT": "the service account's token_uri cannot be reached: check the network and the CA file",
    "KEY_MISMATCH": "the browser subscribed with another public key: it must subscribe again, with the key that GET "
    "/v1/web-push/key returns",
    "BadJwtToken": "Apple refuses our token: check the web app's subject, and this machine's clock (NTP)",
    "UNKNOWN_PUSH_SERVICE": "add the host of its endpoint to BELLHOP_WEB_PUSH_HOSTS",
    "ADDRESS_NOT_PUBLIC": "the name of the push service leads to a private address: check the DNS, or set "
    "BELLHOP_WEB_PUSH_ALLOWED_NETWORKS",
    "SSLCertVerificationError": NOT_TRUSTED,
    "CERTIFICATE": NOT_TRUSTED,
    "gaierror": "unknown host name: check the URL and the DNS",
    "cannot connect": NO_CONNECTION,
    "CONNECT": NO_CONNECTION,
}
"""What to do, by a word in the reason of an attempt. The first word that is found decides."""


def advice_on(result: AttemptResult) -> str:
    """Say what to do about a failed attempt; "" if the reason is not in the table."""
    return next((advice for word, advice in ADVICE_BY_REASON.items() if word in result.reason), "")
