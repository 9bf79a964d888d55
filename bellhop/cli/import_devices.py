"""`bellhop devices import`: register the devices that a file lists."""

import sys
import time
from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import IO

import click
from pydantic import ValidationError
from redis import Redis

from bellhop.audience import Audience, audience, tell_of_registration
from bellhop.cli.connection import connect, warn_about_apps
from bellhop.cli.options import load_settings, select_tenant, tenant_option
from bellhop.cli.progress import progress, say_aside
from bellhop.clock import from_nanoseconds
from bellhop.domain.device import Device, Provider
from bellhop.domain.json_fields import EARLIEST_US
from bellhop.domain.web_push import UNKNOWN_PUSH_SERVICE, service_of
from bellhop.privacy.forgetting_people import forgotten_people
from bellhop.store import registry
from bellhop.store.blocking_client import run_script
from bellhop.store.redis_clock import read_time
from bellhop.store.registry import Registered
from bellhop.store.steps import run_blocking, side_by_side
from bellhop.validation_messages import describe_error

BATCH = 500
"""Devices that are sent to Redis at a time."""
LONGEST_LINE = 16_384
FORGOTTEN_LATELY = (
    "the user was forgotten in the last day, and an import does not bring anybody back. If the user is back, "
    "use `bellhop devices add` or the HTTP API"
)


@click.command("import")
@click.argument("file", type=click.File("rb"))
@tenant_option
def command(file: IO[bytes], tenant: str) -> None:
    """Register the devices that FILE lists.

    FILE contains one JSON object per line. Use - for standard input. Examples:

    \b
    {"user_id": "jane", "provider": "apns", "kind": "voip", "token": "a1b2…", "app": "com.example.app"}
    {"user_id": "jane", "provider": "fcm", "token": "dGhpcyBp…", "app": "my-firebase-project"}
    {"user_id": "jane", "provider": "webpush", "token": "https://…", "p256dh": "BNcR…", "auth": "tBHI…", "app": "web"}

    Optional fields: environment (production or sandbox), hardware_id, name, platform (android or ios, for fcm), rings
    (alert: an alert to this token rings the iPhone), expires_at (unix µs, for webpush), registered_at (unix µs).

    A token that was registered later than that, by another line or before, is not changed. A line that is invalid is
    reported and left out; the other lines are registered. Exits with 1 if a line was left out.
    """
    settings = load_settings()
    tenant, redis = select_tenant(settings, tenant), connect(settings)
    done, hears = _Imported(), audience(settings)
    with progress(_lines(file), "lines", _count(file), done.stopped) as lines:
        for batch in _batches(lines):
            registered = _register(redis, tenant, batch, done, settings.web_push_services)
            announce(redis, hears, tenant, registered)
    warn_about_apps(redis, settings, done.apps)
    later = f", {done.not_changed} registered later than the file says and not changed" if done.not_changed else ""
    click.echo(f"{done.registered} registered, {done.left_out} left out{later}")
    sys.exit(1 if done.left_out else 0)


@dataclass
class _Imported:
    """What is done so far."""

    lines: int = 0
    registered: int = 0
    left_out: int = 0
    not_changed: int = 0
    """Devices whose tokens were registered later than the file says."""
    apps: set[tuple[Provider, str]] = field(default_factory=set)

    def stopped(self) -> str:
        """Say what is done, and how to go on."""
        if not self.lines:
            return ""
        return (
            f"Stopped after line {self.lines}: {self.registered} registered, {self.left_out} left out. To go on, run "
            "the command again: a device that is registered twice is one device."
        )


def _lines(file: IO[bytes]) -> Iterator[bytes]:
    return iter(lambda: file.readline(LONGEST_LINE), b"")


def _count(file: IO[bytes]) -> int | None:
    """Count the lines of a file; None if it can be read only once."""
    if not file.seekable():
        return None
    begin = file.tell()
    count = sum(1 for _ in _lines(file))
    file.seek(begin)
    return count


def _batches(lines: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Yield up to BATCH lines at a time. (The itertools.batched of Python 3.12.)"""
    iterator = iter(lines)
    while batch := list(islice(iterator, BATCH)):
        yield batch


def _register(
    redis: Redis, tenant: str, lines: Sequence[bytes], done: _Imported, services: Sequence[str]
) -> list[Registered]:
    """Register the devices of some lines, and report the lines that are invalid."""
    devices, left_out = [], 0
    is_forgotten = forgotten_people(redis, tenant)
    for number, line in enumerate(lines, done.lines + 1):
        if not line.strip():
            continue
        try:
            device = read_device(line, services)
            if is_forgotten(device.user_id):
                raise ValueError(FORGOTTEN_LATELY)
            devices.append(device)
        except ValueError as error:
            left_out += 1
            say_aside(f"line {number}: {error}")
    steps = [registry.register_unless_newer(tenant, device) for device in _newest(devices)]
    registered = [result for result in run_blocking(side_by_side(steps), redis) if result is not None]
    done.lines += len(lines)
    done.registered += len(registered)
    done.not_changed += len(devices) - len(registered)
    done.left_out += left_out
    done.apps |= {(device.provider, device.app) for device in devices}
    return registered


def _newest(devices: Iterable[Device]) -> Iterable[Device]:
    """Return the newest device of each token; the later line's if the times are equal.

    Devices that are registered side by side do not see each other in Redis.
    """
    return {device.key: device for device in sorted(devices, key=lambda device: device.registered_at)}.values()


def announce(redis: Redis, hears: Audience | None, tenant: str, registrations: Iterable[Registered]) -> None:
    """Announce the devices that left because others were registered."""
    now = read_time(redis.time())
    for registered in registrations:
        for told in tell_of_registration(hears, tenant, registered, now):
            run_script(redis, told)


def read_device(line: bytes, services: Sequence[str]) -> Device:
    """Parse one device; a browser must be at one of these push services.

    Raises ValueError with a sentence that never shows the token.
    """
    try:
        device = Device.model_validate_json(line.removeprefix(BOM_UTF8))  # some editors begin a file with it
    except ValidationError as error:
        raise ValueError("; ".join(_reasons(error))) from None
    if device.provider is Provider.WEB_PUSH and service_of(device.token, services) is None:
        raise ValueError(f"token: {UNKNOWN_PUSH_SERVICE}")
    if 0 < device.registered_at < EARLIEST_US:
        raise ValueError("registered_at: must be in microseconds since 1970")
    if device.registered_at:
        return device
    return device.model_copy(update={"registered_at": from_nanoseconds(time.time_ns())})


def _reasons(error: ValidationError) -> Iterator[str]:
    for detail in error.errors(include_url=False, include_input=False):
        path = ".".join(str(part) for part in detail["loc"])
        message = "is not a field of a device" if detail["type"] == "extra_forbidden" else describe_error(detail)
        yield f"{path}: {message}" if path else message
