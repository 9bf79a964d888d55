"""Helpers of several commands: load the settings, and check the user id and the option --tenant."""

import sys
from datetime import UTC, datetime
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

import bellhop
from bellhop.clock import Micros
from bellhop.domain.device import Environment
from bellhop.settings import ConfigurationError, Role, Settings, StreamApp, load
from bellhop.spoken_time import FORMS, read_time_words


class _TimeInWords(click.ParamType):  # type: ignore[type-arg]
    """A time, as `bellhop.spoken_time` reads it. A time without a zone is in UTC, as all times that commands print."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Micros:
        moment = read_time_words(str(value), datetime.now(UTC))
        if moment is None:
            self.fail(f"{value!r} is not a time: write {FORMS}", param, ctx)
        return moment


def _not_empty(_context: click.Context, _parameter: click.Parameter, user_id: str) -> str:
    """Refuse an empty user id: perhaps a shell variable has no value."""
    if not user_id:
        raise click.BadParameter("is empty: write the id of a user at Stream")
    return user_id


user_argument = click.argument("user_id", callback=_not_empty)
since_option = click.option(
    "--since", type=_TimeInWords(), help='Only calls since this time: "2h", "yesterday 15:10" (UTC) or RFC 3339.'
)
tenant_option = click.option("--tenant", default="", help="Name of the Stream app. Not needed if there is only one.")


def choice(values: type[StrEnum]) -> "click.Choice[str]":
    """Return the type of an option that takes one of these values."""
    return click.Choice([str(value) for value in values])


environment_option = click.option(
    "--environment",
    type=choice(Environment),
    default=str(Environment.PRODUCTION),
    show_default=True,
    help="Apple's environment of the tokens: sandbox if the app was started from Xcode.",
)


def load_settings(role: Role | None = None) -> Settings:
    """Load the settings that `role` needs. If they are invalid, print every problem and exit with 2."""
    try:
        return load(role)
    except ConfigurationError as error:
        click.echo("Bellhop cannot start with these settings:", err=True)
        for problem in error.problems:
            click.echo(f"  {problem}", err=True)
        sys.exit(2)


def require_own_package(name: str) -> None:
    """End with a sentence if Python would take another program's `worker` or `webhook` for Bellhop's package."""
    expected = Path(bellhop.__file__).parents[1] / name / "__init__.py"
    spec = find_spec(name)
    found = Path(spec.origin or "") if spec else None
    if found is None:
        raise click.ClickException(f"Bellhop's package {name} is not installed: install Bellhop again")
    if found.resolve() != expected.resolve():
        raise click.ClickException(
            f"Python finds {found} in place of Bellhop's package {name}: start Bellhop by the command `bellhop`, from "
            "another folder, and without this folder in PYTHONPATH"
        )


def select_tenant(settings: Settings, name: str) -> str:
    """Return the tenant that --tenant names. If it does not exist, exit and print the tenants that do.

    If the settings have no Stream app, as on a machine with workers only, any name is accepted.
    """
    tenants = [app.tenant for app in settings.stream_apps]
    if not tenants:
        return name or "default"
    if not name and len(tenants) == 1:
        return tenants[0]
    if (name or "default") in tenants:
        return name or "default"
    problem = f"there is no Stream app {name}" if name else "there are several Stream apps"
    raise click.UsageError(f"{problem}: use {' or '.join(f'--tenant {tenant}' for tenant in tenants)}")


def select_stream_app(settings: Settings, name: str) -> StreamApp:
    """Return the Stream app that --tenant names. If there is none, exit with a sentence about it."""
    tenant = select_tenant(settings, name)
    app = next((app for app in settings.stream_apps if app.tenant == tenant), None)
    if app is None:
        raise click.ClickException("set BELLHOP_STREAM_API_KEY and BELLHOP_STREAM_API_SECRET: no Stream app is set")
    return app
