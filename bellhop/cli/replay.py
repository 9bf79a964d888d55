"""`bellhop replay`: run again what ended in RQ's failed registry."""

import sys

import click

from bellhop.cli.connection import connect, settings_of_all
from bellhop.cli.output import plain
from bellhop.queue.failed_jobs import failed_jobs, run_again


@click.command()
@click.argument("job_ids", metavar="[JOB_ID]...", nargs=-1)
@click.option("--failed", is_flag=True, help="Every failed job.")
def replay(job_ids: tuple[str, ...], failed: bool) -> None:
    """Run failed jobs again: notices, e-mails, and rings that are not over.

    What has reached a phone already is not sent twice. `rq info` shows how many jobs have failed. Exits with 1 if a
    job that was named is not run again.
    """
    if bool(job_ids) == failed:
        raise click.UsageError("Name the jobs, or say --failed.")
    redis = connect(settings_of_all())
    refused = 0
    jobs = list(job_ids or failed_jobs(redis))
    for job_id in jobs:
        reason = run_again(redis, job_id)
        refused += reason is not None
        click.echo(plain(f"{job_id}: {reason or 'queued again'}"))
    if not jobs:
        click.echo("No job has failed.")
    sys.exit(1 if refused and job_ids else 0)
