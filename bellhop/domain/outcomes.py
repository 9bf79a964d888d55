"""The closed vocabulary of what can become of a push, each word with its sentence and what to do about it. Pure."""

from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import NamedTuple

from bellhop.clock import Seconds


class Action(Enum):
    """What an outcome asks of the code that delivers."""

    DONE = "nothing more to do"
    RETRY_NOW = "repeat at once: nothing reached the provider"
    RETRY_LATER = "repeat after a pause, on another connection"
    PRUNE = "the token is dead: remove it"
    SWITCH_ENVIRONMENT = "try Apple's other environment once"
    OPEN_CIRCUIT = "our credentials: stop asking, tell the operator"
    ALERT = "our mistake: tell the operator, do not repeat"
    SKIP = "no push is wanted"


class Outcome(StrEnum):
    """What became of one push."""

    # What a provider, or the way to it, said to one attempt.
    ACCEPTED = "accepted"
    UNSENT = "unsent"
    UNKNOWN = "unknown"
    UNAVAILABLE = "unavailable"
    THROTTLED = "throttled"
    DELAYED = "delayed"
    TOKEN_DEAD = "token_dead"  # noqa: S105 - a word, not a password
    BAD_TOKEN = "bad_token"  # noqa: S105
    WRONG_APP = "wrong_app"
    CREDENTIALS_REFUSED = "credentials_refused"
    TOO_LARGE = "too_large"
    BAD_REQUEST = "bad_request"
    # Why no attempt was made, or none any more.
    CIRCUIT_OPEN = "circuit_open"
    NO_CREDENTIALS = "no_credentials"
    NO_DEVICES = "no_devices"
    SAME_PHONE = "same_phone"
    MUTED = "muted"
    QUIET_HOURS = "quiet_hours"
    ANSWERED = "answered"
    DECLINED = "declined"
    BUSY = "busy"
    TIMED_OUT = "timed_out"
    MISSED = "missed"
    CANCELLED = "cancelled"
    ENDED = "ended"
    TOO_LATE = "too_late"
    DUPLICATE = "duplicate"
    HELD = "held"
    SIGNED_OUT = "signed_out"
    RUNG_AGAIN = "rung_again"
    GAVE_UP = "gave_up"
    # What became of an e-mail, and why there is none.
    MAIL_WAITING = "mail_waiting"
    MAIL_ACCEPTED = "mail_accepted"
    MAIL_REFUSED = "mail_refused"
    MAIL_DEFERRED = "mail_deferred"
    MAIL_UNKNOWN = "mail_unknown"
    MAIL_UNWRITTEN = "mail_unwritten"
    MAIL_GAVE_UP = "mail_gave_up"
    MAIL_OFF = "mail_off"
    NO_ADDRESS = "no_address"
    PUSH_ACCEPTED = "push_accepted"


class Meaning(NamedTuple):
    """An outcome for people and for the code that delivers."""

    sentence: str
    action: Action


