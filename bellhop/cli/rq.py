"""`bellhop rq`: RQ's own command line, on one partition of a Redis Cluster."""

import sys

import click

from bellhop.settings import load
from bellhop.store.redis_url import parse

IN_ALL_PARTITIONS = frozenset({"info", "suspend", "resume"})
"""The commands that run in each partition if none is named."""


@click.command(
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.option("--partition", type=click.IntRange(min=0), help="The number of a partition of a Redis Cluster, from 0.")
@click.argument("rq_command", nargs=-1, type=click.UNPROCESSED)
def command(partition: int | None, rq_command: tuple[str, ...]) -> None:
    """Run RQ's own commands on Bellhop's queues.

    `bellhop rq info` is `rq info` with the Redis of BELLHOP_REDIS_URL.

    On a Redis Cluster, each partition has queues of its own. `bellhop rq --partition 3 info` shows those of one
    partition. Without a number, `info`, `suspend` and `resume` run in all partitions. `empty` does not work there.
    """
    url = load().redis_url
    count = parse(url).partitions
    if partition is not None and partition >= count:
        raise click.BadParameter(f"there are {count} partitions, from 0 to {count - 1}", param_hint="--partition")
    if partition is not None or count == 1 or not rq_command or rq_command[0].startswith("-"):
        sys.exit(_run(url, partition or 0, rq_command))
    if rq_command[0] not in IN_ALL_PARTITIONS:
        raise click.UsageError(f"name a partition: bellhop rq --partition 0 {rq_command[0]} …")
    statuses = []
    for number in range(count):
        click.secho(f"Partition {number}", bold=True)
        statuses.append(_run(url, number, rq_command))
    sys.exit(max(statuses))


def _run(url: str, partition: int, rq_command: tuple[str, ...]) -> int:
    """Run a command of RQ; returns its exit status."""
    from rq.cli.cli import main as rq  # noqa: PLC0415 - no other command needs it
    from rq.exceptions import NoSuchJobError  # noqa: PLC0415

    from bellhop.queue.rq_connection import RqRedis, url_for_rq  # noqa: PLC0415

    name, *rest = rq_command or ("--help",)
    if not name.startswith("-"):
        kind = f"{RqRedis.__module__}.{RqRedis.__qualname__}"
        rest = ["--url", url_for_rq(url, partition), "--connection-class", kind, "--serializer", "json", *rest]
    try:
        rq.main([name, *rest], prog_name="bellhop rq")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    except NoSuchJobError as error:
        raise click.ClickException(f"{error}; on a Redis Cluster, it may be in another partition") from None
    return 0
