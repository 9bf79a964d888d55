"""A device: one push token of one user. Pure; `bellhop.store.registry` keeps devices in Redis."""

import hashlib
import re
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
    field_validator,
    model_validator,
)

from bellhop.clock import Micros
from bellhop.domain.round import Rare
from bellhop.domain.web_push import host_of, read_auth, read_public_key

MAX_DEVICES_PER_USER = 25
"""The number that Stream keeps for a user."""

LATEST_US = 2**53
"""In the year 2255. A greater number is a time in another unit; Lua's numbers are exact up to here."""

APNS_TOKEN = re.compile(r"(?:[0-9a-fA-F]{2}){8,200}")
FCM_TOKEN = re.compile(r"[\x21-\x7e]+")

Text = Annotated[str, StringConstraints(strip_whitespace=True, max_length=255)]


def _unless_zeros(hardware_id: str) -> str:
    """Return the id, or an empty text if it has only zeros.

    An iPhone gives zeros to apps that may not read its id for advertisers.
    """
    return hardware_id if hardware_id.strip("0-") else ""


HardwareId = Annotated[Text, AfterValidator(_unless_zeros)]
"""An id of a phone; empty if it is not known."""
UserId = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f\x7f]+$")]
"""A Stream user id."""


class Provider(StrEnum):
    """Who delivers the push."""

    APNS = "apns"
    FCM = "fcm"
    WEB_PUSH = "webpush"
    """The push service of a browser, or of an Android app without Google (UnifiedPush)."""


NOT_REACHED = {"huawei": "Huawei", "xiaomi": "Xiaomi"}
"""Push providers of Stream's whose phones Bellhop does not reach, and their names."""


class Kind(StrEnum):
    """What an APNs token is for. Any other token serves both and always counts as alert."""

    VOIP = "voip"
    ALERT = "alert"


class RingsBy(StrEnum):
    """Which push rings an iPhone."""

    VOIP = "voip"
    """A VoIP push to its VoIP token. The app shows the call by CallKit."""
    ALERT = "alert"
    """An alert to its alert token (docs/alert-rings.md): for places where apps may not use CallKit."""


class Environment(StrEnum):
    """Apple's environment of a token. In the other environment, Apple answers BadDeviceToken."""

    PRODUCTION = "production"
    SANDBOX = "sandbox"


class Platform(StrEnum):
    """The system of a phone with an FCM token."""

    ANDROID = "android"
    IOS = "ios"


