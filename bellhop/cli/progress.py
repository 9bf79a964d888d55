"""A long command's progress on stderr, and what to say if the command is stopped."""

import asyncio
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import click
from redis.exceptions import RedisError

from bellhop.cli.output import plain

Item = TypeVar("Item")
STOPS = (KeyboardInterrupt, asyncio.CancelledError, RedisError, OSError, click.ClickException)
"""What stops a command early. Ctrl-C cancels a task of asyncio.run."""
CLEAR_LINE = "\r\x1b[K"


@contextmanager
def progress(
    items: Iterable[Item], noun: str, length: int | None, stopped: Callable[[], str]
) -> Iterator[Iterable[Item]]:
    """Show how many items are done, how many a second, and the time that is left; nothing if stderr is no terminal.

    If Ctrl-C or an error stops the command, print what `stopped` returns: what is done, and how to go on. It is empty
    if nothing is done.
    """
    began = time.monotonic()

    def rate(_: Item | None) -> str:
        return f"{bar.pos / max(time.monotonic() - began, 0.001):.0f} {noun}/s"

    bar = click.progressbar(
        items, length, noun, show_pos=True, file=sys.stderr, item_show_func=rate, hidden=not sys.stderr.isatty()
    )
    try:
        with bar:
            yield bar
    except STOPS:
        if text := stopped():
            say_aside(text)
        raise


def say_aside(text: str, *, err: bool = True) -> None:
    """Print a line over the progress bar, if there is one."""
    if sys.stderr.isatty():
        click.echo(CLEAR_LINE, nl=False, err=True)
    click.echo(plain(text), err=err)
