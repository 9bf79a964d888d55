"""`bellhop devices import-stream`: copy users' devices from Stream, within Stream's rate limit."""

import asyncio
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import IO, Any

import aiohttp
import click

from bellhop.backoff import pause_s
from bellhop.cli.connection import connect, run, warn_about_apps
from bellhop.cli.options import load_settings, select_tenant, tenant_option
from bellhop.cli.output import plain
from bellhop.clock import Seconds
from bellhop.domain.device import Provider
from bellhop.settings import Settings, StreamApp
from bellhop.store import registry
from bellhop.stream_api import DeviceApps, Listing, StreamApi, StreamRefused, read_device, stream_api

TIMEOUT_S = 30.0
MAX_ATTEMPTS = 5
"""Requests for the devices of one user before the user is left out."""
PAUSE_S = (1.0, 60.0, (1.0, 1.0))
"""First and longest pause between attempts, doubled each time; without jitter, since only one command asks."""
COUNTED = ("registered", "already known", "disabled at Stream", "left out")


@click.command("import-stream")
@click.argument("user_ids", metavar="[USER]...", nargs=-1)
@click.option("--file", type=click.File("r", encoding="utf-8"), help="File with one user id per line (- for stdin).")
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
@tenant_option
def command(user_ids: Sequence[str], file: IO[str] | None, apps: Sequence[str], per_minute: int, tenant: str) -> None:
    """Copy the devices of each USER from Stream.

    A token that is already registered is not changed, and a device that is disabled at Stream is left out. So you can
    run the command again. A user whose devices cannot be read is reported; the other users are copied. Exits with 1 if
    anything was left out.
    """
    users = [*user_ids, *(line.strip() for line in file or () if line.strip())]
    if not users:
        raise click.UsageError("name users, or use --file with a list of their ids")
    settings = load_settings()
    tenant = select_tenant(settings, tenant)
    app = next((app for app in settings.stream_apps if app.tenant == tenant), None)
    if app is None:
        raise click.ClickException("set BELLHOP_STREAM_API_KEY and BELLHOP_STREAM_API_SECRET: no Stream app is set")
    sys.exit(asyncio.run(_Import(settings, app, _device_apps(settings, apps)).run(users, per_minute)))


def _device_apps(settings: Settings, names: Iterable[str]) -> DeviceApps:
    pairs = [name.partition("=") for name in names]
    if not all(name and app for name, _, app in pairs):
        raise click.UsageError("--app takes NAME=APP: a push provider's name at Stream, and its bundle or project id")
    return DeviceApps.of(settings, {name: app for name, _, app in pairs})


class _Import:
    """One run of the command."""

    def __init__(self, settings: Settings, app: StreamApp, apps: DeviceApps) -> None:
        self._settings, self._app, self._apps = settings, app, apps
        self._redis = connect(settings)
        self._imported_apps: set[tuple[Provider, str]] = set()
        self._reached = False
        """Whether Stream has answered any request."""
        self.count: Counter[str] = Counter()

    async def run(self, users: Sequence[str], per_minute: int) -> int:
        """Copy the devices of all `users`; returns the exit status."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S)) as session:
            api = stream_api(self._settings.stream_api_url, session, self._app)
            with click.progressbar(users, label="Users", file=sys.stderr, show_pos=True) as progress:
                await self._copy_all(api, progress, Seconds(60 / per_minute))
        warn_about_apps(self._redis, self._settings, self._imported_apps)
        click.echo(", ".join(f"{self.count[word]} {word}" for word in COUNTED))
        return 1 if self.count["left out"] else 0

    async def _copy_all(self, api: StreamApi, users: Iterable[str], interval_s: Seconds) -> None:
        """Copy one user after the other.

        Stream also allows at most a thirtieth of the minute's limit in one second; one request at a time stays below.
        """
        loop = asyncio.get_running_loop()
        ready_at = loop.time()
        for user_id in users:
            await asyncio.sleep(ready_at - loop.time())
            ready_at = loop.time() + interval_s
            try:
                listing = await self._listing(api, user_id)
            except StreamRefused as refused:
                self._raise_if_hopeless(refused)
                self._leave_out(user_id, str(refused))
                continue
            self._register(user_id, listing)
            ready_at = max(ready_at, loop.time() + listing.wait_s)

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
        commands = []
        for listed in listing.devices:
            try:
                device = read_device(user_id, listed, self._apps)
            except ValueError as error:
                self._leave_out(user_id, f"a device was left out: {error}")
                continue
            if device is None:
                self.count["disabled at Stream"] += 1
            else:
                self._imported_apps.add((device.provider, device.app))
                commands.append(registry.adopt(self._app.tenant, device))
        results: list[Any] = run(self._redis, commands)
        for owner, _ in results:
            self.count["already known" if owner else "registered"] += 1

    def _leave_out(self, user_id: str, reason: str) -> None:
        self.count["left out"] += 1
        click.echo(plain(f"{user_id}: {reason}"), err=True)
