"""Helpers of several commands: load the settings, and check the option --tenant."""

import sys

import click

from bellhop.settings import ConfigurationError, Role, Settings, load

tenant_option = click.option("--tenant", default="", help="Name of the Stream app. Not needed if there is only one.")


def load_settings(role: Role | None = None) -> Settings:
    """Load the settings that `role` needs. If they are invalid, print every problem and exit with 2."""
    try:
        return load(role)
    except ConfigurationError as error:
        click.echo("Bellhop cannot start with these settings:", err=True)
        for problem in error.problems:
            click.echo(f"  {problem}", err=True)
        sys.exit(2)


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
