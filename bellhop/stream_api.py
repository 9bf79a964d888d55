"""The parts of Stream's REST interface that Bellhop uses.

It reads users' devices, an app's settings and the state of a ring, rejects a ring for a user, and sends custom events.
"""

import time
import warnings
from collections.abc import Awaitable, Callable, Collection, Mapping
from email.utils import parsedate_to_datetime
from enum import IntEnum
from types import MappingProxyType
from typing import Annotated, Any, Literal, NamedTuple, TypeVar
from urllib.parse import quote

import aiohttp
import jwt
from pydantic import BaseModel, BeforeValidator, Field, RootModel, ValidationError

from bellhop.clock import Micros, Seconds, from_nanoseconds, micros
from bellhop.domain.call_snapshot import CallSnapshot, read_call, read_ring_state
from bellhop.domain.device import NOT_REACHED, Device, Kind, Platform, Provider
from bellhop.settings import Settings, StreamApp

Model = TypeVar("Model", bound=BaseModel)
Answer = TypeVar("Answer")
ANSWER_LIMIT = 1 << 22
"""Most bytes of an answer. 25 devices take about 10,000 bytes, and an app with all its settings more."""
MEMBERS = 100
"""Members of a call that Stream returns with it at most, and the number that a call may have when it is created."""
DONE = frozenset({200, 201})
NO_QUERY: Mapping[str, str] = MappingProxyType({})
DEFAULT_PAUSE_S = Seconds(60.0)
"""How long to wait if Stream answers "too many requests" without a time. Its limits are counted by the minute."""


class StreamRefused(Exception):  # noqa: N818 - names what Stream did
    """Stream did not answer the request. The text is the reason.

    `wait_s`: Stream asks to wait so long. `permanent`: every further request would get the same answer. `unreachable`:
    there was no connection. `status`: Stream's answer, 0 if there was none.
    """

    def __init__(
        self,
        reason: str,
        *,
        wait_s: Seconds | None = None,
        permanent: bool = False,
        unreachable: bool = False,
        status: int = 0,
    ) -> None:
        super().__init__(reason)
        self.wait_s, self.permanent, self.unreachable, self.status = wait_s, permanent, unreachable, status


class Listing(NamedTuple):
    """A user's devices, as Stream returns them."""

    devices: list[Any]
    wait_s: Seconds
    """How long to wait before the next request. 0 unless this request used up the minute's limit."""


class RingQuestion(NamedTuple):
    """Which ring is asked about."""

    cid: str
    """The call, as "type:id"."""
    session_id: str
    """The ring's session; empty for the call's latest."""
    creator_id: str
    """The user who created the call; empty if that is not known."""


class _Way(IntEnum):
    """How the state of a ring can be read, in the order in which the ways are tried.

    Stream does not document whether a server token may use the first way. A token of the call's creator may use it, as
    the app of any user does. The last way is documented.
    """

    RING_STATE = 0
    RING_STATE_AS_CREATOR = 1
    CALL = 2


REJECT_TOKEN_S = 300
"""How long the token that rejects a ring for a user is valid."""
CLOCK_MARGIN_S = 5
"""How long before the request the token counts as issued, in case our clock is ahead of Stream's."""
OTHER_WAY = frozenset({400, 401, 403, 404, 405})
"""Statuses after which another way may still succeed."""