MEANING: dict[Outcome, Meaning] = {
    Outcome.ACCEPTED: Meaning("the provider accepted the push", Action.DONE),
    Outcome.UNSENT: Meaning("the push did not reach the provider", Action.RETRY_NOW),
    Outcome.UNKNOWN: Meaning(
        "the connection died before the provider answered; it may or may not have the push", Action.RETRY_LATER
    ),
    Outcome.UNAVAILABLE: Meaning("the provider had a problem of its own", Action.RETRY_LATER),
    Outcome.THROTTLED: Meaning("the provider asked us to slow down", Action.RETRY_LATER),
    Outcome.DELAYED: Meaning(
        "the way to the provider took so long that the call must be looked at again before the push goes out",
        Action.RETRY_NOW,
    ),
    Outcome.TOKEN_DEAD: Meaning("the app was removed from this device, or its token replaced", Action.PRUNE),
    Outcome.BAD_TOKEN: Meaning(
        "the provider does not know this token (Apple: in this environment)", Action.SWITCH_ENVIRONMENT
    ),
    Outcome.WRONG_APP: Meaning("the token belongs to another app than the one it was registered with", Action.ALERT),
    Outcome.CREDENTIALS_REFUSED: Meaning("the provider refused our credentials", Action.OPEN_CIRCUIT),
    Outcome.TOO_LARGE: Meaning("the payload was over the provider's limit", Action.ALERT),
    Outcome.BAD_REQUEST: Meaning("the provider could not make sense of the push", Action.ALERT),
    Outcome.CIRCUIT_OPEN: Meaning("not tried: the provider keeps failing for this app", Action.RETRY_LATER),
    Outcome.NO_CREDENTIALS: Meaning("not tried: no credentials are configured for this device's app", Action.ALERT),
    Outcome.NO_DEVICES: Meaning("the user has no device that this push could go to", Action.SKIP),
    Outcome.SAME_PHONE: Meaning("another token of the same phone was used", Action.SKIP),
    Outcome.MUTED: Meaning("the user had muted all calls when this one began", Action.SKIP),
    Outcome.QUIET_HOURS: Meaning("the call began in the user's quiet hours", Action.SKIP),
    Outcome.ANSWERED: Meaning("the user had already answered", Action.SKIP),
    Outcome.DECLINED: Meaning("the user had already declined", Action.SKIP),
    Outcome.BUSY: Meaning("the user was busy in another call", Action.SKIP),
    Outcome.TIMED_OUT: Meaning("the user's app had already given up ringing", Action.SKIP),
    Outcome.MISSED: Meaning("the call was already counted as missed", Action.SKIP),
    Outcome.CANCELLED: Meaning("the caller had already hung up", Action.SKIP),
    Outcome.ENDED: Meaning("the call had already ended", Action.SKIP),
    Outcome.TOO_LATE: Meaning("the time to ring was over", Action.SKIP),
    Outcome.DUPLICATE: Meaning("this device had already been sent this push", Action.SKIP),
    Outcome.HELD: Meaning("not tried: another worker is sending it at this moment", Action.RETRY_LATER),
    Outcome.SIGNED_OUT: Meaning("the phone was signed out, or passed on to another user, meanwhile", Action.SKIP),
    Outcome.RUNG_AGAIN: Meaning(
        "the call has rung the user again since, and that round has pushes of its own", Action.SKIP
    ),
    Outcome.GAVE_UP: Meaning("no attempt succeeded in the time there was", Action.ALERT),
    Outcome.MAIL_WAITING: Meaning("an e-mail waits a while for more missed calls of this caller", Action.RETRY_LATER),
    Outcome.MAIL_ACCEPTED: Meaning("the mail server took the e-mail", Action.DONE),
    Outcome.MAIL_REFUSED: Meaning("the mail server refused the e-mail for good", Action.DONE),
    Outcome.MAIL_DEFERRED: Meaning(
        "the mail server was out of reach or asked to try later; that is done for a day", Action.RETRY_LATER
    ),
    Outcome.MAIL_UNKNOWN: Meaning(
        "the connection died before the mail server answered; it may or may not have the e-mail", Action.RETRY_LATER
    ),
    Outcome.MAIL_UNWRITTEN: Meaning(
        "the e-mail could not be written; that is tried again for a day", Action.RETRY_LATER
    ),
    Outcome.MAIL_GAVE_UP: Meaning("no attempt to hand the e-mail over succeeded in a day", Action.ALERT),
    Outcome.MAIL_OFF: Meaning("the user wants no e-mails about missed calls", Action.SKIP),
    Outcome.NO_ADDRESS: Meaning("no usable e-mail address of the user is known", Action.SKIP),
    Outcome.PUSH_ACCEPTED: Meaning("no e-mail is due, since a push notice was accepted", Action.SKIP),
}

NOTHING_LEFT = frozenset({Outcome.CIRCUIT_OPEN, Outcome.DELAYED})
"""What becomes of an attempt that was kept from the wire."""


@dataclass(frozen=True, slots=True)
class AttemptResult:
    """What one attempt came to. Senders return it; they never raise for what a provider does."""

    outcome: Outcome
    status: int = 0
    """The HTTP status; 0 when there was none."""
    reason: str = ""
    """The provider's own word, or ours for what happened on the way to it. Never a token or a payload."""
    provider_id: str = ""
    """The provider's name for the push: apns-id, or FCM's message name."""
    retry_after_s: Seconds | None = None
    """How long the provider asked us to wait, at least."""
    dead_since: int | None = None
    """Unix time in microseconds since when the token is dead, when the provider says so."""
