"""The parts of Stream's REST interface that Bellhop reads: a user's devices, and an app's settings."""

import time
import warnings
from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

import aiohttp
import jwt
from pydantic import BaseModel, BeforeValidator, Field, ValidationError

from bellhop.clock import Seconds, from_nanoseconds
from bellhop.domain.device import Device, Kind, Provider
from bellhop.settings import Settings

Model = TypeVar("Model", bound=BaseModel)
ANSWER_LIMIT = 1 << 22
"""Most bytes of an answer. 25 devices take about 10,000 bytes, and an app with all its settings more."""
DEFAULT_PAUSE_S = Seconds(60.0)
"""How long to wait if Stream answers "too many requests" without a time. Its limits are counted by the minute."""


class StreamRefused(Exception):  # noqa: N818 - names what Stream did
    """Stream did not answer the request. The text is the reason.

    `wait_s`: Stream asks to wait so long. `permanent`: every further request would get the same answer. `unreachable`:
    there was no connection.
    """

    def __init__(
        self, reason: str, *, wait_s: Seconds | None = None, permanent: bool = False, unreachable: bool = False
    ) -> None:
        super().__init__(reason)
        self.wait_s, self.permanent, self.unreachable = wait_s, permanent, unreachable


class Listing(NamedTuple):
    """A user's devices, as Stream returns them."""

    devices: list[Any]
    wait_s: Seconds
    """How long to wait before the next request. 0 unless this request used up the minute's limit."""


class StreamApi:
    """Sends requests for one Stream app. The session, with its timeouts, belongs to the caller."""

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
        """Read what Stream returns for `path`. Raises StreamRefused."""
        return (await self._get(path, model))[0]

    async def _get(self, path: str, model: type[Model], **query: str) -> tuple[Model, Seconds]:
        """Read what Stream returns for `path`, and how long to wait before the next request."""
        query |= {"api_key": self._api_key}
        try:
            async with self._session.get(self._url + path, params=query, headers=self._headers) as response:
                if response.status != 200:
                    raise _refused(response)
                body = await _whole(response)
                used_up = response.headers.get("X-RateLimit-Remaining") == "0"
                return model.model_validate_json(body), _until_reset_s(response) if used_up else Seconds(0.0)
        except ValidationError:
            raise StreamRefused("the answer cannot be read") from None
        except (aiohttp.ClientError, TimeoutError) as error:
            unreachable = isinstance(error, aiohttp.ClientConnectorError)
            raise StreamRefused(f"no answer: {type(error).__name__}", unreachable=unreachable) from None


def server_token(secret: str) -> str:
    """Make a server token. PyJWT's warning of a short secret is off, because Stream chooses the secret's length."""
    with warnings.catch_warnings(category=jwt.warnings.InsecureKeyLengthWarning, action="ignore"):
        return jwt.encode({"server": True}, secret, "HS256")


async def _whole(response: aiohttp.ClientResponse) -> bytes:
    """Read an answer to its end. `content.read(n)` would return the part that has arrived so far."""
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > ANSWER_LIMIT:
            raise StreamRefused("the answer is too long")
    return bytes(body)


def _refused(response: aiohttp.ClientResponse) -> StreamRefused:
    if response.status == 429:
        return StreamRefused("too many requests", wait_s=_until_reset_s(response))
    return StreamRefused(f"status {response.status}", permanent=response.status in (401, 403))


def _until_reset_s(response: aiohttp.ClientResponse) -> Seconds:
    """Return the time until Stream's limit starts again. X-RateLimit-Reset is that moment in unix seconds."""
    reset = response.headers.get("X-RateLimit-Reset", "")
    if not (reset.isascii() and reset.isdigit()):
        return DEFAULT_PAUSE_S
    return Seconds(min(max(int(reset) - time.time(), 1.0), 2 * DEFAULT_PAUSE_S))


class _List(BaseModel):
    devices: list[Any]


PROVIDERS = {"apn": Provider.APNS, "firebase": Provider.FCM}
_text = BeforeValidator(lambda value: value or "")


class _Listed(BaseModel):
    """A device as Stream returns it. Empty fields are null or missing."""

    id: str
    push_provider: Literal["apn", "firebase"]
    push_provider_name: Annotated[str, _text] = ""
    created_at: Annotated[int, Field(ge=0)]
    """Unix time in nanoseconds."""
    voip: bool | None = None
    disabled: bool | None = None
    hardware_id: Annotated[str, _text] = ""


class DeviceApps(NamedTuple):
    """Finds the app of a device. Stream names a push provider, by its name on Stream's dashboard."""

    by_name: Mapping[str, str]
    only: Mapping[Provider, str]
    """Used for every other name: the bundle id or Firebase project, if exactly one is configured."""

    @classmethod
    def of(cls, settings: Settings, more: Mapping[str, str] | None = None) -> "DeviceApps":
        """Build it from the settings, and from further names."""
        only = {}
        if len(settings.apns_apps) == 1:
            only[Provider.APNS] = settings.apns_apps[0].topic
        if len(settings.fcm_apps) == 1:
            only[Provider.FCM] = settings.fcm_apps[0].project_id
        return cls({**settings.stream_device_apps, **(more or {})}, only)

    def app_of(self, device: _Listed) -> str:
        """Return the app of a device as Stream returns it. Raises ValueError with a sentence."""
        name, provider = device.push_provider_name, PROVIDERS[device.push_provider]
        app = self.by_name.get(name) or self.only.get(provider)
        if app is None:
            raise ValueError(f'no app is known for Stream\'s push provider "{name}" ({provider})')
        return app


def read_device(user_id: str, listed: Any, apps: DeviceApps) -> Device | None:
    """Read one device of a Listing. Returns None if Stream has disabled the device.

    Raises ValueError with a sentence that does not contain the token.
    """
    try:
        device = _Listed.model_validate(listed)
    except ValidationError as error:
        raise ValueError(f"invalid {_places(error, 'entry')}") from None
    if device.disabled:
        return None
    try:
        return Device(
            user_id=user_id,
            provider=PROVIDERS[device.push_provider],
            kind=Kind.VOIP if device.voip else Kind.ALERT,
            token=device.id,
            app=apps.app_of(device),
            registered_at=from_nanoseconds(device.created_at),
            hardware_id=device.hardware_id,
        )
    except ValidationError as error:
        raise ValueError(f"invalid {_places(error, 'token')}") from None


def _places(error: ValidationError, whole: str) -> str:
    """List the invalid fields; an error without a field is about the `whole`."""
    return ", ".join(".".join(map(str, detail["loc"])) or whole for detail in error.errors())
