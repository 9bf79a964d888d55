"""The audit trail of a call: one frozen struct for each milestone, and its form as a line of text. Pure.

The Lua scripts append a line in the same step as the change that it describes, so that no event costs a round trip for
its trail. A line never holds a token, an address or the text of a payload. Redis keeps lines for days, so their form is
fixed: a change needs a new VERSION. `bellhop.explain` turns milestones into sentences.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from operator import attrgetter
from typing import Annotated, Any, ClassVar, NamedTuple, TypeVar, get_type_hints

import msgspec

from bellhop.clock import Micros
from bellhop.domain.json_text import encoded
from bellhop.domain.outcomes import CALLS_NOBODY

DAY_S = 24 * 3600
"""How long Redis keeps a trail without an expiry: the shortest time that the settings allow. A webhook sets the real
one."""

SESSION_DIGITS = 8
"""How much of a session's id the trail keeps: enough to distinguish the sessions of one call. Webhooks and Stream's
answers keep the same part, since the explanation of a call compares them."""

LENGTH = 10_000
"""Lines kept for one call; the oldest are removed. A ring of a thousand users without an answer needs half of them."""

LINE_BYTES = 8_192
"""The longest line, in bytes. A ring of a hundred users with UUIDs for ids needs half of it."""

TEXT = 100
"""Characters kept of a text, except a user's id."""

NAMES, NAME = 13, 40
"""How many names a line has at most, and how many characters of each."""

VERSION = 2

GREATEST = 2**53
"""No number on a trail is greater: Lua counts in doubles."""

_BOUNDS = msgspec.Meta(ge=-GREATEST, le=GREATEST)
Number = Annotated[int, _BOUNDS]
Moment = Annotated[Micros, _BOUNDS]
Length = Annotated[float, _BOUNDS] | Number
"""The numbers of a line. msgspec refuses a line with a number that is too great."""


class TokenFate(StrEnum):
    """What Bellhop did with a device's registration after a provider's answer."""

    REMOVED = "removed"
    NEWER = "newer"
    """The token was registered after the time that the provider's answer is about."""
    CHANGED = "changed"
    """The device was registered again, or removed, in the meantime."""
    BRAKED = "braked"
    """Too many tokens of the app die at once: none is removed."""
    MOVED = "moved"
    """The token belongs to Apple's other environment, and is now registered for that one."""


class QuestionOutcome(StrEnum):
    """How a question to Stream about a ring ended."""

    ANSWERED = "answered"
    UNKNOWN_CALL = "unknown_call"
    """Stream does not know the call."""
    NO_ANSWER = "no_answer"
    """Stream is down, slow or fails."""
    REFUSED = "refused"
    """Stream gets too many requests, or does not accept the secret."""
    OVER_BUDGET = "over_budget"
    """No request was sent: the budget is spent."""
    SHARED = "shared"
    """Another process asked about the same ring in this second."""


class CarryOutcome(StrEnum):
    """The result of telling Stream that a user rejected a ring on a phone."""

    TOLD = "told"
    OVER = "over"
    """Nothing was sent: the ring was over for another reason, such as an answer on another device."""
    REFUSED = "refused"
    """Stream does not take it."""
    TOO_LATE = "too_late"
    """Stream did not answer before the ring's end."""
    AGAIN = "again"
    """It is sent a second time: a worker died before it recorded the first time, and may have sent it."""


SHORT = {
    "round": "r",
    "kind": "k",
    "user": "u",
    "device": "d",
    "label": "l",
    "provider": "p",
    "app": "b",
    "environment": "e",
    "outcome": "o",
    "status": "s",
    "reason": "y",
    "id": "i",
    "ms": "m",
    "type": "t",
    "stamp": "c",
    "users": "n",
    "more": "x",
    "left_out": "h",
    "attempt": "a",
    "session": "z",
    "callers": "f",
    "until": "g",
    "job": "j",
    "worker": "w",
    "detail": "v",
    "learned": "q",
    "redis_ahead_us": "A",
    "times": "N",
    "names": "B",
}
"""Fields and the letters that stand for them in Redis, where seven days of lines are kept."""