class Device(BaseModel):
    """One push token of one user."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    user_id: UserId
    provider: Provider
    kind: Kind = Kind.ALERT
    token: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=4096)]
    app: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=255)]
    """The app: its bundle id (APNs, without ".voip"), its Firebase project id (FCM), or the name that the settings give
    to a web app (Web Push)."""
    environment: Environment = Environment.PRODUCTION
    registered_at: Annotated[Micros, Field(ge=0, le=LATEST_US)] = Micros(0)
    """When the registry stored the device (unix µs); 0 before that. A provider's report that the token was dead at an
    earlier time does not remove it."""
    hardware_id: HardwareId = ""
    """The physical phone, if the app knows it. It ties the tokens of one phone together."""
    rings: Annotated[RingsBy, Field(exclude_if=lambda rings: rings is RingsBy.VOIP)] = RingsBy.VOIP
    """Which push rings the phone. Only an APNs token of kind alert with a hardware id can have `alert`."""
    name: Text = ""
    """What users call the device ("Jane's iPhone"); the trail shows it."""
    platform: Annotated[Platform | None, Rare] = None
    """The system of a phone with an FCM token, if the app says it; only then it is stored. Other tokens have none."""
    p256dh: Annotated[str, Rare] = ""
    """Web Push: the browser's public key. The token is the subscription's endpoint."""
    auth: Annotated[str, Rare] = ""
    """Web Push: the secret that the browser shares with the app."""
    expires_at: Annotated[Micros | None, Field(ge=0, le=LATEST_US), Rare] = None
    """Web Push: when the subscription ends (unix µs), if the browser says it."""

    @field_validator("kind")
    @classmethod
    def _fcm_token_counts_as_alert(cls, kind: Kind, info: ValidationInfo) -> Kind:
        # Some SDKs register an FCM token as voip and some do not: it is the same token.
        return kind if info.data.get("provider") is Provider.APNS else Kind.ALERT

    @field_validator("rings")
    @classmethod
    def _alert_ring_is_possible(cls, rings: RingsBy, info: ValidationInfo) -> RingsBy:
        return read_rings(rings, info)

    @field_validator("platform")
    @classmethod
    def _platform_is_of_an_fcm_token(cls, platform: Platform | None, info: ValidationInfo) -> Platform | None:
        return platform if info.data.get("provider") is Provider.FCM else None

    @field_validator("p256dh")
    @classmethod
    def _only_web_push_has_a_public_key(cls, key: str, info: ValidationInfo) -> str:
        return read_public_key(key) if info.data.get("provider") is Provider.WEB_PUSH else ""

    @field_validator("auth")
    @classmethod
    def _only_web_push_has_a_secret(cls, auth: str, info: ValidationInfo) -> str:
        return read_auth(auth) if info.data.get("provider") is Provider.WEB_PUSH else ""

    @field_validator("token")
    @classmethod
    def _apns_token_in_lower_case(cls, token: str, info: ValidationInfo) -> str:
        # Apple's tokens are bytes in hexadecimal. Two spellings of one token would ring the phone twice.
        return token.lower() if info.data.get("provider") is Provider.APNS else token

    @model_validator(mode="after")
    def _token_fits_provider(self) -> Self:
        # aioapns writes the token into the request path unchecked, so other characters could change the path.
        if self.provider is Provider.APNS and not APNS_TOKEN.fullmatch(self.token):
            raise ValueError("an APNs token is 16 to 400 hexadecimal digits")
        if self.provider is Provider.FCM and not FCM_TOKEN.fullmatch(self.token):
            raise ValueError("an FCM token is printable ASCII without spaces")
        if self.provider is Provider.WEB_PUSH:
            host_of(self.token)
            if not (self.p256dh and self.auth):
                raise ValueError("a Web Push subscription has the keys p256dh and auth")
        return self

    @property
    def key(self) -> str:
        """A short name for this token. It does not reveal the token, so it may be logged."""
        return device_key(self.provider, self.token)

    @property
    def phone_names(self) -> tuple[str, ...]:
        """The names by which an operator disables the phone: its device key, and its hardware id if it is known."""
        return (self.key, self.hardware_id) if self.hardware_id else (self.key,)

    @property
    def is_on_iphone(self) -> bool:
        """Whether the token belongs to an iPhone. A Firebase token does only if the app gave the platform iOS."""
        return self.provider is Provider.APNS or self.platform is Platform.IOS

    @property
    def rings_by_alert(self) -> bool:
        """Whether an alert to this token rings the phone."""
        return self.rings is RingsBy.ALERT

    @property
    def label(self) -> str:
        """What the trail calls the device: its name, or the kind of its token and a few digits of its key."""
        if self.platform is Platform.IOS and not self.name:
            return f"iPhone {self.key[:6]}"
        return self.name or f"{self.provider} {self.kind} {self.key[:6]}"


def read_rings(rings: RingsBy, info: ValidationInfo) -> RingsBy:
    """Check the field `rings` of a device or of a registration. Raises ValueError if its token cannot ring by alerts.

    Without a hardware id, Bellhop would not know the VoIP token of the same phone. It would ring that token too.
    """
    if rings is RingsBy.ALERT:
        if info.data.get("provider") != Provider.APNS or info.data.get("kind") is not Kind.ALERT:
            raise ValueError("only an APNs token of kind alert can ring by alerts")
        if not info.data.get("hardware_id"):
            raise ValueError("to ring by alerts, a hardware_id is required: the same one for all tokens of the phone")
    return rings


@lru_cache(maxsize=4096)
def device_key(provider: Provider, token: str) -> str:
    """Return the short name of a token: 20 hexadecimal digits of its SHA-256."""
    return hashlib.sha256(f"{provider}:{token}".encode()).hexdigest()[:20]


def number_of_devices(count: int) -> str:
    """Return "1 device", "2 devices" and so on."""
    return f"{count} device{'' if count == 1 else 's'}"
