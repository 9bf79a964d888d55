"""One [[pushes]] table of the file of a team's own pushes: its fields, and which of them fit which push."""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from bellhop.domain.device import Provider
from bellhop.domain.payloads import RESERVED_KEYS
from bellhop.domain.push import PushKind
from bellhop.domain.user import LANGUAGE

DATA_KEY = re.compile(r"[A-Za-z0-9_.-]{1,64}")
GOOGLES = ("google", "gcm")
"""Google refuses data with keys that begin with these words, and the keys `from` and `message_type`
(projects.messages, `data`)."""
NO_RING = frozenset({"sound", "thread", "interruption_level", "priority"})
"""Fields that a ring does not have: the app plays the ringtone, and a ring always has the highest priority."""
ONLY_RING = frozenset({"ringtone"})
NO_SECOND_RING = frozenset({"priority"})
ONLY_FCM = frozenset({"analytics_label"})
NO_BROWSER = frozenset({"sound", "category", "thread", "badge", "interruption_level"})
"""Fields that a browser's notification does not have."""
NO_RING_FCM = frozenset({"badge", "category"})
"""Fields that the message of a ring to Google does not have: an iPhone rings by its VoIP token."""


def _text_or_languages(value: Any) -> Any:
    if not isinstance(value, str | dict):
        raise ValueError("must be a text, or a table of texts by language")
    for language, text in value.items() if isinstance(value, dict) else ():
        if not re.fullmatch(LANGUAGE, language):
            raise ValueError(f'{language} must be a language tag, such as "en" or "pt-BR"')
        if not isinstance(text, str):
            raise ValueError(f"{language} must be a text in quotes")
    return value


TextOrLanguages = Annotated[str | dict[str, str] | None, BeforeValidator(_text_or_languages)]


class PushEntry(BaseModel):
    """One table: for which pushes it is, and what the team wants in them. All texts are templates."""

    model_config = ConfigDict(extra="forbid")

    kind: PushKind
    """Which push: ring, notification, missed, live_started, session_started, second_ring, ring_over or
    alert_ring."""
    provider: Provider
    """Who delivers it: apns, fcm or webpush."""
    app: str = ""
    """Bundle id, Firebase project or web app, as in the settings. Without it, the table is for all of the provider."""
    call_type: str = ""
    """Type of the call at Stream, such as default. Without it, the table is for all types."""
    title: TextOrLanguages = None
    """First line that the phone shows. Empty: Bellhop's own."""
    body: TextOrLanguages = None
    """Second line that the phone shows."""
    sound: str | None = None
    """Name of a sound file in the app. Not for a ring. Empty: no sound."""
    ringtone: str | None = None
    """Name of the ringtone. The app plays it. Only rings can have this field."""
    category: str | None = None
    """Category of an iPhone's notification: which buttons it has."""
    thread: str | None = None
    """Group of an iPhone's notifications. Not for a ring."""
    badge: Annotated[int, Field(ge=0, le=99_999, strict=True)] | None = None
    """Number on the app's icon on an iPhone."""
    interruption_level: Literal["passive", "active", "time-sensitive", "critical"] | None = None
    """How much an iPhone lets the push interrupt its user. Not for a ring."""
    priority: Literal["high", "normal"] | None = None
    """Whether the provider wakes a sleeping phone for the push at once (high) or may wait (normal). Rings cannot have
    this field: their priority is always high."""
    analytics_label: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.~%-]{0,50}$")] = ""
    """Name under which Google's reports count the push. Only for fcm."""
    data: dict[str, str] = {}
    """Further data for the app: its key, and its value as a template."""

    @field_validator("data")
    @classmethod
    def _usable_keys(cls, data: dict[str, str]) -> dict[str, str]:
        for key in data:
            if key in RESERVED_KEYS or key.startswith(GOOGLES) or key in {"from", "message_type"}:
                raise ValueError(f"the key {key} is taken: Bellhop, Stream's SDKs or Google use it")
            if not DATA_KEY.fullmatch(key):
                raise ValueError(f"the key {key} must be 1 to 64 letters, digits, _, - and .")
        return data

    @model_validator(mode="after")
    def _fields_of_this_push(self) -> Self:
        ring, fcm = self.kind is PushKind.RING, self.provider is Provider.FCM
        again = self.kind in (PushKind.SECOND_RING, PushKind.ALERT_RING)
        refused = NO_SECOND_RING if again else NO_RING if ring else ONLY_RING
        if not fcm:
            refused |= ONLY_FCM
        elif ring:
            refused |= NO_RING_FCM
        if self.provider is Provider.WEB_PUSH:
            refused |= NO_BROWSER
        if fcm and self.kind is PushKind.RING_OVER:
            raise ValueError("only browsers (webpush) and iPhones (apns) get a push of the kind ring_over")
        if self.kind is PushKind.ALERT_RING and self.provider is not Provider.APNS:
            raise ValueError("only iPhones (apns) get a push of the kind alert_ring")
        if wrong := sorted(refused & self.model_fields_set):
            raise ValueError(f"{', '.join(wrong)}: not for a {self.kind} through {self.provider}")
        return self