class Milestone(msgspec.Struct, frozen=True, kw_only=True, gc=False, rename=SHORT):
    """What one line of a trail says. Its fields are empty (None, "" or ()) where the line does not have them."""

    what: ClassVar[str] = ""
    """The milestone's word in Redis and in the JSON."""
    letters: ClassVar[str] = ""
    """The fields that a line has, by their letters, in the order in which they are written."""
    at: Moment
    """When it happened, by Redis's clock (unix µs). Older versions wrote the time of other clocks."""


M = TypeVar("M", bound=Milestone)


class WebhookMilestone(Milestone, frozen=True, kw_only=True, gc=False):
    """What the milestones of a webhook have in common."""

    type: str
    stamp: Moment | None = None
    """Stream's time of the event (unix µs)."""
    attempt: Number | None = None
    """Stream's number of this delivery of the webhook; of several repeats, the number of the first."""
    session: str = ""
    """The first characters of the session's id."""
    redis_ahead_us: Number | None = None
    """How far Redis's clock was ahead of Stream's (µs), as far as it was known; None for 0."""


class WebhookReceived(WebhookMilestone, frozen=True, kw_only=True, gc=False):
    """A webhook was verified, applied and, if there is something to do, queued."""

    what: ClassVar = "received"
    letters: ClassVar = "tcanhzrfgyxAoB"
    users: tuple[str, ...] = ()
    """The users that the event is about."""
    more: Number | None = None
    """The number of users who did not fit on the line."""
    left_out: Number | None = None
    """How many members Bellhop ignored."""
    round: Moment | None = None
    """The stamp of the round that the event begins (unix µs)."""
    callers: tuple[str, ...] = ()
    """The user who calls, then the others whose rejection ends the ring."""
    until: Moment | None = None
    """When the phones stop ringing (unix µs)."""
    reason: str = ""
    """The reason of a rejection: one of Stream's, or "other" (`bellhop.domain.rejections`); empty for decline."""
    outcome: str = ""
    """Why nobody was called, or not all members; empty if no bound was reached."""
    names: tuple[str, ...] = ()
    """The names of the caller and of the first users, in the order of `users`; "" for a name that Stream did not give.
    Only of an event that begins a round."""

    @property
    def calls_nobody(self) -> bool:
        """Whether a bound turned the whole event away."""
        return self.outcome in CALLS_NOBODY


class WebhookRepeated(WebhookMilestone, frozen=True, kw_only=True, gc=False):
    """The same webhook came again. Later repeats change only the number on this line (lua/lib/repeats.lua)."""

    what: ClassVar = "repeated"
    letters: ClassVar = "tczaAN"
    times: Number | None = None
    """How often the webhook came again, if more than once."""


class WebhookOutdated(WebhookMilestone, frozen=True, kw_only=True, gc=False):
    """A webhook was dropped because its event is too old."""

    what: ClassVar = "outdated"
    letters: ClassVar = "tc"


class WebhookPutOff(WebhookMilestone, frozen=True, kw_only=True, gc=False):
    """A webhook was answered 503, since too many jobs of its Stream app waited: Stream sends it again."""

    what: ClassVar = "put_off"
    letters: ClassVar = "tcaz"


class JobWaits(Milestone, frozen=True, kw_only=True, gc=False):
    """A job waits for the turn of its Stream app, behind other jobs of the app."""

    what: ClassVar = "waits"
    letters: ClassVar = "rt"
    round: Moment
    type: str
    """The type of the event that queued it."""


class JobPickedUp(Milestone, frozen=True, kw_only=True, gc=False):
    """A worker began with a job."""

    what: ClassVar = "picked_up"
    letters: ClassVar = "rjw"
    round: Moment
    job: str
    """The kind of push that the job sends."""
    worker: str = ""


