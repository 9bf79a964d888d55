"""What the demo shows: a line for everything that happens, compared at the end with what must happen."""

import asyncio
import contextlib
import time
from collections import Counter
from typing import NamedTuple

import click

from bellhop.clock import Seconds

PUSHES = ("rings", "shows an invitation", "shows a missed call")
"""What a phone does when a push arrives."""
RANG = "says that it rings"
"""What a phone reports with its ticket."""


class Happening(NamedTuple):
    """Something that happens once."""

    who: str
    """A phone, Sara's app or Stream."""
    what: str
    cid: str
    """The call."""


class DemoView:
    """Prints what happens, and remembers it."""

    def __init__(self) -> None:
        self.expected: Counter[Happening] = Counter()
        self.seen: Counter[Happening] = Counter()
        self.problems = 0
        self.news = asyncio.Event()
        """Set at each happening, and when nobody should wait any longer."""

    def headline(self, bold: str, text: str) -> None:
        """Begin a step."""
        click.echo(f"\n{clock_time(Seconds(time.time()))}  {click.style(bold, bold=True)}: {text}")

    def show(self, happening: Happening, at: Seconds, way: str, after: str, *, counts: bool) -> None:
        """Print what happened. If it `counts`, it must be expected."""
        click.echo(f"{clock_time(at)}    {happening.who:18}  {happening.what:25}  {way:10}  {after}")
        self.seen[happening] += counts
        self.news.set()

    def problem(self, text: str) -> None:
        """Print what is wrong. The demo fails."""
        self.problems += 1
        click.secho(text, fg="red", err=True)

    async def wait(self, timeout_s: float, stop: asyncio.Event) -> None:
        """Wait until everything expected has happened."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while self.expected - self.seen and not stop.is_set():
                    self.news.clear()
                    await self.news.wait()

    def pushes(self) -> int:
        """How many pushes have arrived."""
        return _count(self.seen, *PUSHES)

    def compare(self) -> None:
        """Check that everything expected happened once, and nothing else."""
        for who, what, _ in (self.expected - self.seen).elements():
            self.problem(f"Never happened: {who} {what}")
        for who, what, _ in (self.seen - self.expected).elements():
            self.problem(f"Was not expected: {who} {what}")
        if not self.problems:
            pushes, rings = _count(self.expected, *PUSHES), _count(self.expected, RANG)
            done = f"All {pushes} expected pushes arrived, and no other. All {rings} rings were reported."
            click.secho(f"\n{done}", fg="green", bold=True)


def _count(happenings: Counter[Happening], *what: str) -> int:
    return sum(count for happening, count in happenings.items() if happening.what in what)


def clock_time(at: Seconds) -> str:
    """Write a time of day with milliseconds."""
    return time.strftime("%H:%M:%S", time.localtime(at)) + f".{int(at * 1000) % 1000:03}"
