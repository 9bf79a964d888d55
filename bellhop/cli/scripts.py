"""`bellhop scripts`: list the scripts."""

import click

from bellhop.store.scripts import names, sha1


@click.command("scripts")
def command() -> None:
    """List the Redis scripts by the SHA that Redis shows.

    MONITOR and SLOWLOG show a script only by its SHA: EVALSHA "<sha>".
    """
    for name in names():
        click.echo(f"{sha1(name)}  {name}")
