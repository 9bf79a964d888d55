"""`bellhop devices`: the device registry."""

import json
from collections.abc import Iterable
from functools import partial
from typing import Any, Literal

import click

from bellhop.audience import audience, tell_of_removal
from bellhop.cli import import_devices, import_stream
from bellhop.cli.connection import connect, devices_of, warn_about_apps
from bellhop.cli.import_devices import announce, read_device
from bellhop.cli.options import choice, environment_option, load_settings, select_tenant, tenant_option, user_argument
from bellhop.cli.output import json_option, plain, print_json
from bellhop.clock import Micros, as_datetime
from bellhop.domain.device import Device, Environment, Kind, Platform, Provider, RingsBy
from bellhop.explain.sentences import phone_name
from bellhop.privacy.forgetting_people import forgotten_at, lift
from bellhop.store import registry
from bellhop.store.blocking_client import run_script, together
from bellhop.store.disabled_phones import of_same_phone, switch_phones
from bellhop.store.redis_clock import read_time
from bellhop.store.registered_devices import differ_in_capitals, in_other_capitals
from bellhop.store.steps import run_blocking

COLUMNS = "{:20}  {:8}  {:5}  {:16}  {}"


@click.group("devices")
def command() -> None:
    """Add, import, list, disable and remove users' devices."""


command.add_command(import_devices.command)
command.add_command(import_stream.command)


@command.command()
@user_argument
@click.option(
    "--provider",
    type=choice(Provider),
    required=True,
    help="apns for Apple, fcm for Google, webpush for a browser.",
)
@click.option(
    "--kind",
    type=choice(Kind),
    default=str(Kind.VOIP),
    show_default=True,
    help="Kind of an APNs token: voip for calls, alert for notices. Other tokens serve both.",
)
@click.option(
    "--token",
    required=True,
    help="Push token, as the phone received it; of a browser, the endpoint of its subscription.",
)
@click.option(
    "--app", required=True, help="Bundle id (APNs), Firebase project id (FCM) or name of the web app (webpush)."
)
@environment_option
@click.option("--name", default="", help="Name of the device, for lists and explanations.")
@click.option(
    "--platform",
    type=choice(Platform),
    help="Which phone has the FCM token: an iPhone shows notices only with ios.",
)
@click.option("--p256dh", default="", help="Public key of a browser's subscription.")
@click.option("--auth", default="", help="Secret of a browser's subscription.")
@click.option("--hardware-id", default="", help="Id of the phone. The same for its VoIP and its alert token.")
@click.option(
    "--rings",
    type=choice(RingsBy),
    default=str(RingsBy.VOIP),
    show_default=True,
    help="Push that rings the iPhone. alert: an alert to this token of kind alert, where CallKit may not be used.",
)
@tenant_option
def add(tenant: str, **fields: Any) -> None:
    """Register one device of USER_ID.

    If the user was forgotten in the last day, Bellhop knows the user again from now on (docs/privacy.md).
    """
    settings = load_settings()
    try:
        device = read_device(json.dumps(fields).encode(), settings.web_push_services)
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    tenant, redis = select_tenant(settings, tenant), connect(settings)
    run_all = partial(together, redis)
    if forgotten := forgotten_at(run_all, tenant, device.user_id):
        lift(run_all, forgotten[1])
    registered = run_blocking(registry.register(tenant, device), redis)
    announce(redis, audience(settings), tenant, [registered])
    warn_about_apps(redis, settings, [(device.provider, device.app)])
    click.echo(f"registered {device.key}")


