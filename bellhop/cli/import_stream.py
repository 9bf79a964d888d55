"""`bellhop devices import-stream`: copy users' devices from Stream's own list, inside Stream's limits."""

import asyncio
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import aiohttp
import click

from bellhop.backoff import pause_s
from bellhop.cli.connection import connect, run, settings_of_all, tenant_of, warn_of_apps
from bellhop.cli.output import plain
from bellhop.domain.device import Provider
from bellhop.settings import Settings, StreamApp
from bellhop.store import registry
from bellhop.stream_api import DeviceApps, Listing, StreamApi, StreamRefused, read

ANSWER_S = 30.0
TRIES = 5
"""How often Stream is asked about a user."""
PAUSE_S = (1.0, 60.0, (1.0, 1.0))
"""First and longest pause before Stream is asked again, doubled each time; without jitter, since one command asks."""


def import_users(tenant: str, users: Sequence[str], names: Iterable[str], per_minute: int) -> int:
    """Copy the devices of `users` of a tenant; `names` as --app takes them. Returns the exit status."""
    settings = settings_of_all()
    tenant = tenant_of(settings, tenant)
    app = next((app for app in settings.stream_apps if app.tenant == tenant), None)
    if app is None:
        raise click.ClickException("no Stream app is set: BELLHOP_STREAM_API_KEY and BELLHOP_STREAM_API_SECRET")
    return asyncio.run(_Import(settings, app, _apps(settings, names), per_minute).all(users))


def _apps(settings: Settings, names: Iterable[str]) -> DeviceApps:
    pairs = [name.partition("=") for name in names]
    if not all(name and app for name, _, app in pairs):
        raise click.UsageError("--app takes NAME=APP: a push provider's name at Stream, and its bundle or project id")
    return DeviceApps.of(settings, {name: app for name, _, app in pairs})


class _Import:
    """One run of the command."""

    def __init__(self, settings: Settings, app: StreamApp, apps: DeviceApps, per_minute: int) -> None:
        self._settings, self._app, self._apps = settings, app, apps
        # Stream also allows no more than a thirtieth of the minute's limit in one second; one at a time stays below.
        self._interval_s = 60 / per_minute
        self._redis = connect(settings)
        self._found: set[tuple[Provider, str]] = set()
        self._reached = False
        """Whether Stream has answered anything yet."""
        self.count: Counter[str] = Counter()

    async def all(self, users: Sequence[str]) -> int:
        """Copy the devices of all `users`; returns the exit status."""
        app, loop = self._app, asyncio.get_running_loop()
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ANSWER_S)) as session:
            api = StreamApi(
                session, self._settings.stream_api_url, app.api_keys[0], app.api_secrets[0].get_secret_value()
            )
            ready_at = loop.time()
            with click.progressbar(users, label="Users", file=sys.stderr, show_pos=True) as progress:
                for user_id in progress:
                    await asyncio.sleep(ready_at - loop.time())
                    ready_at = loop.time() + self._interval_s
                    try:
                        listing = await self._listing(api, user_id)
                    except StreamRefused as refused:
                        if refused.for_good:
                            click.echo(f"Stream refuses this app's key and secret ({refused}): nothing more is asked")
                            return 1
                        if refused.unreachable and not self._reached:
                            where = self._settings.stream_api_url
                            click.echo(
                                f"Stream cannot be reached at {where} ({refused}): nothing more is asked", err=True
                            )
                            return 1
                        self._leave_out(user_id, str(refused))
                        continue
                    self._take(user_id, listing)
                    ready_at = max(ready_at, loop.time() + listing.wait_s)
        warn_of_apps(self._redis, self._settings, self._found)
        click.echo(", ".join(f"{self.count[what]} {what}" for what in ("registered", "known already", "disabled")))
        click.echo(f"{self.count['left out']} left out")
        return 1 if self.count["left out"] else 0

    async def _listing(self, api: StreamApi, user_id: str) -> Listing:
        """Ask until there is an answer. Raises StreamRefused after several tries."""
        for attempt in range(TRIES):
            try:
                listing = await api.devices(user_id)
                self._reached = True
                return listing
            except StreamRefused as refused:
                self._reached = self._reached or not refused.unreachable
                if refused.for_good or not self._reached or attempt == TRIES - 1:
                    raise
                await asyncio.sleep(refused.wait_s or pause_s(attempt, *PAUSE_S))
        raise AssertionError  # the last try returns or raises

    def _take(self, user_id: str, listing: Listing) -> None:
        commands = []
        for listed in listing.devices:
            try:
                device = read(user_id, listed, self._apps)
            except ValueError as error:
                self._leave_out(user_id, f"a device {error}")
                continue
            if device is None:
                self.count["disabled"] += 1
            else:
                self._found.add((device.provider, device.app))
                commands.append(registry.adopt(self._app.tenant, device))
        answers: list[Any] = run(self._redis, commands)
        for owner, _ in answers:
            self.count["known already" if owner else "registered"] += 1

    def _leave_out(self, user_id: str, reason: str) -> None:
        self.count["left out"] += 1
        click.echo(plain(f"{user_id}: {reason}"), err=True)
