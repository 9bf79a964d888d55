"""`bellhop check`: webhooks that were refused, unreadable or outdated in the last hour."""

from collections.abc import AsyncIterator

from bellhop.cli.check.finding import Finding, Level
from bellhop.cli.check.reading import read_redis
from bellhop.settings import Settings
from bellhop.telemetry.turned_away import describe, read_last_hour


async def findings(settings: Settings) -> AsyncIterator[Finding]:
    """Say what was turned away. It is a warning: a stranger who posts here must not make the check fail."""
    for sentence in describe(await read_redis(settings, read_last_hour) or {}):
        yield Finding(Level.WARNING, "webhooks", sentence)
