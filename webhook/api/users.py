"""/v1/users: a user's devices, contact and preferences, for the app on the phone and for a team's backend."""

from datetime import datetime
from typing import Annotated, Any, Literal

import structlog
from flask import Blueprint
from flask import request as http_request
from pydantic import AfterValidator, ConfigDict, Field, StringConstraints, ValidationInfo, field_validator

from bellhop.audience import tell_of_registration, tell_of_removal
from bellhop.clock import Micros, as_datetime
from bellhop.domain.device import (
    Device,
    Environment,
    HardwareId,
    Kind,
    Platform,
    Provider,
    RingsBy,
    Text,
    read_rings,
)
from bellhop.domain.phone import PhoneHealth
from bellhop.domain.round import Rare
from bellhop.domain.user import Contact, Preferences
from bellhop.domain.web_push import UNKNOWN_PUSH_SERVICE, host_of, read_auth, read_public_key, service_of
from bellhop.field_docs import DocumentedModel
from bellhop.queue.worker_status import apps_of_workers
from bellhop.reachability import Reachability, judge
from bellhop.reachability_facts import read_reachability_facts
from bellhop.store import phones, registry
from bellhop.store.blocking_client import together
from bellhop.store.keys import devices_key, user_key
from bellhop.store.steps import run_blocking
from webhook.api.operation import ApiRequest, Operations
from webhook.api_errors import ApiError, ApiErrorKind
from webhook.context import WebContext
from webhook.phone_reports import note_report

blueprint = Blueprint("users", __name__, url_prefix="/v1")
operations = Operations(blueprint, "Users")
log = structlog.get_logger()

NO_CREDENTIALS = "no credentials are configured for this app, so Bellhop could not push to it"


def _endpoint(endpoint: str) -> str:
    host_of(endpoint)
    return endpoint


class _ApiModel(DocumentedModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Registration(_ApiModel):
    app: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9.:_-]{1,255}$")]
    """The app: its bundle id (APNs, without ".voip"), its Firebase project id (FCM), or its name in Bellhop's settings
    (Web Push), which GET /v1/web-push/key returns."""
    hardware_id: HardwareId = ""
    """An id of the phone, the same for all of its tokens. If several tokens of a phone fit a push, one is used."""
    name: Text = ""
    """The phone's name for people, such as "Jane's iPhone"."""
    health: PhoneHealth | None = None
    """The settings of the phone that decide whether it rings. A field that is left out keeps its last value."""

    def device_fields(self) -> dict[str, Any]:
        """Return the fields of this registration that a Device has."""
        return self.model_dump(include=set(Device.model_fields))


class ApnsRegistration(_Registration):
    """A token of an iPhone. One phone has two: one for calls (voip), one for notifications (alert)."""

    provider: Literal["apns"]
    kind: Kind
    token: Annotated[str, StringConstraints(pattern=r"^(?:[0-9a-fA-F]{2}){8,200}$")]
    """Hexadecimal."""
    environment: Environment = Environment.PRODUCTION
    """sandbox if Xcode installed the app."""
    rings: RingsBy = RingsBy.VOIP
    """alert: the phone is rung by an alert to this token, and never by its VoIP token. Only for a token of kind alert,
    and only with a hardware_id."""

    @field_validator("rings")
    @classmethod
    def _alert_ring_is_possible(cls, rings: RingsBy, info: ValidationInfo) -> RingsBy:
        return read_rings(rings, info)


class FcmRegistration(_Registration):
    """A token of an Android phone, or the Firebase token of an iPhone."""

    provider: Literal["fcm"]
    token: Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]{1,4096}$")]
    platform: Platform | None = None
    """Which phone it is. An iPhone shows notices only if this is `ios`; without it, the phone counts as Android."""


class WebPushKeys(_ApiModel):
    """The keys of a PushSubscription, in base64url."""

    p256dh: Annotated[str, StringConstraints(max_length=255), AfterValidator(read_public_key)]
    auth: Annotated[str, StringConstraints(max_length=255), AfterValidator(read_auth)]


