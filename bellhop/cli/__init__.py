"""`bellhop`: the command line."""

import asyncio
import sys
from collections.abc import Callable
from functools import update_wrapper
from typing import Any

import click
from redis.exceptions import RedisError

from bellhop import __version__
from bellhop.cli.connection import no_redis, tenant_of, tenant_option
from bellhop.cli.devices import devices
from bellhop.cli.explain import explain
from bellhop.cli.replay import replay
from bellhop.domain.push import PushKind
from bellhop.explain import outcome_reference
from bellhop.settings import ConfigurationError, Role, Settings, load, reference
from bellhop.telemetry import logs


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="bellhop")
def main() -> None:
    """Ring people's phones for an app built on Stream Video.

    Try `make demo` first, in a checkout: it needs nothing else. For real use, set the BELLHOP_* variables that the
    README lists and run `bellhop web` and `bellhop worker` against your Redis; docs/settings.md has every setting.
    """


def with_settings(role: Role) -> Callable[[Callable[[Settings], None]], Callable[..., Any]]:
    """Give a command the settings that `role` needs; exits with 2 and every problem when they are not usable."""

    def decorate(command: Callable[[Settings], None]) -> Callable[..., Any]:
        def run() -> None:
            command(settings_or_exit(role))

        return update_wrapper(run, command)

    return decorate


def settings_or_exit(role: Role | None, log_level: str = "") -> Settings:
    """Load the settings and set up the log; exits with 2 and every problem when they are not usable.

    `log_level` is for commands that say themselves what went wrong.
    """
    try:
        settings = load(role)
    except ConfigurationError as error:
        click.echo("Bellhop cannot start with these settings:", err=True)
        for problem in error.problems:
            click.echo(f"  {problem}", err=True)
        sys.exit(2)
    logs.configure(settings.log_format, log_level or settings.log_level)
    return settings


@main.command()
@with_settings("web")
def web(settings: Settings) -> None:
    """Take in Stream's webhooks over HTTP and queue them."""
    from webhook.server.serve import serve  # noqa: PLC0415 - the other commands need no web server

    serve(settings)


@main.command()
@with_settings("worker")
def worker(settings: Settings) -> None:
    """Ring: send what the web process queued to Apple and Google."""
    from worker.main import run  # noqa: PLC0415 - the other commands need no push clients

    sys.exit(run(settings))


@main.command()
@with_settings("sqs")
def sqs(settings: Settings) -> None:
    """Take in Stream's events from a queue of Amazon's SQS, beside the web process or instead of it."""
    from webhook.sources.amazon.sqs import run  # noqa: PLC0415 - the other commands need no boto3

    sys.exit(run(settings))


@main.command()
@click.option("--once", is_flag=True, help="Play one call, stop everything, and exit 0 only if all went as it should.")
def demo(once: bool) -> None:
    """See phones ring: a whole Bellhop on this machine, with stand-ins for Apple and Google.

    Starts a real Redis, the web process, a worker and the stand-ins on free ports, then plays Stream's webhooks to it
    and shows what reached which phone. Stays up until Ctrl-C.
    """
    try:
        from bellhop.cli.demo import play  # noqa: PLC0415 - needs the sandbox extra
    except ModuleNotFoundError as error:
        raise click.ClickException(
            f"the demo needs more than is installed ({error.name}): run `make demo` in a checkout of Bellhop"
        ) from None

    sys.exit(play(once=once))


@main.command()
def check() -> None:
    """Try everything that is configured and name the usual mistakes.

    Connects to Redis, Stream, Apple and Google with the credentials of the settings, without ringing anybody, and asks
    Stream whether its events lead here and which pushes it still sends by itself. Exits with 1 if there is a problem.
    """
    from bellhop.cli.check import run  # noqa: PLC0415 - the other commands need no push clients

    sys.exit(run(settings_or_exit(None, log_level="error")))


@main.command("send-test")
@click.argument("user_id")
@click.option("--device", "key", help="Only the device with this key (see `bellhop devices list`).")
@click.option(
    "--kind",
    type=click.Choice([str(kind) for kind in PushKind]),
    default=str(PushKind.NOTIFICATION),
    show_default=True,
    help="What to send; a ring makes the phone ring.",
)
@tenant_option
def send_test(user_id: str, key: str | None, kind: str, tenant: str) -> None:
    """Send one push to the devices of USER_ID and print what the provider answers."""
    from bellhop.cli.send_test import send_test as send  # noqa: PLC0415 - the other commands need no push clients

    settings = settings_or_exit("worker", log_level="error")
    tenant = tenant_of(settings, tenant)
    try:
        status = asyncio.run(send(settings, tenant, user_id, key, PushKind(kind)))
    except RedisError as error:
        raise click.ClickException(no_redis(settings, error)) from None
    sys.exit(status)


@main.command("settings")
def list_settings() -> None:
    """List every setting with its default and what it is for (docs/settings.md is this list)."""
    click.echo(reference())


@main.command()
def outcomes() -> None:
    """List every outcome and standing with what it means and what to do (docs/outcomes.md holds these lists)."""
    click.echo("\n".join([*outcome_reference.outcomes(), "", *outcome_reference.standings()]))


main.add_command(devices)
main.add_command(explain)
main.add_command(replay)
