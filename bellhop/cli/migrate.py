"""`bellhop migrate`: copy what must not be lost from one Redis to another."""

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import click

from bellhop.cli.connection import TIMEOUT_S, in_a_sentence
from bellhop.cli.output import json_option, print_json
from bellhop.cli.progress import progress
from bellhop.migration.entries_of_keys import count_keys
from bellhop.migration.memory import CannotGoOnError, SourceLostDataError, note_begin, note_end, recall
from bellhop.migration.merging import Change
from bellhop.migration.migrator import KEYS_AT_ONCE, Migrator, batches
from bellhop.migration.sides import Side, SideError
from bellhop.store.blocking_client import are_one_cluster, blocking
from bellhop.store.keys import PARTITION_COUNT
from bellhop.store.redis_url import parse, shown_data

WORDS = {
    "devices": "devices",
    "person": "fields of users",
    "phones": "records of phones",
    "missed": "missed calls",
    "unsubscribed": "unsubscribed addresses",
    "console-audit": "entries of the console's audit",
    "dead-letters": "events that could not be sent",
}
"""What the summary calls the entries of each kind."""
UNKNOWN_FORGOTTEN = (
    "{count} people who were forgotten in the last day cannot be carried over: both have forgotten people, under "
    "different keys of their hashes. Run `bellhop forget` for them with the new Redis, too."
)


class _RedisUrl(click.ParamType):  # type: ignore[type-arg]
    name = "url"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        return value


@click.command("migrate")
@click.option(
    "--from",
    "from_url",
    type=_RedisUrl(),
    required=True,
    envvar="MIGRATE_FROM",
    help="URL of the Redis to copy from, or MIGRATE_FROM.",
)
@click.option(
    "--to",
    "to_url",
    type=_RedisUrl(),
    required=True,
    envvar="MIGRATE_TO",
    help="URL of the Redis to copy into, or MIGRATE_TO.",
)
@click.option("--dry-run", is_flag=True, help="Only count what would be copied.")
@click.option("--anew", is_flag=True, help="Copy although it is not known what was copied before.")
@click.option("--many-removed", is_flag=True, help="Go on although more than a tenth of the keys are gone at --from.")
@click.option("--switch", is_flag=True, help="On the same cluster: from now on, --to has its number of partitions.")
@json_option
def command(
    from_url: str, to_url: str, dry_run: bool, anew: bool, many_removed: bool, switch: bool, as_json: bool
) -> None:
    """Copy what must not be lost from one Redis to another.

    Copies devices, contacts, preferences, unsubscribed addresses, missed calls, what phones reported, who was forgotten
    in the last day, the console's audit and events that could not be sent. Calls are not copied. The service may
    run meanwhile. Run the command again after the switch: it copies what has changed since, and brings nothing back
    that was removed at either Redis. docs/moving-redis.md says how to move.
    """
    if shown_data(from_url) == shown_data(to_url):
        raise click.UsageError("--from and --to name the same Redis")
    with _sentences():
        former, new, is_one_cluster = _sides(from_url, to_url, dry_run=dry_run)
        if switch and (dry_run or not is_one_cluster):
            raise click.UsageError("--switch is for another number of partitions on the same cluster")
        source = shown_data(from_url)
        memory = recall(former, new, source, shown_data(to_url), anew=anew)
        migrator = Migrator(former, new, memory, dry_run)
        _migrate(migrator, source, many_removed=many_removed)
        if switch:
            new.run(("SET", PARTITION_COUNT, parse(to_url).partitions))
    _report(migrator, as_json=as_json)
    sys.exit(1 if migrator.unknown_forgotten else 0)


def _sides(from_url: str, to_url: str, *, dry_run: bool) -> tuple[Side, Side, bool]:
    """Connect to both; returns also whether they are one cluster: then one of them has another number of partitions.

    A dry run does not store the number of partitions in a new cluster.
    """
    urls = (from_url, to_url)
    former, new = (Side(url, blocking(url, timeout_s=TIMEOUT_S, any_count=True)) for url in urls)
    for side in (former, new):
        side.run(("PING",))
    if are_one_cluster(former.redis, new.redis):
        return former, new, True
    if dry_run:
        return former, new, False
    former, new = (Side(url, blocking(url, timeout_s=TIMEOUT_S)) for url in urls)
    return former, new, False


def _migrate(migrator: Migrator, source: str, *, many_removed: bool) -> None:
    count = count_keys(migrator.former)
    if not many_removed:
        migrator.memory.check_source(count)
    if not migrator.dry_run:
        migrator.carry_memory()
        note_begin(migrator.new, source, migrator.memory, count)
    with progress(migrator.keys(), "keys", count, lambda: _stopped(migrator)) as keys:
        for batch in batches(keys, KEYS_AT_ONCE):
            migrator.copy(batch)
    if not migrator.dry_run:
        note_end(migrator.new, migrator.memory, count)


@contextmanager
def _sentences() -> Iterator[None]:
    """Say in a sentence which of the two does not answer, or why a run cannot go on."""
    try:
        yield
    except SideError as error:
        sentence = in_a_sentence(error.cause, error.url)
        assert sentence  # noqa: S101 - the cause is a RedisError
        raise sentence from None
    except CannotGoOnError as error:
        raise click.ClickException(
            f"the new Redis does not remember what was copied from this one: {error}. If nothing was removed since "
            "that must stay removed, use --anew"
        ) from None
    except SourceLostDataError as error:
        raise click.ClickException(
            f"the Redis of --from has probably lost data: {error}. Nothing was changed: a run would remove these "
            "entries from the new Redis. If users really removed so many, use --many-removed"
        ) from None


def _stopped(migrator: Migrator) -> str:
    if not migrator.counts:
        return ""
    return f"Stopped: {_sum(migrator, Change.COPIED)} entries are copied. To go on, run the command again."


def _sum(migrator: Migrator, change: Change) -> int:
    return sum(counts[change] for counts in migrator.counts.values())


def _report(migrator: Migrator, *, as_json: bool) -> None:
    counts = {kind: migrator.counts.get(kind, Counter()) for kind in WORDS}
    if as_json:
        entries = {kind: {str(change): of_kind[change] for change in Change} for kind, of_kind in counts.items()}
        print_json({"dry_run": migrator.dry_run, "entries": entries, "forgotten_unknown": migrator.unknown_forgotten})
        return
    if migrator.dry_run:
        click.echo("Nothing is changed. A run would give:")
    for kind, of_kind in counts.items():
        click.echo(f"{WORDS[kind]}: {', '.join(f'{of_kind[change]} {change}' for change in Change)}")
    if kept := _sum(migrator, Change.KEPT):
        click.echo(f"{kept} kept: the new Redis has changed them since the last run, and keeps what it has")
    if migrator.unknown_forgotten:
        click.echo(UNKNOWN_FORGOTTEN.format(count=migrator.unknown_forgotten), err=True)
