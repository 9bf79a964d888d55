"""Stream's REST interface, as far as Bellhop reads it: a user's devices, and what `bellhop check` asks."""

import time
import warnings
from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

import aiohttp
import jwt
from pydantic import BaseModel, BeforeValidator, Field, ValidationError

from bellhop.clock import Seconds
from bellhop.domain.device import Device, Kind, Provider
from bellhop.settings import Settings

Model = TypeVar("Model", bound=BaseModel)
ANSWER_LIMIT = 1 << 22
"""Bytes of an answer; 25 devices take about ten thousand, an app with all its settings more."""
DEFAULT_PAUSE_S = Seconds(60.0)
"""How long to wait when Stream says "too many requests" and not until when: its limits are counted by the minute."""


class StreamRefused(Exception):  # noqa: N818 - it is what Stream did
    """Stream did not answer the list. The text says why; `wait_s` how long to wait when it was too much for it.

    `for_good`: asking again, for whomever, would bring the same. `unreachable`: there was no connection.
    """

    def __init__(
        self, reason: str, *, wait_s: Seconds | None = None, for_good: bool = False, unreachable: bool = False
    ) -> None:
        super().__init__(reason)
        self.wait_s, self.for_good, self.unreachable = wait_s, for_good, unreachable


class Listing(NamedTuple):
    """A user's devices as Stream words them."""

    devices: list[Any]
    wait_s: Seconds
    """How long to wait before the next question: 0 unless this one used up the minute's limit."""


class StreamApi:
    """One app's way to Stream. The session is the caller's, with the timeouts it wants."""

    def __init__(self, session: aiohttp.ClientSession, url: str, api_key: str, secret: str) -> None:
        self._session, self._url, self._api_key = session, url.rstrip("/"), api_key
        self._headers = {
            "Authorization": server_token(secret),
            "stream-auth-type": "jwt",
        }

    async def devices(self, user_id: str) -> Listing:
        """List a user's devices. Raises StreamRefused."""
        listing, wait_s = await self._get("/api/v2/devices", _List, user_id=user_id)
        return Listing(listing.devices, wait_s)

    async def get(self, path: str, model: type[Model]) -> Model:
        """Read what is at `path`. Raises StreamRefused."""
        return (await self._get(path, model))[0]

    async def _get(self, path: str, model: type[Model], **query: str) -> tuple[Model, Seconds]:
        """Read what is at `path`, and how long to wait before the next question."""
        query |= {"api_key": self._api_key}
        try:
            async with self._session.get(self._url + path, params=query, headers=self._headers) as response:
                if response.status != 200:
                    raise _refused(response)
                body = await _whole(response)
                spent = response.headers.get("X-RateLimit-Remaining") == "0"
                return model.model_validate_json(body), _until_reset_s(response) if spent else Seconds(0.0)
        except ValidationError:
            raise StreamRefused("the answer cannot be read") from None
        except (aiohttp.ClientError, TimeoutError) as error:
            unreachable = isinstance(error, aiohttp.ClientConnectorError)
            raise StreamRefused(f"no answer: {type(error).__name__}", unreachable=unreachable) from None


def server_token(secret: str) -> str:
    """Make the token of a server. How long an API secret is, Stream chooses: PyJWT need not warn of a short one."""
    with warnings.catch_warnings(category=jwt.warnings.InsecureKeyLengthWarning, action="ignore"):
        return jwt.encode({"server": True}, secret, "HS256")


async def _whole(response: aiohttp.ClientResponse) -> bytes:
    """Read an answer to its end: `content.read(n)` returns what has come by then."""
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > ANSWER_LIMIT:
            raise StreamRefused("the answer is too long")
    return bytes(body)


def _refused(response: aiohttp.ClientResponse) -> StreamRefused:
    if response.status == 429:
        return StreamRefused("too many requests", wait_s=_until_reset_s(response))
    return StreamRefused(f"status {response.status}", for_good=response.status in (401, 403))


def _until_reset_s(response: aiohttp.ClientResponse) -> Seconds:
    """How long until Stream counts afresh: X-RateLimit-Reset is that moment in unix seconds."""
    reset = response.headers.get("X-RateLimit-Reset", "")
    if not (reset.isascii() and reset.isdigit()):
        return DEFAULT_PAUSE_S
    return Seconds(min(max(int(reset) - time.time(), 1.0), 2 * DEFAULT_PAUSE_S))


class _List(BaseModel):
    devices: list[Any]


PROVIDERS = {"apn": Provider.APNS, "firebase": Provider.FCM}
_text = BeforeValidator(lambda value: value or "")


class _Listed(BaseModel):
    """A device as Stream words it; fields that say nothing are null or left out."""

    id: str
    push_provider: Literal["apn", "firebase"]
    push_provider_name: Annotated[str, _text] = ""
    created_at: Annotated[int, Field(ge=0)]
    """Unix time in nanoseconds."""
    voip: bool | None = None
    disabled: bool | None = None
    hardware_id: Annotated[str, _text] = ""


class DeviceApps(NamedTuple):
    """Which app a device is of: Stream says which of the app's push providers, by the name on its dashboard."""

    by_name: Mapping[str, str]
    only: Mapping[Provider, str]
    """For every other name: the bundle and the Firebase project, where just one is configured."""

    @classmethod
    def of(cls, settings: Settings, more: Mapping[str, str] | None = None) -> "DeviceApps":
        """Make it of the settings, and of names that are not in them."""
        only = {}
        if len(settings.apns_apps) == 1:
            only[Provider.APNS] = settings.apns_apps[0].topic
        if len(settings.fcm_apps) == 1:
            only[Provider.FCM] = settings.fcm_apps[0].project_id
        return cls({**settings.stream_device_apps, **(more or {})}, only)


def read(user_id: str, listed: Any, apps: DeviceApps) -> Device | None:
    """Read one device of a Listing; None if Stream has disabled it.

    Raises ValueError with a sentence that does not show the token.
    """
    try:
        device = _Listed.model_validate(listed)
    except ValidationError as error:
        raise ValueError(f"cannot be read: {_places(error)}") from None
    if device.disabled:
        return None
    provider = PROVIDERS[device.push_provider]
    app = apps.by_name.get(device.push_provider_name) or apps.only.get(provider)
    if app is None:
        raise ValueError(f'no app is known for Stream\'s push provider "{device.push_provider_name}" ({provider})')
    try:
        return Device(
            user_id=user_id,
            provider=provider,
            kind=Kind.VOIP if device.voip else Kind.ALERT,
            token=device.id,
            app=app,
            registered_at=device.created_at // 1000,
            hardware_id=device.hardware_id,
        )
    except ValidationError as error:
        raise ValueError(f"cannot be used: {_places(error)}") from None


def _places(error: ValidationError) -> str:
    return ", ".join(".".join(map(str, detail["loc"])) or "token" for detail in error.errors())