class PushMilestone(Milestone, frozen=True, kw_only=True, gc=False):
    """What the milestones of a push, or of the decision to send none, have in common."""

    letters: ClassVar = "kudlosyimrpeb"
    round: Moment
    kind: str
    user: str
    outcome: str
    device: str = ""
    """The device's key; empty for a push that goes to no device."""
    label: str = ""
    provider: str = ""
    environment: str = ""
    app: str = ""
    status: Number | None = None
    """The provider's status."""
    reason: str = ""
    """The provider's own word."""
    id: str = ""
    """The provider's name for the push."""
    ms: Length | None = None
    """How long an attempt took."""


class PushSkipped(PushMilestone, frozen=True, kw_only=True, gc=False):
    """A user or a device gets no push. `reason` has the facts: the number of the user's devices, or their hours."""

    what: ClassVar = "skipped"
    letters: ClassVar = "rkuodly"


class PushWaited(PushMilestone, frozen=True, kw_only=True, gc=False):
    """A push cannot go out yet: the provider fails repeatedly, or the connection takes long. Once for each push."""

    what: ClassVar = "waited"


class PushAttempted(PushMilestone, frozen=True, kw_only=True, gc=False):
    """One attempt ended."""

    what: ClassVar = "attempted"


class PushFinished(PushMilestone, frozen=True, kw_only=True, gc=False):
    """A push ended without an answer from the provider, or without a final answer."""

    what: ClassVar = "finished"


class DeviceMilestone(Milestone, frozen=True, kw_only=True, gc=False):
    """The fields of all milestones about the device of one push."""

    letters: ClassVar = "rkudlpv"
    round: Moment
    kind: str
    user: str
    device: str
    label: str
    provider: str
    detail: str


class TokenChecked(DeviceMilestone, frozen=True, kw_only=True, gc=False):
    """A provider's answer was about a device's token; `detail` is the TokenFate."""

    what: ClassVar = "token"


class PushReduced(DeviceMilestone, frozen=True, kw_only=True, gc=False):
    """A push was sent without a part of what the team wants in it; `detail` names the fields and keys."""

    what: ClassVar = "reduced"


class SecondRingDue(DeviceMilestone, frozen=True, kw_only=True, gc=False):
    """A phone was rung and did not report it, so it is rung again; `detail` is how many seconds Bellhop waited."""

    what: ClassVar = "second_ring"


class UserSettled(Milestone, frozen=True, kw_only=True, gc=False):
    """A recipient's final standing in a round was recorded, as `outcome`."""

    what: ClassVar = "settled"
    letters: ClassVar = "uor"
    round: Moment
    user: str
    outcome: str


class PhoneRang(Milestone, frozen=True, kw_only=True, gc=False):
    """A phone sent its receipt; `detail` is the time of its own clock (unix ms)."""

    what: ClassVar = "rang"
    letters: ClassVar = "rdpv"
    round: Moment
    device: str
    provider: str = ""
    detail: str = ""


class PhoneReported(Milestone, frozen=True, kw_only=True, gc=False):
    """A phone reported an event other than "rang"; `outcome` is the PhoneEvent."""

    what: ClassVar = "reported"
    letters: ClassVar = "ruocdpyv"
    round: Moment
    user: str = ""
    """Who rejected the ring; empty for any other report, and for a rejection that ended nothing."""
    outcome: str
    stamp: Moment | None = None
    """Stream's time of a rejection that ended the ring for the user (unix µs); None for any other report."""
    device: str
    provider: str = ""
    reason: str = ""
    """Why the phone did not show the call: a word that its app sends."""
    detail: str = ""
    """The time by the phone's clock (unix ms)."""


class RejectionCarried(Milestone, frozen=True, kw_only=True, gc=False):
    """The result of telling Stream that a user rejected a ring on a phone; `outcome` is a CarryOutcome."""

    what: ClassVar = "carried"
    letters: ClassVar = "ruosyNm"
    round: Moment
    user: str
    outcome: str
    status: Number | None = None
    """Stream's status, if it refuses."""
    reason: str = ""
    """Why Stream was not told: its answer, or the user's standing in the ring."""
    times: Number | None = None
    """How often it was sent, if more than once."""
    ms: Length | None = None
    """How long Stream's answer took."""


