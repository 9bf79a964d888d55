"""`bellhop replay`: queue failed jobs again."""

import sys

import click

from bellhop.cli.connection import connect
from bellhop.cli.options import load_settings
from bellhop.cli.output import plain
from bellhop.queue.failed_jobs import failed_job_ids, run_again


@click.command("replay")
@click.argument("job_ids", metavar="[JOB_ID]...", nargs=-1)
@click.option("--failed", is_flag=True, help="Run all failed jobs again.")
def command(job_ids: tuple[str, ...], failed: bool) -> None:
    """Queue failed jobs again.

    Notices and e-mails are queued again, and rings that are not over. A phone that already has the push does not get
    it a second time. `rq info` shows how many jobs have failed. Exits with 1 if one of the named jobs is not queued.
    """
    if bool(job_ids) == failed:
        raise click.UsageError("Name the jobs, or use --failed.")
    redis = connect(load_settings())
    jobs = list(job_ids or failed_job_ids(redis))
    refused = []
    for job_id in jobs:
        reason = run_again(redis, job_id)
        if reason is not None:
            refused.append(job_id)
        click.echo(plain(f"{job_id}: {reason or 'queued again'}"))
    if not jobs:
        click.echo("No job has failed.")
    sys.exit(1 if job_ids and refused else 0)
