"""`bellhop devices import-stream`: copy users' devices from Stream, within Stream's rate limit."""

import asyncio
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import IO

import aiohttp
import click

from bellhop.audience import audience
from bellhop.backoff import pause_s
from bellhop.cli.connection import connect, warn_about_apps
from bellhop.cli.import_devices import FORGOTTEN_LATELY, announce
from bellhop.cli.options import environment_option, load_settings, select_stream_app, tenant_option
from bellhop.cli.output import json_option, plain, print_json
from bellhop.cli.progress import progress, say_aside
from bellhop.clock import Seconds
from bellhop.domain.device import NOT_REACHED, Environment, Provider
from bellhop.explain.sentences import MAX_NAMED
from bellhop.privacy.forgetting_people import KnownForgotten
from bellhop.settings import Settings, StreamApp
from bellhop.store import registry
from bellhop.store.blocking_client import together
from bellhop.store.steps import run_blocking, side_by_side
from bellhop.store.unreachable_devices import keep_unreachable
from bellhop.stream_api import (
    DeviceApps,
    Listing,
    StreamApi,
    StreamRefused,
    UnreachableDevice,
    read_device,
    stream_api,
)

TIMEOUT_S = 30.0
MAX_ATTEMPTS = 5
"""Requests for the devices of one user before the user is left out."""
PAUSE_S = (1.0, 60.0, (1.0, 1.0))
"""First and longest pause between attempts, doubled each time; without jitter, since only one command asks."""
COUNTED = ("registered", "already known", "disabled at Stream", "left out")


@click.command("import-stream")
@click.argument("user_ids", metavar="[USER]...", nargs=-1)
@click.option(
    "--file",
    type=click.File("r", encoding="utf-8-sig"),  # some editors begin a file with a byte order mark
    help="File with one user id per line (- for stdin).",
)
@click.option(
    "--app",
    "apps",
    metavar="NAME=APP",
    multiple=True,
    help="The bundle id or Firebase project behind a push provider on Stream's dashboard: ios-voip=com.example.app. "
    "Needed with several iOS apps or Firebase projects.",
)
@click.option(
    "--per-minute",
    type=click.IntRange(1, 10_000),
    default=60,
    show_default=True,
    help="Maximum number of users per minute. Stream's limit applies to all of your servers together.",
)
@environment_option
@json_option
@tenant_option
def command(
    user_ids: Sequence[str],
    file: IO[str] | None,
    apps: Sequence[str],
    per_minute: int,
    environment: str,
    as_json: bool,
    tenant: str,
) -> None:
    """Copy the devices of each USER from Stream.

    A token that is already registered is not changed, and a device that is disabled at Stream is left out. So you can
    run the command again. A user whose devices cannot be read is reported; the other users are copied. Names the users
    who have no device at Stream, and counts the phones of providers that Bellhop does not reach. Exits with 1 if
    anything was left out.
    """
    users = [*user_ids, *_listed_users(file)]
    if not users:
        raise click.UsageError("name users, or use --file with a list of their ids")
    settings = load_settings()
    app = select_stream_app(settings, tenant)
    copying = _Import(settings, app, _device_apps(settings, apps), Environment(environment))
    asyncio.run(copying.run(users, per_minute))
    copying.report(as_json=as_json)
    sys.exit(1 if copying.count["left out"] else 0)


def _listed_users(file: IO[str] | None) -> list[str]:
    try:
        return [line.strip() for line in file or () if line.strip()]
    except UnicodeDecodeError:
        raise click.UsageError("the file must be UTF-8 text with one user id per line") from None


def _device_apps(settings: Settings, names: Iterable[str]) -> DeviceApps:
    pairs = [name.partition("=") for name in names]
    if not all(name and app for name, _, app in pairs):
        raise click.UsageError("--app takes NAME=APP: a push provider's name at Stream, and its bundle or project id")
    return DeviceApps.of(settings, {name: app for name, _, app in pairs})


