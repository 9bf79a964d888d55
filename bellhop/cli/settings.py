"""`bellhop settings`: list every setting."""

import click

from bellhop.cli.output import json_option, print_json
from bellhop.settings import reference, setting_rows


@click.command("settings")
@json_option
def command(as_json: bool) -> None:
    """List every setting, as docs/settings.md does."""
    if as_json:
        print_json([row._asdict() for row in setting_rows()])
    else:
        click.echo(reference())
