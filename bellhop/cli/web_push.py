"""`bellhop web-push`: Web Push for browsers."""

import click
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bellhop.domain.web_push import to_base64url


@click.group("web-push")
def command() -> None:
    """Set up Web Push for browsers."""


@command.command()
def keys() -> None:
    """Make a web app's key pair (VAPID).

    Prints it as settings. Browsers subscribe with the public key. With another pair, all of them must subscribe again:
    make it once for each web app, and keep it.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    click.echo(f"BELLHOP_WEB_PUSH_PUBLIC_KEY={to_base64url(public)}")
    click.echo(f"BELLHOP_WEB_PUSH_PRIVATE_KEY={to_base64url(key.private_numbers().private_value.to_bytes(32, 'big'))}")