class _Import:
    """One run of the command."""

    def __init__(self, settings: Settings, app: StreamApp, apps: DeviceApps, environment: Environment) -> None:
        self._settings, self._app, self._apps, self._environment = settings, app, apps, environment
        self._redis, self._hears = connect(settings), audience(settings)
        self._forgotten = KnownForgotten()
        self._imported_apps: set[tuple[Provider, str]] = set()
        self._reached = False
        """Whether Stream has answered any request."""
        self._done: list[str] = []
        """The users who are copied."""
        self._without_devices: list[str] = []
        """The users who have no device at Stream, or only disabled ones."""
        self._not_reached: list[str] = []
        """The users who have only devices that Bellhop cannot reach."""
        self.count: Counter[str] = Counter()
        self._unreachable: Counter[str] = Counter()
        """The devices that Bellhop cannot reach, by Stream's name of their push provider."""

    async def run(self, users: Sequence[str], per_minute: int) -> None:
        """Copy the devices of all `users`."""

        def stopped() -> str:
            if not self._done:
                return ""
            last = plain(self._done[-1])
            done = f"Stopped: {len(self._done)} of {len(users)} users are copied, {last} as the last one"
            return f"{done}. To go on, run the command with the users after {last}."

        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S)) as session:
            api = stream_api(self._settings.stream_api_url, session, self._app)
            with progress(users, "users", len(users), stopped) as remaining:
                await self._copy_all(api, remaining, Seconds(60 / per_minute))

    def report(self, *, as_json: bool) -> None:
        """Print what was done."""
        warn_about_apps(self._redis, self._settings, self._imported_apps)
        if as_json:
            counts = {word.replace(" ", "_").lower(): self.count[word] for word in COUNTED}
            unreachable = dict(sorted(self._unreachable.items()))
            print_json(
                {
                    **counts,
                    "unreachable": unreachable,
                    "users_not_reached": self._not_reached,
                    "users_without_devices": self._without_devices,
                }
            )
            return
        click.echo(", ".join(f"{self.count[word]} {word}" for word in COUNTED))
        if phones := ", ".join(f"{count} {NOT_REACHED[name]}" for name, count in sorted(self._unreachable.items())):
            click.echo(f"not reachable, since Bellhop sends through Apple and Google only: {phones}")
        _name(self._not_reached, "no other phone")
        _name(self._without_devices, "no device at Stream")

    async def _copy_all(self, api: StreamApi, users: Iterable[str], interval_s: Seconds) -> None:
        """Copy one user after the other.

        Stream also allows at most a thirtieth of the minute's limit in one second; one request at a time stays below.
        """
        loop = asyncio.get_running_loop()
        ready_at = loop.time()
        for user_id in users:
            self._forgotten.read(self._redis)
            if self._forgotten.people.of(self._app.tenant)(user_id):
                self._leave_out(user_id, FORGOTTEN_LATELY)
                continue
            await asyncio.sleep(ready_at - loop.time())
            ready_at = loop.time() + interval_s
            try:
                listing = await self._listing(api, user_id)
            except StreamRefused as refused:
                self._raise_if_hopeless(refused)
                self._leave_out(user_id, str(refused))
            else:
                self._register(user_id, listing)
                ready_at = max(ready_at, loop.time() + listing.wait_s)
            self._done.append(user_id)

    async def _listing(self, api: StreamApi, user_id: str) -> Listing:
        """Read a user's devices from Stream. Raises StreamRefused after several attempts."""
        for attempt in range(MAX_ATTEMPTS):
            try:
                listing = await api.devices(user_id)
                self._reached = True
                return listing
            except StreamRefused as refused:
                self._reached = self._reached or not refused.unreachable
                if refused.permanent or not self._reached or attempt == MAX_ATTEMPTS - 1:
                    raise
                await asyncio.sleep(refused.wait_s or pause_s(attempt, *PAUSE_S))
        raise AssertionError  # the last attempt returns or raises

    def _raise_if_hopeless(self, refused: StreamRefused) -> None:
        """End the command if the next user would fail in the same way."""
        if refused.permanent:
            raise click.ClickException(f"Stream does not accept this app's API key and secret ({refused})")
        if refused.unreachable and not self._reached:
            raise click.ClickException(f"Stream cannot be reached at {self._settings.stream_api_url} ({refused})")

    def _register(self, user_id: str, listing: Listing) -> None:
        adoptions, unreachable = [], set()
        for listed in listing.devices:
            try:
                device = read_device(user_id, listed, self._apps)
            except UnreachableDevice as error:
                self._unreachable[error.provider] += 1
                unreachable.add(error.provider)
                continue
            except ValueError as error:
                self._leave_out(user_id, f"a device was left out: {error}")
                continue
            if device is None:
                self.count["disabled at Stream"] += 1
            else:
                self._imported_apps.add((device.provider, device.app))
                if device.provider is Provider.APNS:
                    device = device.model_copy(update={"environment": self._environment})
                adoptions.append(registry.adopt(self._app.tenant, device))
        if not adoptions:
            (self._not_reached if unreachable else self._without_devices).append(user_id)
        together(self._redis, keep_unreachable(self._app.tenant, user_id, () if adoptions else unreachable))
        registrations = run_blocking(side_by_side(adoptions), self._redis)
        for registered in registrations:
            self.count["already known" if registered.former_owner else "registered"] += 1
        announce(self._redis, self._hears, self._app.tenant, registrations)

    def _leave_out(self, user_id: str, reason: str) -> None:
        self.count["left out"] += 1
        say_aside(f"{user_id}: {reason}")


def _name(users: Sequence[str], lack: str) -> None:
    """Print which users have nothing that Bellhop can ring, if there are any."""
    if users:
        names = ", ".join(users[:MAX_NAMED])
        more = f" and {len(users) - MAX_NAMED} more (--json lists all)" if len(users) > MAX_NAMED else ""
        click.echo(plain(f"{len(users)} {'user has' if len(users) == 1 else 'users have'} {lack}: {names}{more}"))
