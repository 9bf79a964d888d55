"""A user besides their phones: where to write to them, and when they want no push. Pure; `registry` keeps them."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Annotated, NamedTuple
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from bellhop.domain.outcomes import Outcome
from bellhop.domain.round import Recipient

SECOND_CALL_US = 180 * 1_000_000
"""A caller who rings again so soon after a ring that quiet hours held back means it."""

EMAIL = (
    r"^[a-zA-Z0-9.!#$%&'*+/=?^_`{|}~-]+@[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
    r"(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*$"
)
"""What HTML calls a valid e-mail address (HTML Standard, 4.10.5.1.5): nothing in it can end a header."""
LANGUAGE = r"^[A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8})*$"
"""A language tag by its shape (RFC 5646)."""


@cache
def _time_zones() -> frozenset[str]:
    return frozenset(available_timezones())


def _is_time_zone(name: str) -> str:
    if name not in _time_zones():
        raise ValueError('is no IANA time zone, such as "Europe/Amsterdam"')
    return name


class _UserModel(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True)


class Contact(_UserModel):
    """Where and how to write to a user. What is null is unknown."""

    email: Annotated[str, StringConstraints(pattern=EMAIL, max_length=254)] | None = None
    """An e-mail address; of a domain that is not ASCII, its punycode."""
    language: Annotated[str, StringConstraints(pattern=LANGUAGE, max_length=35)] | None = None
    """A language tag, such as "en" or "pt-BR"."""
    time_zone: Annotated[str, AfterValidator(_is_time_zone)] | None = None
    """An IANA time zone, such as "Europe/Amsterdam". Quiet hours are counted in it, and in UTC without one."""


TimeOfDay = Annotated[str, StringConstraints(pattern=r"^(?:[01][0-9]|2[0-3]):[0-5][0-9]$")]


class QuietHours(_UserModel):
    """Hours of each day in which no push is wanted."""

    start: Annotated[TimeOfDay, Field(alias="from")]
    """HH:MM in the user's time zone."""
    end: Annotated[TimeOfDay, Field(alias="to")]
    """HH:MM in the user's time zone. Before `from`, the hours go over midnight; the same as `from`, they never end."""
    let_second_call_through: bool = True
    """Whether who calls again within three minutes gets through."""

    def cover(self, moment: datetime) -> bool:
        """Whether `moment`, in the user's time zone, lies in them."""
        clock = moment.strftime("%H:%M")
        if self.start < self.end:
            return self.start <= clock < self.end
        return clock >= self.start or clock < self.end


class Preferences(_UserModel):
    """When and how a user wants to be told about calls."""

    mute_until: AwareDatetime | None = None
    """No push and no e-mail for calls that begin before this moment."""
    quiet_hours: QuietHours | None = None
    """Hours of each day in which calls make no push."""
    email: bool = True
    """Whether missed calls are told by e-mail."""

    def muted(self, at_us: int) -> bool:
        """Whether a call that begins at this moment (unix µs) is to pass in silence."""
        return self.mute_until is not None and at_us < self.mute_until.timestamp() * 1e6


class User(NamedTuple):
    """What is known of a user, as one caller's round meets it."""

    contact: Contact = Contact()
    preferences: Preferences = Preferences()
    held_back_at: int | None = None
    """Stream's stamp (unix µs) of the last ring of this caller that quiet hours held back."""


NOBODY: Mapping[str, User] = {}


def objection(person: User, started_at: int) -> Outcome | None:
    """Why a user wants no push about the round of this stamp (unix µs); None when they have nothing against it.

    Only stamps decide, not the clock: a job that runs twice, and a ring and its missed-call notice, get one answer.
    The notice must follow the ring, since on Android it is what ends the ringing.
    """
    preferences = person.preferences
    if preferences.muted(started_at):
        return Outcome.MUTED
    hours = preferences.quiet_hours
    if hours is None:
        return None
    zone = ZoneInfo(person.contact.time_zone or "UTC")
    if not hours.cover(datetime.fromtimestamp(started_at / 1e6, UTC).astimezone(zone)):
        return None
    since = started_at - person.held_back_at if person.held_back_at is not None else 0
    second_call = hours.let_second_call_through and 0 < since <= SECOND_CALL_US
    return None if second_call else Outcome.QUIET_HOURS


def filled_in(contact: Contact, recipient: Recipient) -> Contact:
    """Add to what the registry knows what the event said of the user, where that is usable."""
    email = recipient.email if len(recipient.email) <= 254 and re.fullmatch(EMAIL, recipient.email) else None
    language = recipient.language if re.fullmatch(LANGUAGE, recipient.language) else None
    return contact.model_copy(
        update={"email": contact.email or email, "language": contact.language or language},
    )
