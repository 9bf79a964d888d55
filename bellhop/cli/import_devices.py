"""`bellhop devices import`: register the devices that a file lists."""

import sys
import time
from collections.abc import Iterator
from typing import IO

import click
from pydantic import ValidationError

from bellhop.cli.connection import connect, run, warn_about_apps
from bellhop.cli.options import load_settings, select_tenant, tenant_option
from bellhop.cli.output import plain
from bellhop.clock import from_nanoseconds
from bellhop.domain.device import Device, Provider
from bellhop.store import registry
from bellhop.store.scripts import Command
from bellhop.validation_messages import describe_error

BATCH = 500
"""Devices that are sent to Redis at a time."""
LONGEST_LINE = 16_384


@click.command("import")
@click.argument("file", type=click.File("rb"))
@tenant_option
def command(file: IO[bytes], tenant: str) -> None:
    """Register the devices that FILE lists.

    FILE contains one JSON object per line. Use - for standard input. Examples:

    \b
    {"user_id": "jane", "provider": "apns", "kind": "voip", "token": "a1b2…", "app": "com.example.app"}
    {"user_id": "jane", "provider": "fcm", "token": "dGhpcyBp…", "app": "my-firebase-project"}

    Optional fields: environment (production or sandbox), hardware_id, name, registered_at (unix µs). A line that is
    invalid is reported and left out; the other lines are registered. Exits with 1 if a line was left out.
    """
    settings = load_settings()
    tenant, redis = select_tenant(settings, tenant), connect(settings)
    registered = left_out = 0
    batch: list[Command] = []
    apps: set[tuple[Provider, str]] = set()
    for number, line in enumerate(iter(lambda: file.readline(LONGEST_LINE), b""), 1):
        if not line.strip():
            continue
        try:
            device = read_device(line)
        except ValueError as error:
            left_out += 1
            click.echo(f"line {number}: {plain(error)}", err=True)
            continue
        registered += 1
        batch.append(registry.register(tenant, device))
        apps.add((device.provider, device.app))
        if len(batch) == BATCH:
            run(redis, batch)
            batch = []
    run(redis, batch)
    warn_about_apps(redis, settings, apps)
    click.echo(f"{registered} registered, {left_out} left out")
    sys.exit(1 if left_out else 0)


def read_device(line: bytes) -> Device:
    """Parse one device. Raises ValueError with a sentence that never shows the token."""
    try:
        device = Device.model_validate_json(line)
    except ValidationError as error:
        raise ValueError("; ".join(_reasons(error))) from None
    if device.registered_at:
        return device
    return device.model_copy(update={"registered_at": from_nanoseconds(time.time_ns())})


def _reasons(error: ValidationError) -> Iterator[str]:
    for detail in error.errors(include_url=False, include_input=False):
        field = ".".join(str(part) for part in detail["loc"])
        message = "is not a field of a device" if detail["type"] == "extra_forbidden" else describe_error(detail)
        yield f"{field}: {message}" if field else message
