"""A user's contact and preferences: where to send e-mail, and when the user wants no push. Pure.

`bellhop.store.registry` keeps them in Redis.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from types import MappingProxyType
from typing import Annotated, Literal, NamedTuple, get_args
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, AwareDatetime, ConfigDict, Field, StringConstraints

from bellhop.clock import MICROS_PER_SECOND, Micros, as_datetime
from bellhop.domain.outcomes import Outcome
from bellhop.domain.round import FOREVER, Rare, Recipient
from bellhop.field_docs import DocumentedModel

AT_STREAM = "at Stream"
"""The end of a mute's facts that says where the user set it."""
SECOND_CALL_US = 180 * MICROS_PER_SECOND
"""A second ring by the same caller within this time gets through quiet hours, if the user allows it."""

EMAIL = (
    r"^[a-zA-Z0-9.!#$%&'*+/=?^_`{|}~-]+@[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
    r"(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*$"
)
"""A valid e-mail address as the HTML Standard defines it (4.10.5.1.5). It has no character that could end a header."""
LANGUAGE = r"^[A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8})*$"
"""The form of a language tag (RFC 5646)."""
LONGEST_EMAIL = 254
"""Characters (RFC 5321, 4.5.3.1.3, without the brackets)."""


@cache
def _time_zones() -> frozenset[str]:
    return frozenset(available_timezones())


def _is_time_zone(name: str) -> str:
    if name not in _time_zones():
        raise ValueError('must be an IANA time zone, such as "Europe/Amsterdam"')
    return name


