"""`bellhop web-push`: Web Push for browsers."""

import click

from bellhop.vapid_keys import new_key_pair


@click.group("web-push")
def command() -> None:
    """Set up Web Push for browsers."""


@command.command()
def keys() -> None:
    """Make a web app's key pair (VAPID).

    Prints it as settings. Browsers subscribe with the public key. With another pair, all of them must subscribe again:
    make it once for each web app, and keep it.
    """
    pair = new_key_pair()
    click.echo(f"BELLHOP_WEB_PUSH_PUBLIC_KEY={pair.public}")
    click.echo(f"BELLHOP_WEB_PUSH_PRIVATE_KEY={pair.private}")
