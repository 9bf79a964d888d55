"""A device: one push token of one user. A pure value; `registry` keeps it."""

import hashlib
import re
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationInfo, field_validator, model_validator

MAX_DEVICES_PER_USER = 25
"""As many as Stream keeps for a user."""

LATEST_US = 2**53
"""In 2255: a later stamp is a time in another unit, and Lua counts exactly up to here."""

Text = Annotated[str, StringConstraints(strip_whitespace=True, max_length=255)]
UserId = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f\x7f]+$")]
"""A Stream user id."""


class Provider(StrEnum):
    """Who delivers the push."""

    APNS = "apns"
    FCM = "fcm"


class Kind(StrEnum):
    """What an APNs token is for; FCM tokens serve both, and count as alert whatever they were registered as."""

    VOIP = "voip"
    ALERT = "alert"


class Environment(StrEnum):
    """Which of Apple's two worlds a token belongs to; a token of one is a BadDeviceToken in the other."""

    PRODUCTION = "production"
    SANDBOX = "sandbox"


class Device(BaseModel):
    """One push token of one user."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    user_id: UserId
    provider: Provider
    kind: Kind = Kind.ALERT
    token: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=4096)]
    app: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=255)]
    """The app on the phone: its bundle id (APNs, without ".voip") or Firebase project id (FCM)."""
    environment: Environment = Environment.PRODUCTION
    registered_at: Annotated[int, Field(ge=0, le=LATEST_US)] = 0
    """Unix time in microseconds; 0 until the registry has stored it. Providers date a token's death against it."""
    hardware_id: Text = ""
    """The physical phone, when the app knows it: ties a VoIP token and an alert token together."""
    name: Text = ""
    """What people call it ("Jane's iPhone"), for the trail."""

    @field_validator("kind")
    @classmethod
    def _of_one_kind(cls, kind: Kind, found: ValidationInfo) -> Kind:
        # Some SDKs register one as voip, some do not: it is the same token.
        return kind if found.data.get("provider") is Provider.APNS else Kind.ALERT

    @field_validator("token")
    @classmethod
    def _in_one_spelling(cls, token: str, found: ValidationInfo) -> str:
        # Apple's tokens are bytes: two spellings of one would ring the phone twice.
        return token.lower() if found.data.get("provider") is Provider.APNS else token

    @model_validator(mode="after")
    def _token_fits_provider(self) -> Self:
        # aioapns puts the token into the request path unchecked: anything but hex could change the path.
        if self.provider is Provider.APNS and not re.fullmatch(r"(?:[0-9a-fA-F]{2}){8,200}", self.token):
            raise ValueError("an APNs token is 16 to 400 hexadecimal digits")
        if self.provider is Provider.FCM and not re.fullmatch(r"[\x21-\x7e]+", self.token):
            raise ValueError("an FCM token is printable ASCII without spaces")
        return self

    @property
    def key(self) -> str:
        """A short name for this token that may be logged: it does not reveal the token."""
        return device_key(self.provider, self.token)

    @property
    def label(self) -> str:
        """What the trail calls it: its name, or the kind of token it is with a few digits of the key."""
        return self.name or f"{self.provider} {self.kind} {self.key[:6]}"


@lru_cache(maxsize=4096)
def device_key(provider: Provider, token: str) -> str:
    """Name a token: 20 hexadecimal digits of its SHA-256."""
    return hashlib.sha256(f"{provider}:{token}".encode()).hexdigest()[:20]