class _UserModel(DocumentedModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Contact(_UserModel):
    """How to reach a user by e-mail. A field that is null is unknown."""

    email: Annotated[str, StringConstraints(pattern=EMAIL, max_length=LONGEST_EMAIL)] | None = None
    """An e-mail address. A domain that is not ASCII must be written in punycode."""
    language: Annotated[str, StringConstraints(pattern=LANGUAGE, max_length=35)] | None = None
    """A language tag, such as "en" or "pt-BR"."""
    time_zone: Annotated[str, AfterValidator(_is_time_zone)] | None = None
    """An IANA time zone, such as "Europe/Amsterdam". Quiet hours are in this zone, or in UTC if it is null."""


TimeOfDay = Annotated[str, StringConstraints(pattern=r"^(?:[01][0-9]|2[0-3]):[0-5][0-9]$")]


Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEKDAYS: Sequence[Weekday] = get_args(Weekday)
MAX_LISTED = 25
Callers = Annotated[
    tuple[Annotated[str, StringConstraints(pattern=r"^[!-~]+$", max_length=255)], ...], Field(max_length=MAX_LISTED)
]
"""User ids of callers."""


class QuietHours(_UserModel):
    """Hours of each day in which the user wants no push."""

    start: Annotated[TimeOfDay, Field(alias="from")]
    """HH:MM in the user's time zone."""
    end: Annotated[TimeOfDay, Field(alias="to")]
    """HH:MM in the user's time zone. If `to` is earlier than `from`, the hours go over midnight. If both are the
    same, quiet hours never end."""
    let_second_call_through: bool = True
    """If true, a second call by the same caller within three minutes gets through."""
    days: Annotated[tuple[Weekday, ...], Field(max_length=7), Rare] = ()
    """The days on which the hours begin, such as ["sat", "sun"]. Every day if there are none."""

    def cover(self, moment: datetime) -> bool:
        """Tell whether `moment`, in the user's time zone, lies in the quiet hours."""
        clock = moment.strftime("%H:%M")
        if self.start < self.end:
            return self.start <= clock < self.end and self._begin_on(moment.weekday())
        # They go over midnight: hours that end today have begun yesterday.
        return (clock >= self.start and self._begin_on(moment.weekday())) or (
            clock < self.end and self._begin_on(moment.weekday() - 1)
        )

    def _begin_on(self, weekday: int) -> bool:
        return not self.days or WEEKDAYS[weekday] in self.days


class Preferences(_UserModel):
    """When and how a user wants to be notified of calls."""

    mute_until: AwareDatetime | None = None
    """No push and no e-mail for calls that begin before this moment."""
    quiet_hours: QuietHours | None = None
    """Hours of each day in which calls make no push."""
    email: bool = True
    """If true, missed calls are also sent by e-mail."""
    always_from: Annotated[Callers, Rare] = ()
    """Calls by these users get through `mute_until` and quiet hours."""
    never_from: Annotated[Callers, Rare] = ()
    """Calls by these users make no push and no e-mail."""

    def muted(self, moment: Micros) -> bool:
        """Tell whether the user has muted a call that begins at `moment`."""
        return self.mute_until is not None and moment < self.mute_until.timestamp() * MICROS_PER_SECOND


class User(NamedTuple):
    """The settings of a user, as they apply to one caller's round."""

    contact: Contact = Contact()
    preferences: Preferences = Preferences()
    held_back_at: Micros | None = None
    """The stamp of this caller's last ring that quiet hours held back. It is read only for users with quiet hours."""
    deactivated: bool = False
    """Whether the user was deactivated at Stream, and not reactivated since."""
    called_too_often: bool = False
    """Whether the user was rung more often in this minute than the settings allow."""
    muted_at_stream_until: Micros = Micros(0)
    """Until when Stream's user object wants no push."""
    blocks_caller: bool = False
    """Whether the user has blocked the caller, here or at Stream."""
    always_from_caller: bool = False
    """Whether the caller gets through the user's own mute and quiet hours."""
    disabled_phones: Mapping[str, Micros] = MappingProxyType({})
    """When an operator disabled phones of the user, by the names of each phone (`Device.phone_names`)."""

    def disabled_since(self, phone_names: Iterable[str]) -> Micros | None:
        """Return when an operator disabled the phone with these names; None if it is not disabled."""
        return next((self.disabled_phones[name] for name in phone_names if name in self.disabled_phones), None)

    def for_call(self, recipient: Recipient, caller_id: str) -> "User":
        """Add what the event says of this user, and what the user wants of this caller."""
        wishes = self.preferences
        if not (recipient.muted_until or recipient.blocks_caller or wishes.always_from or wishes.never_from):
            return self
        return self._replace(
            muted_at_stream_until=recipient.muted_until,
            blocks_caller=recipient.blocks_caller or caller_id in wishes.never_from,
            always_from_caller=caller_id in wishes.always_from,
        )


NO_USER = User()
NO_USERS: Mapping[str, User] = {}


def push_refusal(user: User, started_at: Micros) -> Outcome | None:
    """Return why a user wants no push about the round that started then, or None if a push is welcome.

    Only stamps decide, not the clock. So a job that runs twice decides the same both times, and a ring and its
    missed-call notice decide the same: on Android the notice is what ends the ringing.
    """
    if user.deactivated:
        return Outcome.DEACTIVATED
    if user.called_too_often:
        return Outcome.CALLEE_LIMIT
    if user.blocks_caller:
        return Outcome.CALLER_BLOCKED
    if started_at < user.muted_at_stream_until:
        return Outcome.MUTED
    return None if user.always_from_caller else _own_refusal(user, started_at)


def _own_refusal(user: User, started_at: Micros) -> Outcome | None:
    """Return why the user's preferences here allow no push; the callers in `always_from` get through them."""
    if user.preferences.muted(started_at):
        return Outcome.MUTED
    hours = user.preferences.quiet_hours
    if hours is None or not hours.cover(_local_time(user.contact, started_at)):
        return None
    second_call = hours.let_second_call_through and _is_second_call(user, started_at)
    return None if second_call else Outcome.QUIET_HOURS


def refusal_facts(user: User, refusal: Outcome) -> str:
    """Return the facts behind a refusal, for the trail: the end of a mute, or the quiet hours and their zone."""
    until, hours = user.preferences.mute_until, user.preferences.quiet_hours
    at_stream = user.muted_at_stream_until
    if refusal is Outcome.MUTED and at_stream:
        return AT_STREAM if at_stream == FOREVER else f"{as_datetime(at_stream).isoformat()} {AT_STREAM}"
    if refusal is Outcome.MUTED and until is not None:
        return until.isoformat()
    if refusal is Outcome.QUIET_HOURS and hours is not None:
        return f"{hours.start}-{hours.end} {user.contact.time_zone or ''}".rstrip()
    return ""


def _local_time(contact: Contact, moment: Micros) -> datetime:
    return as_datetime(moment).astimezone(ZoneInfo(contact.time_zone or "UTC"))


def _is_second_call(user: User, started_at: Micros) -> bool:
    return user.held_back_at is not None and 0 < started_at - user.held_back_at <= SECOND_CALL_US


def complete_contact(contact: Contact, recipient: Recipient) -> Contact:
    """Fill what the registry does not know from what the event says of the user, if that is usable."""
    usable_email = len(recipient.email) <= LONGEST_EMAIL and re.fullmatch(EMAIL, recipient.email)
    email = recipient.email if usable_email else None
    language = recipient.language if re.fullmatch(LANGUAGE, recipient.language) else None
    return contact.model_copy(
        update={"email": contact.email or email, "language": contact.language or language},
    )