class EmailMilestone(Milestone, frozen=True, kw_only=True, gc=False):
    """Something happened to a missed-call e-mail."""

    what: ClassVar = "mailed"
    letters: ClassVar = "ruosyim"
    round: Moment
    user: str
    outcome: str
    status: Number | None = None
    """The mail server's status."""
    reason: str = ""
    """The mail server's own words."""
    id: str = ""
    ms: Length | None = None


class StreamAsked(Milestone, frozen=True, kw_only=True, gc=False):
    """Bellhop asked Stream for the state of a ring, or could not; `outcome` is a QuestionOutcome."""

    what: ClassVar = "asked"
    letters: ClassVar = "rkoymqx"
    round: Moment
    kind: str = ""
    """The kind of push that was due. Empty if a person asked."""
    outcome: str
    reason: str = ""
    """Why there is no answer."""
    ms: Length | None = None
    """How long the answer took."""
    learned: tuple[str, ...] = ()
    """The stamps of the call that no webhook had reported, as `learned_stamp` writes them."""
    more: Number | None = None
    """How many more stamps there are, for which the line had no space."""


class UnknownMilestone(Milestone, frozen=True, kw_only=True, gc=False):
    """A line that this version cannot read: of a newer version, or malformed. It is never written."""

    word: str = ""
    """The milestone's word, if there is one."""
    round: Moment | None = None
    user: str = ""


MILESTONES: tuple[type[Milestone], ...] = (
    WebhookReceived,
    WebhookRepeated,
    WebhookOutdated,
    WebhookPutOff,
    JobWaits,
    JobPickedUp,
    PushSkipped,
    PushWaited,
    PushAttempted,
    PushFinished,
    TokenChecked,
    PushReduced,
    SecondRingDue,
    UserSettled,
    PhoneRang,
    PhoneReported,
    RejectionCarried,
    EmailMilestone,
    StreamAsked,
)
"""All milestones that Bellhop writes."""

LONG = {letter: name for name, letter in SHORT.items()}
LISTS, MORE = (SHORT["users"], SHORT["learned"]), SHORT["more"]
"""LISTS are the letters of lists that may be cut. MORE is the letter of the number of elements that were cut off."""


class _Field(NamedTuple):
    """How a field is read."""

    name: str
    json_types: tuple[type, ...]
    """The types that the value may have in JSON. A bool is refused, although it is an int in Python."""


class _Form(NamedTuple):
    """How the lines of a milestone are read."""

    milestone: type[Milestone]
    by_letter: Mapping[str, _Field]
    by_name: Mapping[str, _Field]
    """For version 1, which wrote whole names."""
    required: Mapping[str, Any]
    """The fields without a default, with the value that each has if the line does not have it."""


_JSON_TYPES: dict[Any, tuple[tuple[type, ...], Any]] = {
    str: ((str,), ""),
    tuple[str, ...]: ((list,), ()),
    Micros: ((int,), 0),
    Micros | None: ((int,), None),
    int | None: ((int,), None),
    float | int | None: ((int, float), None),
}


def _form_of(milestone: type[Milestone]) -> _Form:
    hints = get_type_hints(milestone)
    known = [field for field in msgspec.structs.fields(milestone) if field.name in SHORT]
    by_name = {field.name: _Field(field.name, _JSON_TYPES[hints[field.name]][0]) for field in known}
    by_letter = {SHORT[name]: field for name, field in by_name.items()}
    required = {field.name: _JSON_TYPES[hints[field.name]][1] for field in known if field.required}
    return _Form(milestone, by_letter, by_name, required)


_FORMS = {milestone.what: _form_of(milestone) for milestone in MILESTONES}
_FORM_OF_UNKNOWN = _form_of(UnknownMilestone)
_FIELDS = {milestone: attrgetter(*(LONG[letter] for letter in milestone.letters)) for milestone in MILESTONES}
_TEXTS = {letter for form in _FORMS.values() for letter, field in form.by_letter.items() if str in field.json_types}
_CUT = _TEXTS - {SHORT["user"]}
"""Texts that are cut when they are long. A user's id has to stay whole."""


