"""`bellhop`: the command line. Each command is a file of this package."""

from importlib import import_module
from typing import Any

import click
from click.exceptions import Exit

from bellhop import __version__

COMMANDS = {
    "web": "Receive Stream's webhooks over HTTP and queue them.",
    "worker": "Send the queued pushes and e-mails.",
    "sqs": "Receive Stream's events from an Amazon SQS queue.",
    "check": "Test what is configured and explain each problem.",
    "settings": "List every setting, as docs/settings.md does.",
    "devices": "Add, import, list and remove users' devices.",
    "send-test": "Send one push to the devices of USER_ID.",
    "explain": "Explain a call: who was rung, and why a phone did not ring.",
    "outcomes": "List every outcome of a push, as docs/outcomes.md does.",
    "scripts": "List the Redis scripts by the SHA that Redis shows.",
    "replay": "Queue failed jobs again.",
    "demo": "See phones ring, with stand-ins for Apple and Google.",
}
"""What each command does, in the order of `bellhop --help`, which imports no command. The command `send-test`
is `command` in send_test.py, and so on."""


class _Commands(click.Group):
    """Imports a command's file only when it is needed: no command loads what another one uses."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*COMMANDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"bellhop.cli.{cmd_name.replace('-', '_')}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([*COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command. If Redis does not answer or refuses a command, end with a sentence about it."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.Abort, Exit):
            raise
        except Exception as error:
            from bellhop.cli.connection import in_a_sentence  # noqa: PLC0415 - it imports redis

            if sentence := in_a_sentence(error):
                raise sentence from None
            raise


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="bellhop")
def main() -> None:
    """Ring phones for an app built on Stream Video.

    To try it, run `make demo` in a checkout: it needs no configuration. For real use, set the BELLHOP_* variables that
    the README lists, then run `bellhop check`, `bellhop web` and `bellhop worker`. docs/settings.md describes every
    setting.
    """
