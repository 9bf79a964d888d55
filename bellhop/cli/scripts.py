"""`bellhop scripts`: list the scripts."""

import click

from bellhop.cli.output import json_option, print_json
from bellhop.store.scripts import names, sha1


@click.command("scripts")
@json_option
def command(as_json: bool) -> None:
    """List the Redis scripts by the SHA that Redis shows.

    MONITOR and SLOWLOG show a script only by its SHA: EVALSHA "<sha>".
    """
    if as_json:
        print_json({sha1(name): name for name in names()})
        return
    for name in names():
        click.echo(f"{sha1(name)}  {name}")
