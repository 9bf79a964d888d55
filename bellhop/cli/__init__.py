"""`bellhop`: the command line. Each command is a file of this package."""

import errno
import gc
import os
import sys
from importlib import import_module
from io import TextIOWrapper
from typing import Any

import click
from click.exceptions import Exit, NoSuchCommand

from bellhop import __version__

COMMANDS = {
    "web": "Receive Stream's webhooks over HTTP and queue them.",
    "worker": "Send the queued pushes and e-mails.",
    "sqs": "Receive Stream's events from an Amazon SQS queue.",
    "check": "Test what is configured and explain each problem.",
    "settings": "List every setting, as docs/settings.md does.",
    "devices": "Add, import, list, disable and remove users' devices.",
    "web-push": "Set up Web Push for browsers.",
    "send-test": "Send one push to the devices of USER_ID.",
    "import-stream-templates": "Write Stream's own templates of pushes to FILE.",
    "payload": "Print what a push would carry, as JSON.",
    "explain": "Explain a call, and why a phone did not ring.",
    "calls": "List the latest calls, the newest first.",
    "reachability": "Say whether USER_ID can be rung now, and why not.",
    "outcomes": "List every outcome of a push, and what it means.",
    "scripts": "List the Redis scripts by the SHA that Redis shows.",
    "rq": "Run RQ's own commands on Bellhop's queues.",
    "replay": "Queue failed jobs again.",
    "events": "List and resend events for your backend.",
    "migrate": "Copy what must not be lost from one Redis to another.",
    "export": "Print all that is kept of USER_ID, as JSON.",
    "forget": "Forget USER_ID: delete devices, contact, preferences.",
    "demo": "See phones ring, without Apple and Google.",
}
"""What each command does, in the order of `bellhop --help`, which imports no command. The command `send-test`
is `command` in send_test.py, and so on."""


STOPPED = 130
"""The exit status after Ctrl-C, as shells use it: 128 and the number of SIGINT."""


NOT_WRITTEN = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}
"""The errors of an output that cannot take more, such as a full disk."""

IMPORTED_OBJECTS = 50_000
"""After how many new objects the garbage collector runs while a command starts. With Python's default of 700 it runs
hundreds of times and finds nothing, because what is imported stays. It takes a tenth of the start."""


class _Commands(click.Group):
    """Imports a command's file only when it is needed: no command loads what another one uses."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*COMMANDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"bellhop.cli.{cmd_name.replace('-', '_')}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find a command. If there is none, suggest a similar one."""
        try:
            return super().resolve_command(ctx, args)
        except NoSuchCommand as error:
            raise NoSuchCommand(error.command_name, possibilities=COMMANDS, ctx=ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([*COMMANDS.items()])

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run the command line. If a file or the output cannot be used, end with a sentence about it."""
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, TextIOWrapper):  # the terminal may have an encoding without "✓" and "…"
                stream.reconfigure(errors="backslashreplace")
        try:
            return super().main(*args, **extra)
        except OSError as error:
            if error.filename is None and error.errno not in NOT_WRITTEN:
                raise
            if error.filename is None:  # when Python ends, it would try to write again
                os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            click.echo(f"Error: {error.filename or 'the output cannot be written'}: {error.strerror}", err=True)
            sys.exit(1)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command. If Redis does not answer or refuses a command, end with a sentence about it.

        After Ctrl-C, end with the status that shells use.
        """
        gc.set_threshold(IMPORTED_OBJECTS)
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.Abort, Exit):
            raise
        except KeyboardInterrupt:
            click.echo("\nStopped.", err=True)
            ctx.exit(STOPPED)
        except UnicodeEncodeError as error:
            if not any("\udc80" <= character <= "\udcff" for character in error.object):  # a byte that is not UTF-8
                raise
            raise click.UsageError("the command line is not UTF-8: set the terminal to UTF-8", ctx) from None
        except Exception as error:
            from bellhop.cli.connection import in_a_sentence  # noqa: PLC0415 - it imports redis

            if sentence := in_a_sentence(error):
                raise sentence from None
            raise


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="bellhop")
@click.pass_context
def main(ctx: click.Context) -> None:
    """Ring phones for an app built on Stream Video.

    To try it, run `make demo` in a checkout: it needs no configuration. For real use, set the BELLHOP_* variables that
    the README lists, then run `bellhop check`, `bellhop web` and `bellhop worker`. docs/settings.md describes every
    setting.
    """
    if os.environ.get("NO_COLOR"):
        ctx.color = False