class WebPushRegistration(_Registration):
    """A PushSubscription of a browser, as its toJSON() returns it, or a subscription of UnifiedPush."""

    provider: Literal["webpush"]
    endpoint: Annotated[str, StringConstraints(pattern=r"^https://[\x21-\x7e]{1,4088}$"), AfterValidator(_endpoint)]
    keys: WebPushKeys
    expiration_time: Annotated[float | None, Field(alias="expirationTime", ge=0, lt=2**43)] = None
    """When the subscription ends (unix ms), if the browser says it."""

    def device_fields(self) -> dict[str, Any]:
        """Return the fields of this registration that a Device has."""
        ends_ms = self.expiration_time
        return {
            **super().device_fields(),
            "token": self.endpoint,
            "p256dh": self.keys.p256dh,
            "auth": self.keys.auth,
            "expires_at": None if ends_ms is None else round(ends_ms * 1000),
        }


AnyRegistration = ApnsRegistration | FcmRegistration | WebPushRegistration


class RegisteredDevice(_ApiModel):
    """A registered device. The token is a secret and is not part of it."""

    id: str
    provider: Provider
    kind: Kind
    app: str
    environment: Environment
    hardware_id: str
    name: str
    registered_at: datetime
    rings: Annotated[RingsBy, Field(exclude_if=lambda rings: rings is RingsBy.VOIP)] = RingsBy.VOIP
    """Only if an alert rings the phone; otherwise the answer does not have it."""
    platform: Annotated[Platform | None, Rare] = None
    """Of an FCM token, if the app said it; otherwise the answer does not have it."""
    expires_at: Annotated[datetime | None, Rare] = None
    """When a browser's subscription ends, if the browser said it; otherwise the answer does not have it."""
    disabled_at: Annotated[datetime | None, Rare] = None
    """Only in the list: when an operator disabled the phone. A disabled phone gets no push."""


class DevicesOfUser(_ApiModel):
    """A user's devices, the oldest first."""

    devices: list[RegisteredDevice]


def _registered(device: Device, disabled_at: Micros | None = None) -> RegisteredDevice:
    return RegisteredDevice(
        id=device.key,
        disabled_at=None if disabled_at is None else as_datetime(disabled_at),
        registered_at=as_datetime(device.registered_at),
        expires_at=None if device.expires_at is None else as_datetime(device.expires_at),
        **device.model_dump(
            include=RegisteredDevice.model_fields.keys() - {"registered_at", "expires_at", "disabled_at"}
        ),
    )


@operations.operation("GET", "/users/{user_id}/devices", answer=DevicesOfUser)
def list_devices(request: ApiRequest) -> DevicesOfUser:
    """List a user's devices."""
    tenant, user_id = request.tenant, request.user_id
    reads = ("HVALS", devices_key(tenant, user_id)), registry.read_user_fields(tenant, user_id)
    stored, fields = together(request.context.redis, *reads)
    disabled_since = registry.read_user(*fields).disabled_since
    return DevicesOfUser(
        devices=[_registered(device, disabled_since(device.phone_names)) for device in registry.decode(stored)]
    )


@operations.operation(
    "POST",
    "/users/{user_id}/devices",
    body=Annotated[AnyRegistration, Field(discriminator="provider")],
    answer=RegisteredDevice,
)
def register_device(request: ApiRequest, registration: AnyRegistration) -> RegisteredDevice:
    """Register a device, or the same one again: at every start of the app, and whenever its token changes."""
    _check_credentials(request.context, registration.provider, registration.app)
    if isinstance(registration, WebPushRegistration):
        _check_push_service(request.context, registration.endpoint)
    now = request.context.now()
    device = Device(user_id=request.user_id, registered_at=now, **registration.device_fields())
    registered = run_blocking(registry.register(request.tenant, device), request.context.redis)
    for told in tell_of_registration(request.context.audience, request.tenant, registered, now):
        request.context.run(told)
    if health := registration.health:
        note_report(
            request.context, phones.note_health(request.tenant, device.user_id, device.key, now, health), device.key
        )
    moved = registered.former_owner not in ("", request.user_id)
    log.info("device_registered", device=device.key, moved=moved, left=len(registered.evicted))
    return _registered(device)


