"""/v1: users' devices, contact and preferences, for the app on the phone and for a team's backend."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import structlog
from flask import Blueprint
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from bellhop.domain.device import Device, Environment, Kind, Provider
from bellhop.domain.user import Contact, Preferences
from bellhop.queue.worker_status import apps_of_workers
from bellhop.store import registry
from bellhop.store.keys import devices_key, user_key
from webhook.api.operation import ApiRequest, Operations
from webhook.api_errors import ApiProblem, Problem
from webhook.context import WebContext

blueprint = Blueprint("people", __name__, url_prefix="/v1")
operations = Operations(blueprint)
log = structlog.get_logger()

NO_CREDENTIALS = "no credentials are configured for this app: it could not be rung"


class _ApiModel(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class _Registration(_ApiModel):
    app: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9.:_-]{1,255}$")]
    """The app on the phone: its bundle id (APNs, without ".voip") or Firebase project id (FCM)."""
    hardware_id: Annotated[str, StringConstraints(max_length=255)] = ""
    """The physical phone, the same for all of its tokens: of several that fit, one is used."""
    name: Annotated[str, StringConstraints(max_length=255)] = ""
    """What people call the phone."""


class ApnsRegistration(_Registration):
    """A token of an iPhone. One phone has two: one for calls (voip), one for notifications (alert)."""

    provider: Literal["apns"]
    kind: Kind
    token: Annotated[str, StringConstraints(pattern=r"^(?:[0-9a-fA-F]{2}){8,200}$")]
    """Hexadecimal."""
    environment: Environment = Environment.PRODUCTION
    """sandbox for what Xcode installed."""


class FcmRegistration(_Registration):
    """A token of an Android phone."""

    provider: Literal["fcm"]
    token: Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]{1,4096}$")]


class RegisteredDevice(_ApiModel):
    """A device as the registry has it. Its token is a secret and is not shown."""

    id: str
    provider: Provider
    kind: Kind
    app: str
    environment: Environment
    hardware_id: str
    name: str
    registered_at: datetime


class Devices(_ApiModel):
    """A user's devices, the oldest first."""

    devices: list[RegisteredDevice]


def _shown(device: Device) -> RegisteredDevice:
    return RegisteredDevice(
        id=device.key,
        registered_at=datetime.fromtimestamp(device.registered_at / 1e6, UTC),
        **device.model_dump(include=RegisteredDevice.model_fields.keys() - {"registered_at"}),
    )


@operations.operation("GET", "/users/{user_id}/devices", answer=Devices)
def list_devices(asked: ApiRequest) -> Devices:
    """List a user's devices."""
    stored: Any = asked.context.redis.hvals(devices_key(asked.tenant, asked.user_id))
    return Devices(devices=[_shown(device) for device in registry.decode(stored)])


@operations.operation(
    "POST",
    "/users/{user_id}/devices",
    body=Annotated[ApnsRegistration | FcmRegistration, Field(discriminator="provider")],
    answer=RegisteredDevice,
)
def register_device(asked: ApiRequest, registration: ApnsRegistration | FcmRegistration) -> RegisteredDevice:
    """Register a device, or the same one again: at every start of the app, and whenever its token changes."""
    _refuse_an_app_that_cannot_be_rung(asked.context, registration.provider, registration.app)
    device = Device(user_id=asked.user_id, registered_at=asked.context.now(), **registration.model_dump())
    before, left = asked.context.run(registry.register(asked.tenant, device))
    log.info("device_registered", device=device.key, moved=before.decode() not in ("", asked.user_id), left=left)
    return _shown(device)


def _refuse_an_app_that_cannot_be_rung(context: WebContext, provider: str, app: str) -> None:
    """Raise ApiProblem when nobody has credentials for an app: a typing mistake would keep all of its phones silent.

    The web process may have settings of its own, without keys, so the living workers are asked; where none lives,
    the app is believed.
    """
    if (provider, app) in context.settings.push_apps:
        return
    known = apps_of_workers(context.redis)
    if known and (provider, app) not in known:
        log.warning("device_refused", reason="no_credentials", provider=provider)
        raise ApiProblem(Problem.INVALID, [{"pointer": "#/app", "detail": NO_CREDENTIALS}])


@operations.operation("DELETE", "/users/{user_id}/devices/{device_id}", problems=(Problem.NO_SUCH_DEVICE,))
def remove_device(asked: ApiRequest, device_id: str) -> None:
    """Remove a device, when its user logs out."""
    stored: Any = asked.context.redis.hget(devices_key(asked.tenant, asked.user_id), device_id)
    devices = registry.decode([stored] if stored else [])
    if not devices:
        raise ApiProblem(Problem.NO_SUCH_DEVICE)
    asked.context.run(registry.remove(asked.tenant, devices[0]))
    log.info("device_removed", device=device_id, reason="by request")


def _stored(asked: ApiRequest, field: str) -> bytes | None:
    value: Any = asked.context.redis.hget(user_key(asked.tenant, asked.user_id), field)
    return value if isinstance(value, bytes) else None


def _store(asked: ApiRequest, field: str, value: Contact | Preferences) -> None:
    """Store what differs from knowing nothing, so that a ring has nothing to read of most users."""
    key = user_key(asked.tenant, asked.user_id)
    if value == type(value)():
        asked.context.redis.hdel(key, field)
    else:
        asked.context.redis.hset(key, field, value.model_dump_json(by_alias=True))


@operations.operation("GET", "/users/{user_id}/contact", answer=Contact)
def read_contact(asked: ApiRequest) -> Contact:
    """Read where and how a user is written to."""
    return registry.known(Contact, _stored(asked, "contact"))


@operations.operation("PUT", "/users/{user_id}/contact", body=Contact, answer=Contact)
def write_contact(asked: ApiRequest, contact: Contact) -> Contact:
    """Set where and how to write to a user. Replaces all of it: what is left out is forgotten."""
    _store(asked, "contact", contact)
    return contact


@operations.operation("GET", "/users/{user_id}/preferences", answer=Preferences)
def read_preferences(asked: ApiRequest) -> Preferences:
    """Read when and how a user wants to be told about calls."""
    return registry.known(Preferences, _stored(asked, "preferences"))


@operations.operation("PUT", "/users/{user_id}/preferences", body=Preferences, answer=Preferences)
def write_preferences(asked: ApiRequest, preferences: Preferences) -> Preferences:
    """Set when and how a user wants to be told about calls. Replaces all of it."""
    _store(asked, "preferences", preferences)
    return preferences
