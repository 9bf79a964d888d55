"""`bellhop demo`: see phones ring on this machine, without configuration."""

import sys

import click


@click.command("demo")
@click.option("--once", is_flag=True, help="Play the calls, stop everything, and exit with 0 if all went as expected.")
def command(once: bool) -> None:
    """See phones ring, without Apple and Google.

    Starts a real Redis, the web process, a worker and the stand-ins on free ports of this machine. Then it posts
    Stream's webhooks for two calls, and shows which push reached which phone. Runs until you press Ctrl-C.
    """
    try:
        from bellhop.sandbox.demo import play  # noqa: PLC0415 - needs the extra `sandbox`
    except ModuleNotFoundError as error:
        raise click.ClickException(
            f"the demo needs a package that is not installed ({error.name}): run `make demo` in a checkout of Bellhop"
        ) from None

    sys.exit(play(once=once))