def _check_credentials(context: WebContext, provider: str, app: str) -> None:
    """Raise ApiError if no process has credentials for the app: after a typing mistake, its phones would never ring.

    The web process may run with other settings, without keys. So the apps of the live workers count too, and without
    a live worker every app is accepted.
    """
    if (provider, app) in context.settings.push_apps:
        return
    known_apps = apps_of_workers(context.redis)
    if known_apps and (provider, app) not in known_apps:
        log.warning("device_refused", reason="no_credentials", provider=provider)
        raise ApiError(ApiErrorKind.INVALID_BODY, [{"pointer": "#/app", "detail": NO_CREDENTIALS}])


def _check_push_service(context: WebContext, endpoint: str) -> None:
    """Raise ApiError if the endpoint is not of a push service that Bellhop sends to: anybody can name any address."""
    if service_of(endpoint, context.settings.web_push_services) is None:
        log.warning("device_refused", reason="unknown_push_service", provider=str(Provider.WEB_PUSH))
        raise ApiError(ApiErrorKind.INVALID_BODY, [{"pointer": "#/endpoint", "detail": UNKNOWN_PUSH_SERVICE}])


@operations.operation("DELETE", "/users/{user_id}/devices/{device_id}", errors=(ApiErrorKind.DEVICE_NOT_FOUND,))
def remove_device(request: ApiRequest, device_id: str) -> None:
    """Remove a device, when its user logs out."""
    stored: Any = request.context.redis.hget(devices_key(request.tenant, request.user_id), device_id)
    devices = registry.decode([stored] if stored else [])
    if not devices:
        raise ApiError(ApiErrorKind.DEVICE_NOT_FOUND)
    context = request.context
    run_blocking(registry.remove(request.tenant, devices[0]), context.redis)
    if told := tell_of_removal(context.audience, request.tenant, devices[0], context.now()):
        context.run(told)
    log.info("device_removed", device=device_id, reason="by request")


def _stored_json(request: ApiRequest, field: str) -> bytes | None:
    value: Any = request.context.redis.hget(user_key(request.tenant, request.user_id), field)
    return value if isinstance(value, bytes) else None


def _store(request: ApiRequest, field: str, value: Contact | Preferences) -> None:
    """Store a value, or delete it if it is the default, so that most users have nothing to read at a ring."""
    key, redis = user_key(request.tenant, request.user_id), request.context.redis
    if value == type(value)():
        redis.hdel(key, field, registry.WRITTEN_AT)
    else:
        text, now = value.model_dump_json(by_alias=True), str(request.context.now())
        redis.hset(key, mapping={field: text, registry.WRITTEN_AT: now})


@operations.operation("GET", "/users/{user_id}/contact", answer=Contact)
def read_contact(request: ApiRequest) -> Contact:
    """Read a user's e-mail address, language and time zone."""
    return registry.read_stored(Contact, _stored_json(request, "contact"))


@operations.operation("PUT", "/users/{user_id}/contact", body=Contact, answer=Contact)
def write_contact(request: ApiRequest, contact: Contact) -> Contact:
    """Set a user's e-mail address, language and time zone. Fields that are left out are deleted."""
    _store(request, "contact", contact)
    return contact


@operations.operation("GET", "/users/{user_id}/preferences", answer=Preferences)
def read_preferences(request: ApiRequest) -> Preferences:
    """Read a user's preferences: muting, quiet hours and missed-call e-mails."""
    return registry.read_stored(Preferences, _stored_json(request, "preferences"))


@operations.operation("PUT", "/users/{user_id}/preferences", body=Preferences, answer=Preferences)
def write_preferences(request: ApiRequest, preferences: Preferences) -> Preferences:
    """Set a user's preferences. Fields that are left out go back to their defaults."""
    _store(request, "preferences", preferences)
    return preferences


@operations.operation("GET", "/users/{user_id}/reachability", answer=Reachability, query=("caller",))
def read_reachability(request: ApiRequest) -> Reachability:
    """Tell whether a user can be rung now, with the reasons. A user's own token gets no details about the service."""
    context = request.context
    facts = read_reachability_facts(context.redis, context.settings, request.tenant, request.user_id)
    return judge(facts, for_user=request.by_user, caller=http_request.args.get("caller", ""))
