"""What a phone reports about itself, and what Bellhop keeps of it. Pure.

A report comes with a receipt or a registration, and never makes that request fail: an unusable value is left out.
"""

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    StringConstraints,
    ValidationError,
    ValidatorFunctionWrapHandler,
    field_validator,
)
from pydantic_core import CoreSchema

from bellhop.domain.json_fields import text
from bellhop.field_docs import field_docs

LONGEST_TEXT = 40
MAX_HEALTH_BYTES = 2048
"""The size of the largest health report, as Redis keeps it."""
DEMOTIONS_FOR_A_WARNING = 3
"""Bellhop warns after this many demoted pushes in a row. A single one may have a temporary reason."""

ShortText = Annotated[str, StringConstraints(max_length=LONGEST_TEXT)]


class PhoneHealth(BaseModel):
    """The phone's settings that decide whether it rings, as the app reads them. A value is null if it is not known."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    os: Literal["android", "ios", "browser"] | None = None
    """android, ios or browser."""
    os_version: ShortText | None = None
    """Such as "16" or "26.1"."""
    manufacturer: ShortText | None = None
    """Such as "samsung"."""
    model: ShortText | None = None
    """Such as "Pixel 9" or "iPhone17,1"."""
    app_version: ShortText | None = None
    """The version of the app."""
    sdk: ShortText | None = None
    """Stream's SDK: swift, kotlin, flutter or react-native."""
    sdk_version: ShortText | None = None
    """Its version."""
    signed_in: bool | None = None
    """Whether a user is signed in in the app."""
    notifications: Literal["allowed", "denied", "not_asked", "quiet"] | None = None
    """Whether the app may show notifications: allowed, denied, not_asked, or quiet (iOS: provisional)."""
    notification_sound: bool | None = None
    """iOS: whether the app's notifications may make a sound."""
    channel_importance: Literal["none", "min", "low", "default", "high"] | None = None
    """Android: the importance of the channel that shows calls: none (the channel is off), min, low, default or high."""
    channel_sound: bool | None = None
    """Android: whether that channel has a sound."""
    full_screen_intent: bool | None = None
    """Android: whether the app may show a call over the whole screen."""
    battery_optimised: bool | None = None
    """Android: whether battery optimisation applies to the app."""
    background_restricted: bool | None = None
    """Android: whether the user restricted the app's work in the background."""
    standby_bucket: Literal["active", "working_set", "frequent", "rare", "restricted"] | None = None
    """Android: the app's standby bucket: active, working_set, frequent, rare or restricted."""
    data_saver: bool | None = None
    """Android: whether Data Saver keeps the app from the network in the background."""
    power_save: bool | None = None
    """Whether the phone saves power: Battery Saver, or Low Power Mode."""
    paused_if_unused: bool | None = None
    """Android: whether the system pauses the app if it is not used for months."""
    play_services: Literal["ok", "missing", "outdated", "disabled"] | None = None
    """Android: the state of Google Play services: ok, missing, outdated or disabled."""
    fcm_priority: Literal["high", "normal"] | None = None
    """Android: the priority with which the push came: high or normal."""
    do_not_disturb: Literal["off", "priority", "alarms", "silence"] | None = None
    """Android: what Do Not Disturb lets through: off (all), priority, alarms, or silence (nothing)."""
    focus: bool | None = None
    """iOS: whether a Focus is on; null if the app may not know."""
    ringer: Literal["normal", "vibrate", "silent"] | None = None
    """Android: the phone's sound mode: normal, vibrate or silent."""
    ring_volume: Annotated[int, Field(ge=0, le=100)] | None = None
    """Android: the volume of the ringtone, in percent."""
    callkit_error: Annotated[int, Field(ge=0, le=99)] | None = None
    """iOS: CallKit's error for the last call (CXErrorCodeIncomingCallError). A receipt with `rang` ends it."""
    telecom_error: bool | None = None
    """Android: whether Telecom refused the last call."""

    @field_validator("*", mode="wrap")
    @classmethod
    def _leave_out_what_cannot_be_used(cls, value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        try:
            return handler(text(value)[:LONGEST_TEXT].rstrip() if isinstance(value, str) else value)
        except ValidationError:
            return None

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Describe the fields without their types: a request with a value of another type is accepted too."""
        return {
            "type": "object",
            "title": cls.__name__,
            "description": (cls.__doc__ or "").strip(),
            "properties": {name: {"description": words} for name, words in field_docs(cls).items()},
        }

    def known(self) -> dict[str, Any]:
        """Return what the phone reported, by field."""
        return self.model_dump(exclude_none=True)


NO_HEALTH = PhoneHealth()
NOTHING_SINCE: Mapping[str, int] = MappingProxyType({})


class PhoneRecord(NamedTuple):
    """What Bellhop keeps of one device: its latest health, and when it sent receipts. Times are unix ms."""

    health: PhoneHealth = NO_HEALTH
    """The latest value that the phone reported, for each field."""
    health_at_ms: int = 0
    """When the phone last reported its health; 0 for never."""
    since_ms: Mapping[str, int] = NOTHING_SINCE
    """For each field: the time of the report since which it has this value."""
    first_receipt_ms: int = 0
    """When the first receipt came; 0 if there was none."""
    last_receipt_ms: int = 0
    event: str = ""
    """The phone's latest report that is "rang" or "not_shown"; other reports do not change it."""
    reason: str = ""
    """The reason in that report."""
    demoted: int = 0
    """How many pushes in a row, up to the latest, came with normal priority. Bellhop sends each with high priority."""


NEVER_HEARD_OF = PhoneRecord()


def health_json(health: PhoneHealth | None) -> str:
    """Write the known values as JSON; "" if there are none."""
    known = health.known() if health is not None else {}
    return json.dumps(known, separators=(",", ":"), ensure_ascii=False) if known else ""


def read_record(stored: bytes | str | None) -> PhoneRecord:
    """Read a record of any version; what cannot be read is left out."""
    try:
        read = json.loads(stored or "{}")
        return _record(read) if isinstance(read, dict) else NEVER_HEARD_OF
    except (ValueError, RecursionError):
        return NEVER_HEARD_OF


def _record(read: Mapping[str, Any]) -> PhoneRecord:
    health, since = read.get("health"), read.get("since")
    return PhoneRecord(
        PhoneHealth.model_validate(health) if isinstance(health, dict) else NO_HEALTH,
        _number(read.get("health_at")),
        {name: _number(at) for name, at in since.items()} if isinstance(since, dict) else NOTHING_SINCE,
        _number(read.get("first_receipt_at")),
        _number(read.get("last_receipt_at")),
        text(read.get("event")),
        text(read.get("reason")),
        _number(read.get("low_priority_in_a_row")),
    )


def _number(value: Any) -> int:
    return int(value) if isinstance(value, int | float) and 0 <= value < 2**53 else 0