class StreamApi:
    """Sends requests for one Stream app. The session, with its timeouts, belongs to the caller.

    If Stream does not accept a secret, the next one is tried: while a secret is rotated, Stream may know only one.
    """

    def __init__(self, session: aiohttp.ClientSession, url: str, api_key: str, *secrets: str) -> None:
        self._session, self._url, self._api_key = session, url.rstrip("/"), api_key
        self._secrets = secrets
        self._current = 0
        """The index of the secret to try first. After a refusal it is the index of the next secret."""
        self._first_way = _Way.RING_STATE
        """The way to try first. After a refusal it is the next way."""
        self._ahead_s: Seconds | None = None
        """Stream's unix time minus the monotonic clock here."""

    def now(self) -> Micros | None:
        """Return the time by Stream's clock, to the second; None if no answer has given it."""
        return None if self._ahead_s is None else micros(Seconds(time.monotonic() + self._ahead_s))

    @property
    def secret(self) -> str:
        """The API secret that Stream accepted last, or the first one."""
        return self._secrets[self._current]

    async def devices(self, user_id: str) -> Listing:
        """List a user's devices. Raises StreamRefused."""
        listing, wait_s = await self._with_a_secret(
            lambda secret: self._get("/api/v2/devices", _List, server_token(secret), user_id=user_id)
        )
        return Listing(listing.devices, wait_s)

    async def get(self, path: str, model: type[Model]) -> Model:
        """Read what Stream returns for `path`. Raises StreamRefused."""
        return (await self._with_a_secret(lambda secret: self._get(path, model, server_token(secret))))[0]

    async def read_call(self, cid: str) -> Mapping[str, Any]:
        """Read a call and its first MEMBERS members. Raises StreamRefused."""
        query = {"members_limit": str(MEMBERS)}
        answer, _ = await self._with_a_secret(
            lambda secret: self._get(_call_path(cid), _Json, server_token(secret), **query)
        )
        return answer.root

    async def ring_state(self, ring: RingQuestion, permit: Callable[[], Awaitable[None]]) -> CallSnapshot | None:
        """Read the state of a ring; None if Stream does not know the call. Raises StreamRefused.

        `permit` is awaited before each request, since the first question to an app may need several. It may raise.
        """
        return await self._with_a_secret(lambda secret: self._try_each_way(ring, permit, secret))

    async def reject(self, cid: str, user_id: str, reason: str) -> None:
        """Reject the call's ring as this user, with a token that is valid for a short time. Raises StreamRefused."""
        now_s = time.time() if self._ahead_s is None else time.monotonic() + self._ahead_s
        issued_s = int(now_s) - CLOCK_MARGIN_S
        claims = {"user_id": user_id, "iat": issued_s, "exp": issued_s + REJECT_TOKEN_S}
        path, body = f"{_call_path(cid)}/reject", {"reason": reason}
        await self._with_a_secret(lambda secret: self._send("POST", path, _Json, _token(secret, claims), body=body))

    async def send_event(self, cid: str, user_id: str, custom: Mapping[str, str]) -> Seconds:
        """Send a custom event to the participants of a call, in the name of a user. Raises StreamRefused.

        Returns how long to wait before the next request; 0 unless this one used up the limit.
        """
        path, body = f"{_call_path(cid)}/event", {"user_id": user_id, "custom": custom}
        _, wait_s = await self._with_a_secret(
            lambda secret: self._send("POST", path, _Json, server_token(secret), body=body)
        )
        return wait_s

    async def _with_a_secret(self, request: Callable[[str], Awaitable[Answer]]) -> Answer:
        """Send a request with the secret that succeeded last, and then with the others until Stream accepts one."""
        count = len(self._secrets)
        for number in range(self._current, self._current + count):
            try:
                return await request(self._secrets[number % count])
            except StreamRefused as refused:
                if not refused.permanent:
                    raise
                self._current, last = (number + 1) % count, refused
        raise last

    async def _try_each_way(
        self, ring: RingQuestion, permit: Callable[[], Awaitable[None]], secret: str
    ) -> CallSnapshot | None:
        for way in _Way:
            if way < self._first_way or (way is _Way.RING_STATE_AS_CREATOR and not ring.creator_id):
                continue
            await permit()
            try:
                state = await self._ring_state(way, ring, secret)
            except StreamRefused as refused:
                self._first_way = _way_after(way, refused)
                if way is not _Way.CALL:
                    continue
                if refused.status == 404:
                    break
                raise
            self._first_way = way
            return state
        return None

    async def _ring_state(self, way: _Way, ring: RingQuestion, secret: str) -> CallSnapshot:
        path = _call_path(ring.cid)
        if way is _Way.CALL:
            return read_call((await self._get(path, _Json, server_token(secret)))[0].root)
        as_creator = way is _Way.RING_STATE_AS_CREATOR
        token = user_token(secret, ring.creator_id) if as_creator else server_token(secret)
        session = {"call_session_id": ring.session_id} if ring.session_id else {}
        return read_ring_state((await self._get(f"{path}/ring_state", _Json, token, **session))[0].root)

    def _note_time(self, response: aiohttp.ClientResponse) -> None:
        """Note the time that the answer gives, in whole seconds."""
        try:
            date = parsedate_to_datetime(response.headers.get("Date", ""))
        except ValueError:
            return
        self._ahead_s = Seconds(date.timestamp() + 0.5 - time.monotonic())

    async def _get(self, path: str, model: type[Model], token: str, **query: str) -> tuple[Model, Seconds]:
        """Read what Stream returns for `path`, and how long to wait before the next request."""
        return await self._send("GET", path, model, token, query=query)

    async def _send(
        self,
        method: str,
        path: str,
        model: type[Model],
        token: str,
        *,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, str] = NO_QUERY,
    ) -> tuple[Model, Seconds]:
        """Send a request, with `body` as JSON. Returns the answer, and how long to wait before the next request."""
        query = {**query, "api_key": self._api_key}
        headers = {"Authorization": token, "stream-auth-type": "jwt"}
        try:
            # A redirect is an error: it could lead the API key and the token elsewhere.
            async with self._session.request(
                method, self._url + path, params=query, headers=headers, json=body, allow_redirects=False
            ) as response:
                self._note_time(response)
                if response.status not in DONE:
                    raise _refused(response)
                answer = await _whole(response)
                used_up = response.headers.get("X-RateLimit-Remaining") == "0"
                return model.model_validate_json(answer), _until_reset_s(response) if used_up else Seconds(0.0)
        except ValidationError:
            raise StreamRefused("the answer cannot be read") from None
        except (aiohttp.ClientError, TimeoutError) as error:
            unreachable = isinstance(error, aiohttp.ClientConnectorError)
            raise StreamRefused(f"no answer: {type(error).__name__}", unreachable=unreachable) from None