def encode(milestone: Milestone) -> str:
    """Write a milestone as a line.

    Empty fields are left out, and long texts are cut. A list that makes the line too long is cut too; `more` counts the
    elements that are missing.
    """
    values = zip(milestone.letters, _FIELDS[type(milestone)](milestone), strict=True)
    facts: dict[str, Any] = {
        letter: value[:TEXT] if letter in _CUT else value for letter, value in values if value or value == 0
    }
    if names := facts.get(SHORT["names"]):
        facts[SHORT["names"]] = [name[:NAME] for name in names[:NAMES]]
    text = encoded([VERSION, milestone.what, milestone.at, facts])
    if len(text) > LINE_BYTES:
        cut = next((letter for letter in LISTS if facts.get(letter)), "")
        while facts.get(cut) and len(text) > LINE_BYTES:
            elements = facts[cut]
            left_out = len(elements) - len(elements) // 2
            facts |= {cut: elements[:-left_out], MORE: facts.get(MORE, 0) + left_out}
            text = encoded([VERSION, milestone.what, milestone.at, facts])
    return text.decode()


def learned_stamp(name: str, at: Micros) -> str:
    """Write a stamp for `StreamAsked.learned`."""
    return f"{name}@{at}"


def read_learned(milestone: StreamAsked) -> dict[str, Micros]:
    """Read the stamps of a question, by name. A stamp that cannot be read is left out."""
    pairs = [text.rpartition("@")[::2] for text in milestone.learned]
    return {name: Micros(int(at)) for name, at in pairs if at.isascii() and at.isdigit() and int(at) <= GREATEST}


def read_trail(lines: Iterable[bytes | str]) -> list[Milestone]:
    """Read a trail, one milestone for each line."""
    return [decode(line) for line in lines]


def decode_only(kind: type[M], lines: Iterable[bytes]) -> Iterator[M]:
    """Read the milestones of one kind. Other lines are seldom decoded: a trail may have thousands of them."""
    word = f'"{kind.what}"'.encode()
    for line in lines:
        if word in line and isinstance(milestone := decode(line), kind):
            yield milestone


def decode(line: bytes | str) -> Milestone:
    """Read a line. A line that this version cannot read becomes an UnknownMilestone; no other code checks for that."""
    try:
        written = _json(line)
        if isinstance(written, dict):  # version 1 wrote whole names
            version, what, at, facts = 1, written["what"], written["at"], written
        else:
            version, what, at, facts = written[:4]
    except (ValueError, TypeError, KeyError, RecursionError):
        return UnknownMilestone(at=Micros(0))
    if not (isinstance(what, str) and type(at) is int and abs(at) <= GREATEST and isinstance(facts, dict)):
        return UnknownMilestone(at=Micros(0))
    if version in (1, VERSION) and what in _FORMS:
        form = _FORMS[what]
        if version == VERSION:
            try:
                return msgspec.convert({**facts, "at": at}, form.milestone)
            except msgspec.ValidationError:
                pass  # a field is null or missing, or has the wrong type: it is read field by field
        values = _values(facts, form, version)
        if values is not None:
            return form.milestone(at=Micros(at), **values)
    values = _values(facts, _FORM_OF_UNKNOWN, version) or {}
    return UnknownMilestone(at=Micros(at), word=what, **values)


def _json(line: bytes | str) -> Any:
    """Read JSON with the fast reader. It refuses some of what Python's takes, such as NaN."""
    try:
        return _DECODER.decode(line)
    except (msgspec.DecodeError, ValueError):
        return json.loads(line)


_DECODER = msgspec.json.Decoder()


def _values(facts: dict[str, Any], form: _Form, version: Any) -> dict[str, Any] | None:
    """Read the fields of a line; None if a field has the wrong type."""
    known = form.by_name if version == 1 else form.by_letter
    values = {**form.required}
    for key, value in facts.items():
        if value is None or key not in known:
            continue
        name, json_types = known[key]
        json_type = type(value)
        if json_type not in json_types:
            return None
        if json_type is list:
            if not {*map(type, value)} <= {str}:
                return None
            values[name] = tuple(value)
        elif json_type is not str and not abs(value) <= GREATEST:
            return None
        else:
            values[name] = value
    return values