@command.command("list")
@user_argument
@json_option
@tenant_option
def list_devices(user_id: str, tenant: str, as_json: bool) -> None:
    """List the devices of USER_ID, without their tokens."""
    settings = load_settings()
    tenant = select_tenant(settings, tenant)
    redis = connect(settings)
    devices = devices_of(redis, tenant, user_id)
    if not devices:
        others = in_other_capitals(redis, tenant, user_id)
        click.echo(plain(differ_in_capitals(user_id, others) or f"{user_id} has no devices"), err=True)
    user: Any = redis.execute_command(*registry.read_user_fields(tenant, user_id))  # type: ignore[no-untyped-call]
    disabled = registry.read_user(*user).disabled_since
    if as_json:
        print_json([_as_json(device, disabled(device.phone_names)) for device in devices])
    elif devices:
        click.echo(COLUMNS.format("KEY", "PROVIDER", "KIND", "REGISTERED (UTC)", "APP  PHONE"))
        for device in devices:
            at = disabled(device.phone_names)
            click.echo(plain(_row(device)) + (f"  (disabled since {as_datetime(at):%Y-%m-%d %H:%M} UTC)" if at else ""))


def _row(device: Device) -> str:
    environment = "" if device.environment is Environment.PRODUCTION else f" ({device.environment})"
    kind = device.kind if device.provider is Provider.APNS else device.platform or "-"
    if device.rings_by_alert:
        kind = "rings"
    app = f"{device.app}{environment}  {phone_name(device.label)}"
    return COLUMNS.format(device.key, device.provider, kind, f"{as_datetime(device.registered_at):%Y-%m-%d %H:%M}", app)


def _as_json(device: Device, disabled_at: Micros | None) -> dict[str, str]:
    shown = device.model_dump(
        mode="json", include={"provider", "kind", "app", "environment", "hardware_id", "platform", "rings"}
    )
    times = {"registered_at": _rfc3339(device.registered_at)}
    if disabled_at is not None:
        times["disabled_at"] = _rfc3339(disabled_at)
    return {"key": device.key, "phone": phone_name(device.label), **shown, **times}


def _rfc3339(at: Micros) -> str:
    """Write a time in UTC."""
    return as_datetime(at).isoformat().replace("+00:00", "Z")


@command.command()
@user_argument
@click.argument("key")
@tenant_option
def disable(user_id: str, key: str, tenant: str) -> None:
    """Send no pushes to a phone of USER_ID any more.

    KEY is the key that `bellhop devices list` shows. All devices of the same phone are disabled. They stay
    disabled until you enable them, also if the app registers them again.
    """
    _switch(user_id, key, tenant, "disabled")


@command.command()
@user_argument
@click.argument("key")
@tenant_option
def enable(user_id: str, key: str, tenant: str) -> None:
    """Send pushes to a disabled phone of USER_ID again.

    KEY is the key that `bellhop devices list` shows. All devices of the same phone are enabled.
    """
    _switch(user_id, key, tenant, "enabled")


def _switch(user_id: str, key: str, tenant: str, done: Literal["disabled", "enabled"]) -> None:
    settings = load_settings()
    tenant, redis = select_tenant(settings, tenant), connect(settings)
    devices = devices_of(redis, tenant, user_id)
    device = _device(devices, user_id, key)
    phone = of_same_phone(device, devices)
    at = read_time(redis.time()) if done == "disabled" else None
    run_script(redis, switch_phones(tenant, user_id, phone, disabled_at=at))
    for other in phone:
        click.echo(f"{done} {other.key}")


def _device(devices: Iterable[Device], user_id: str, key: str) -> Device:
    for device in devices:
        if device.key == key:
            return device
    raise click.ClickException(f"{user_id} has no device {key}: see `bellhop devices list {user_id}`")


@command.command()
@user_argument
@click.argument("key")
@tenant_option
def remove(user_id: str, key: str, tenant: str) -> None:
    """Remove a device of USER_ID.

    KEY is the key that `bellhop devices list` shows.
    """
    settings = load_settings()
    tenant, redis = select_tenant(settings, tenant), connect(settings)
    device = _device(devices_of(redis, tenant, user_id), user_id, key)
    told = tell_of_removal(audience(settings), tenant, device, read_time(redis.time()))
    run_blocking(registry.remove(tenant, device), redis)
    if told:
        run_script(redis, told)
    click.echo(f"removed {key}")
