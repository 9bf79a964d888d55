"""`bellhop devices`: the device registry from the command line."""

import json
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import IO, Any

import click
from pydantic import ValidationError

from bellhop.cli.connection import connect, run, settings_of_all, stored, tenant_of, tenant_option, warn_of_apps
from bellhop.cli.output import plain
from bellhop.clock import from_nanoseconds
from bellhop.domain.device import Device, Environment, Kind, Provider
from bellhop.store import registry
from bellhop.store.scripts import Command
from bellhop.validation_messages import describe_error

BATCH = 500
"""Devices that go to Redis at a time."""
LONGEST_LINE = 16_384
COLUMNS = "{:20}  {:8}  {:5}  {:16}  {}"


@click.group()
def devices() -> None:
    """Keep the registry: which user has which phones."""


@devices.command("import")
@click.argument("file", type=click.File("rb"))
@tenant_option
def import_file(file: IO[bytes], tenant: str) -> None:
    """Register the devices in FILE (- for standard input), one JSON object a line.

    \b
    {"user_id": "jane", "provider": "apns", "kind": "voip", "token": "a1b2…", "app": "com.example.app"}
    {"user_id": "jane", "provider": "fcm", "token": "dGhpcyBp…", "app": "my-firebase-project"}

    Also read: environment (production or sandbox), hardware_id, name, registered_at (unix µs). A line that cannot be
    read is named with its reason and left out; the others go in.
    """
    settings = settings_of_all()
    tenant, redis = tenant_of(settings, tenant), connect(settings)
    good = bad = 0
    batch: list[Command] = []
    apps = set()
    for number, line in enumerate(iter(lambda: file.readline(LONGEST_LINE), b""), 1):
        if not line.strip():
            continue
        try:
            device = read_device(line)
        except ValueError as error:
            bad += 1
            click.echo(f"line {number}: {plain(error)}", err=True)
            continue
        good += 1
        batch.append(registry.register(tenant, device))
        apps.add((device.provider, device.app))
        if len(batch) == BATCH:
            run(redis, batch)
            batch = []
    run(redis, batch)
    warn_of_apps(redis, settings, apps)
    click.echo(f"{good} registered, {bad} left out")
    sys.exit(1 if bad else 0)


@devices.command("import-stream")
@click.argument("user_ids", metavar="[USER]...", nargs=-1)
@click.option("--file", type=click.File("r", encoding="utf-8"), help="A file of user ids, one a line (- for stdin).")
@click.option(
    "--app",
    "names",
    metavar="NAME=APP",
    multiple=True,
    help="The app behind a push provider on Stream's dashboard: ios-voip=com.example.app. Needed with several apps.",
)
@click.option(
    "--per-minute",
    type=click.IntRange(1, 10_000),
    default=60,
    show_default=True,
    help="Stream's limit for listing devices, all of your servers together.",
)
@tenant_option
def import_stream(
    user_ids: Sequence[str], file: IO[str] | None, names: Sequence[str], per_minute: int, tenant: str
) -> None:
    """Copy the devices of each USER from Stream's list into the registry.

    A token that the registry has already stays as it is there; what Stream has disabled is left out. Running it again
    does no harm. A user who cannot be listed is named with the reason, and the others go in.
    """
    users = [*user_ids, *(line.strip() for line in file or () if line.strip())]
    if not users:
        raise click.UsageError("name users, or a --file with their ids")
    from bellhop.cli.import_stream import import_users  # noqa: PLC0415 - the other commands need no HTTP client

    sys.exit(import_users(tenant, users, names, per_minute))


@devices.command()
@click.argument("user_id")
@click.option(
    "--provider",
    type=click.Choice([str(choice) for choice in Provider]),
    required=True,
    help="Who delivers its pushes.",
)
@click.option(
    "--kind",
    type=click.Choice([str(choice) for choice in Kind]),
    default=str(Kind.VOIP),
    show_default=True,
    help="What an APNs token is for; an FCM token is for everything.",
)
@click.option("--token", required=True, help="The push token, as the phone got it.")
@click.option("--app", required=True, help="Bundle id (APNs) or Firebase project id (FCM).")
@click.option(
    "--environment",
    type=click.Choice([str(choice) for choice in Environment]),
    default=str(Environment.PRODUCTION),
    show_default=True,
)
@click.option("--name", default="", help="What to call it in explanations.")
@click.option("--hardware-id", default="", help="The physical phone: ties its VoIP and alert tokens together.")
@tenant_option
def add(tenant: str, **fields: Any) -> None:
    """Register one device of USER_ID."""
    try:
        device = read_device(json.dumps(fields).encode())
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    settings = settings_of_all()
    tenant, redis = tenant_of(settings, tenant), connect(settings)
    run(redis, [registry.register(tenant, device)])
    warn_of_apps(redis, settings, [(device.provider, device.app)])
    click.echo(f"registered {device.key}")


@devices.command("list")
@click.argument("user_id")
@tenant_option
def list_devices(user_id: str, tenant: str) -> None:
    """List the devices of USER_ID. Tokens are not shown: a device goes by its key."""
    settings = settings_of_all()
    tenant = tenant_of(settings, tenant)
    found = stored(connect(settings), tenant, user_id)
    if not found:
        click.echo(f"{user_id} has no devices", err=True)
        return
    click.echo(COLUMNS.format("KEY", "PROVIDER", "KIND", "REGISTERED (UTC)", "APP  NAME"))
    for device in found:
        since = datetime.fromtimestamp(device.registered_at / 1e6, UTC).strftime("%Y-%m-%d %H:%M")
        where = "" if device.environment is Environment.PRODUCTION else f" ({device.environment})"
        kind = device.kind if device.provider is Provider.APNS else "-"
        app = f"{device.app}{where}  {device.name}"
        click.echo(plain(COLUMNS.format(device.key, device.provider, kind, since, app)).rstrip())


@devices.command()
@click.argument("user_id")
@click.argument("key")
@tenant_option
def remove(user_id: str, key: str, tenant: str) -> None:
    """Remove the device KEY (as `list` shows it) of USER_ID."""
    settings = settings_of_all()
    tenant, redis = tenant_of(settings, tenant), connect(settings)
    for device in stored(redis, tenant, user_id):
        if device.key == key:
            run(redis, [registry.remove(tenant, device)])
            click.echo(f"removed {key}")
            return
    raise click.ClickException(f"{user_id} has no device {key}: see `bellhop devices list {user_id}`")


def read_device(line: bytes) -> Device:
    """Read one device. Raises ValueError with a sentence that never shows the token."""
    try:
        device = Device.model_validate_json(line)
    except ValidationError as error:
        raise ValueError("; ".join(_reasons(error))) from None
    return (
        device
        if device.registered_at
        else device.model_copy(update={"registered_at": from_nanoseconds(time.time_ns())})
    )


def _reasons(error: ValidationError) -> Iterator[str]:
    for detail in error.errors(include_url=False, include_input=False):
        field = ".".join(str(part) for part in detail["loc"])
        message = "is not a field of a device" if detail["type"] == "extra_forbidden" else describe_error(detail)
        yield f"{field}: {message}" if field else message
