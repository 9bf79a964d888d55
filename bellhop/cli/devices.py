"""`bellhop devices`: the device registry."""

import json
from datetime import UTC, datetime
from typing import Any

import click

from bellhop.audience import audience, tell_of_registration, tell_of_removal
from bellhop.cli import import_devices, import_stream
from bellhop.cli.connection import connect, devices_of, warn_about_apps
from bellhop.cli.import_devices import read_device
from bellhop.cli.options import environment_option, load_settings, select_tenant, tenant_option
from bellhop.cli.output import json_option, plain, print_json
from bellhop.domain.device import Device, Environment, Kind, Platform, Provider
from bellhop.explain.sentences import phone_name
from bellhop.store import registry
from bellhop.store.blocking_client import run_script
from bellhop.store.redis_clock import read_time
from bellhop.store.registered_devices import differ_in_capitals, in_other_capitals
from bellhop.store.steps import run_blocking

COLUMNS = "{:20}  {:8}  {:5}  {:16}  {}"


@click.group("devices")
def command() -> None:
    """Add, import, list and remove users' devices."""


command.add_command(import_devices.command)
command.add_command(import_stream.command)


@command.command()
@click.argument("user_id")
@click.option(
    "--provider",
    type=click.Choice([str(choice) for choice in Provider]),
    required=True,
    help="apns for Apple, fcm for Google, webpush for a browser.",
)
@click.option(
    "--kind",
    type=click.Choice([str(choice) for choice in Kind]),
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
    type=click.Choice([str(choice) for choice in Platform]),
    help="Which phone has the FCM token: an iPhone shows notices only with ios.",
)
@click.option("--p256dh", default="", help="Public key of a browser's subscription.")
@click.option("--auth", default="", help="Secret of a browser's subscription.")
@click.option("--hardware-id", default="", help="Id of the phone. The same for its VoIP and its alert token.")
@tenant_option
def add(tenant: str, **fields: Any) -> None:
    """Register one device of USER_ID."""
    settings = load_settings()
    try:
        device = read_device(json.dumps(fields).encode(), settings.web_push_services)
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    tenant, redis = select_tenant(settings, tenant), connect(settings)
    registered = run_blocking(registry.register(tenant, device), redis)
    for told in tell_of_registration(audience(settings), tenant, registered, read_time(redis.time())):
        run_script(redis, told)
    warn_about_apps(redis, settings, [(device.provider, device.app)])
    click.echo(f"registered {device.key}")


@command.command("list")
@click.argument("user_id")
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
    if as_json:
        print_json([_as_json(device) for device in devices])
    elif devices:
        click.echo(COLUMNS.format("KEY", "PROVIDER", "KIND", "REGISTERED (UTC)", "APP  PHONE"))
        for device in devices:
            click.echo(plain(_row(device)))


def _row(device: Device) -> str:
    environment = "" if device.environment is Environment.PRODUCTION else f" ({device.environment})"
    kind = device.kind if device.provider is Provider.APNS else device.platform or "-"
    app = f"{device.app}{environment}  {phone_name(device.label)}"
    return COLUMNS.format(device.key, device.provider, kind, f"{_registered_at(device):%Y-%m-%d %H:%M}", app)


def _as_json(device: Device) -> dict[str, str]:
    shown = device.model_dump(
        mode="json", include={"provider", "kind", "app", "environment", "hardware_id", "platform"}
    )
    registered_at = _registered_at(device).isoformat().replace("+00:00", "Z")
    return {"key": device.key, "phone": phone_name(device.label), **shown, "registered_at": registered_at}


def _registered_at(device: Device) -> datetime:
    return datetime.fromtimestamp(device.registered_at / 1e6, UTC)


@command.command()
@click.argument("user_id")
@click.argument("key")
@tenant_option
def remove(user_id: str, key: str, tenant: str) -> None:
    """Remove a device of USER_ID.

    KEY is the key that `bellhop devices list` shows.
    """
    settings = load_settings()
    tenant, redis = select_tenant(settings, tenant), connect(settings)
    for device in devices_of(redis, tenant, user_id):
        if device.key == key:
            told = tell_of_removal(audience(settings), tenant, device, read_time(redis.time()))
            run_blocking(registry.remove(tenant, device), redis)
            if told:
                run_script(redis, told)
            click.echo(f"removed {key}")
            return
    raise click.ClickException(f"{user_id} has no device {key}: see `bellhop devices list {user_id}`")