def _call_path(cid: str) -> str:
    return "/api/v2/video/call/" + "/".join(quote(part, safe="") for part in cid.partition(":")[::2])


def stream_apis(settings: Settings, session: aiohttp.ClientSession) -> dict[str, StreamApi]:
    """Return the Stream apps of the settings, by tenant."""
    return {app.tenant: stream_api(settings.stream_api_url, session, app) for app in settings.stream_apps}


def stream_api(url: str, session: aiohttp.ClientSession, app: StreamApp) -> StreamApi:
    """Return a Stream app of the settings."""
    secrets = (secret.get_secret_value() for secret in app.api_secrets)
    return StreamApi(session, url, app.api_keys[0], *secrets)


def server_token(secret: str) -> str:
    """Make a server token."""
    return _token(secret, {"server": True})


def user_token(secret: str, user_id: str) -> str:
    """Make a token of a user."""
    return _token(secret, {"user_id": user_id})


def _token(secret: str, claims: dict[str, Any]) -> str:
    """Sign a token. PyJWT's warning of a short secret is off, because Stream chooses the secret's length."""
    with warnings.catch_warnings(category=jwt.warnings.InsecureKeyLengthWarning, action="ignore"):
        return jwt.encode(claims, secret, "HS256")


def _way_after(way: _Way, refused: StreamRefused) -> _Way:
    """Return the way to try next. Raises `refused` if every way would get the same answer."""
    if refused.status not in OTHER_WAY:
        raise refused
    if way is _Way.CALL:
        return _Way.RING_STATE
    # After 404 another token changes nothing: this Stream has no ring_state, or it does not know the call.
    return _Way.CALL if refused.status == 404 else _Way(way + 1)


