"""`bellhop settings`: list every setting."""

import click

from bellhop.settings import reference


@click.command("settings")
def command() -> None:
    """List every setting, as docs/settings.md does."""
    click.echo(reference())
