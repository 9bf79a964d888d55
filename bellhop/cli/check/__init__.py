"""`bellhop check`: test everything that is configured, and say for each problem what to do."""

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Iterator, Sequence

import click
from redis.exceptions import RedisError

from bellhop.cli.check import (
    clocks,
    devices,
    endpoints,
    foreign_work,
    former_redis,
    mail_server,
    push_apps,
    stream,
    webhooks,
    workers,
)
from bellhop.cli.check import redis as redis_server
from bellhop.cli.check.finding import Finding, Level
from bellhop.cli.check.webhooks import LatestWebhooks
from bellhop.cli.options import load_settings
from bellhop.cli.output import plain
from bellhop.settings import Settings, removed_settings, settings_by_source, soon_refused
from bellhop.settings.pushes_file import read_pushes
from bellhop.store import redis_clock
from bellhop.store.async_client import Store
from bellhop.telemetry import logs
from bellhop.telemetry.last_check import Faults, keep_check

COLORS = {Level.OK: "green", Level.WARNING: "yellow", Level.PROBLEM: "red"}


@click.command("check")
@click.option("--strict", is_flag=True, help="Exit with 1 if there is a warning, too.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(strict: bool, as_json: bool) -> None:
    """Test what is configured and explain each problem.

    Connects to Redis, Stream, Apple, Google, browsers' push services and the mail server with the configured
    credentials. No phone rings. Also checks with Stream whether its events are sent to Bellhop, posts a test webhook
    there, and says which pushes Stream still sends itself. Exits with 1 if there is a problem: phones may not ring.
    """
    settings = load_settings()
    logs.configure(settings.log_format, "error")
    sys.exit(asyncio.run(_check(settings, strict=strict, as_json=as_json)))


async def _check(settings: Settings, *, strict: bool, as_json: bool) -> int:
    """Print each finding; returns 1 if there is a problem, or a warning if `strict` is set; otherwise 0."""
    store, found = Store.from_url(settings.redis_url), []
    try:
        async for finding in _findings(settings, store):
            found.append(finding)
            if not as_json:
                _print(finding)
        await _keep(store, found)
    finally:
        await store.close()
    bad = {Level.PROBLEM, Level.WARNING} if strict else {Level.PROBLEM}
    failed = any(finding.level in bad for finding in found)
    if as_json:
        click.echo(json.dumps({"ok": not failed, "findings": [finding.shown() for finding in found]}, indent=2))
    return int(failed)


async def _keep(store: Store, found: Sequence[Finding]) -> None:
    """Keep what is wrong for the console's service page."""
    with contextlib.suppress(RedisError):  # the findings say it
        now = redis_clock.read_time(await store.call("TIME"))
        await store.call(*keep_check(now, faults_of(found)))


def faults_of(found: Sequence[Finding]) -> Faults:
    """Return what is kept of the findings; it names no person."""
    bad = (finding for finding in found if finding.level is not Level.OK)
    return [*dict.fromkeys((str(each.level), each.subject, each.kept or each.sentence) for each in bad)]


def _print(finding: Finding) -> None:
    level = click.style(f"{finding.level:8}", fg=COLORS[finding.level])
    click.echo(f"{level} {plain(f'{finding.subject}: {finding.sentence}')}")


def of_the_settings(settings: Settings) -> Iterator[Finding]:
    """Say where the settings come from, and what is wrong with them or with the file of own pushes."""
    for source, names in settings_by_source().items():
        yield Finding(Level.OK, "Settings", f"from {source}: {', '.join(names)}")
    for sentence in (*removed_settings(), *soon_refused(settings)):
        yield Finding(Level.WARNING, "Settings", sentence)
    if settings.pushes_file is not None:
        for problem in (problems := read_pushes(settings).problems):
            yield Finding(Level.PROBLEM, "Own pushes", problem)
        if not problems:
            yield Finding(Level.OK, "Own pushes", f"{settings.pushes_file} can be used")


async def _findings(settings: Settings, store: Store) -> AsyncIterator[Finding]:
    for finding in of_the_settings(settings):
        yield finding
    of_redis = [finding async for finding in redis_server.findings(store, settings)]
    for finding in of_redis:
        yield finding
    redis_answers = any(finding.level is Level.OK for finding in of_redis)
    arrivals = await webhooks.read_arrivals(settings) if redis_answers else None
    if redis_answers:
        async for finding in _of_the_queues(settings, arrivals):
            yield finding
    async for finding in stream.findings(settings, store, arrivals):
        yield finding
    async for finding in push_apps.findings(settings, store):
        yield finding
    if redis_answers:  # otherwise each of these checks would wait for it, and find nothing
        async for finding in devices.findings(settings):
            yield finding
    async for finding in clocks.of_providers(settings, store):
        yield finding
    async for finding in endpoints.findings(settings, redis_answers=redis_answers):
        yield finding
    if settings.smtp_host:
        async for finding in mail_server.findings(settings):
            yield finding


async def _of_the_queues(settings: Settings, arrivals: LatestWebhooks | None) -> AsyncIterator[Finding]:
    async for finding in workers.findings(settings):
        yield finding
    async for finding in foreign_work.findings(settings):
        yield finding
    async for finding in former_redis.findings(settings):
        yield finding
    for finding in webhooks.findings(settings, arrivals) if arrivals is not None else ():
        yield finding