async def _whole(response: aiohttp.ClientResponse) -> bytes:
    """Read an answer to its end. `content.read(n)` would return the part that has arrived so far."""
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > ANSWER_LIMIT:
            raise StreamRefused("the answer is too long")
    return bytes(body)


def _refused(response: aiohttp.ClientResponse) -> StreamRefused:
    status = response.status
    if status == 429:
        return StreamRefused("too many requests", wait_s=_until_reset_s(response), status=status)
    return StreamRefused(f"status {status}", permanent=status in (401, 403), status=status)


def _until_reset_s(response: aiohttp.ClientResponse) -> Seconds:
    """Return the time until Stream's limit starts again. X-RateLimit-Reset is that moment in unix seconds."""
    reset = response.headers.get("X-RateLimit-Reset", "")
    if not (reset.isascii() and reset.isdigit()):
        return DEFAULT_PAUSE_S
    return Seconds(min(max(int(reset) - time.time(), 1.0), 2 * DEFAULT_PAUSE_S))


_Json = RootModel[dict[str, Any]]


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


class UnreachableDevice(ValueError):  # noqa: N818 - it says what the device is
    """Bellhop cannot send pushes to the device. `provider` is Stream's name of its push provider."""

    def __init__(self, provider: str) -> None:
        super().__init__(f"Bellhop does not reach phones of {NOT_REACHED[provider]}")
        self.provider = provider


class DeviceApps(NamedTuple):
    """Finds the app of a device. Stream names a push provider, by its name on Stream's dashboard."""

    by_name: Mapping[str, str]
    only: Mapping[Provider, str]
    """Used for every other name: the bundle id or Firebase project, if exactly one is configured."""
    ios: Collection[str] = ()
    """The names with which iPhones register their Firebase tokens."""

    @classmethod
    def of(cls, settings: Settings, more: Mapping[str, str] | None = None) -> "DeviceApps":
        """Build it from the settings, and from further names."""
        only = {}
        if len(settings.apns_apps) == 1:
            only[Provider.APNS] = settings.apns_apps[0].topic
        if len(settings.fcm_apps) == 1:
            only[Provider.FCM] = settings.fcm_apps[0].project_id
        return cls({**settings.stream_device_apps, **(more or {})}, only, settings.stream_ios_providers)

    def app_of(self, device: _Listed) -> str:
        """Return the app of a device as Stream returns it. Raises ValueError with a sentence."""
        name, provider = device.push_provider_name, PROVIDERS[device.push_provider]
        app = self.by_name.get(name) or self.only.get(provider)
        if app is None:
            raise ValueError(f'no app is known for Stream\'s push provider "{name}" ({provider})')
        return app


def read_device(user_id: str, listed: Any, apps: DeviceApps) -> Device | None:
    """Read one device of a Listing. Returns None if Stream has disabled the device.

    Raises ValueError with a sentence that does not contain the token; UnreachableDevice for a phone of NOT_REACHED.
    """
    provider = listed.get("push_provider") if isinstance(listed, dict) else None
    if isinstance(provider, str) and provider in NOT_REACHED:
        raise UnreachableDevice(provider)
    try:
        device = _Listed.model_validate(listed)
    except ValidationError as error:
        raise ValueError(f"invalid {_paths(error, 'entry')}") from None
    if device.disabled:
        return None
    is_ios = device.push_provider == "firebase" and device.push_provider_name in apps.ios
    try:
        return Device(
            user_id=user_id,
            provider=PROVIDERS[device.push_provider],
            kind=Kind.VOIP if device.voip else Kind.ALERT,
            token=device.id,
            app=apps.app_of(device),
            registered_at=from_nanoseconds(device.created_at),
            hardware_id=device.hardware_id,
            platform=Platform.IOS if is_ios else None,
        )
    except ValidationError as error:
        raise ValueError(f"invalid {_paths(error, 'token')}") from None


def _paths(error: ValidationError, whole: str) -> str:
    """List the invalid fields; an error without a field is about the `whole`."""
    return ", ".join(".".join(map(str, detail["loc"])) or whole for detail in error.errors())
