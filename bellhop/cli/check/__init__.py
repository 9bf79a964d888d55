"""`bellhop check`: test everything that is configured, and say for each problem what to do."""

import asyncio
import sys
from collections.abc import AsyncIterator

import click

from bellhop.cli.check import foreign_work, mail_server, push_apps, stream, turned_away, workers
from bellhop.cli.check import redis as redis_server
from bellhop.cli.check.finding import Finding, Level
from bellhop.cli.options import load_settings
from bellhop.cli.output import plain
from bellhop.settings import Settings, removed_settings, soon_refused
from bellhop.store.async_client import Store
from bellhop.telemetry import logs

COLORS = {Level.OK: "green", Level.WARNING: "yellow", Level.PROBLEM: "red"}


@click.command("check")
def command() -> None:
    """Test what is configured and explain each problem.

    Connects to Redis, Stream, Apple, Google and the mail server with the configured credentials. No phone rings. Also
    checks with Stream whether its events are sent to Bellhop, and which pushes it still sends itself. Exits with 1 if
    there is a problem.
    """
    settings = load_settings()
    logs.configure(settings.log_format, "error")
    sys.exit(asyncio.run(_check(settings)))


async def _check(settings: Settings) -> int:
    """Print each finding; returns 1 if there is a problem, otherwise 0."""
    status = 0
    store = Store.from_url(settings.redis_url)
    try:
        async for finding in _findings(settings, store):
            level = click.style(f"{finding.level:8}", fg=COLORS[finding.level])
            click.echo(f"{level} {plain(f'{finding.subject}: {finding.sentence}')}")
            if finding.level is Level.PROBLEM:
                status = 1
    finally:
        await store.close()
    return status


async def _findings(settings: Settings, store: Store) -> AsyncIterator[Finding]:
    for sentence in (*removed_settings(), *soon_refused(settings)):
        yield Finding(Level.WARNING, "Settings", sentence)
    async for finding in redis_server.findings(store, settings.redis_wait_replicas):
        yield finding
    async for finding in workers.findings(settings):
        yield finding
    async for finding in foreign_work.findings(settings):
        yield finding
    async for finding in turned_away.findings(settings):
        yield finding
    async for finding in stream.findings(settings, store):
        yield finding
    async for finding in push_apps.findings(settings, store):
        yield finding
    if settings.smtp_host:
        async for finding in mail_server.findings(settings):
            yield finding
