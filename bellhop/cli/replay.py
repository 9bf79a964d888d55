"""`bellhop replay`: queue failed jobs again."""

import sys

import click

from bellhop.cli.connection import connect
from bellhop.cli.options import load_settings
from bellhop.cli.output import json_option, print_json
from bellhop.cli.progress import progress, say_aside
from bellhop.queue.failed_jobs import failed_job_ids, run_again


@click.command("replay")
@click.argument("job_ids", metavar="[JOB_ID]...", nargs=-1)
@click.option("--failed", is_flag=True, help="Run all failed jobs again.")
@json_option
def command(job_ids: tuple[str, ...], failed: bool, as_json: bool) -> None:
    """Queue failed jobs again.

    Notices and e-mails are queued again, and rings that are not over. A phone that already has the push does not get
    it a second time. `rq info` shows how many jobs have failed. Exits with 1 if one of the named jobs is not queued.
    """
    if bool(job_ids) == failed:
        raise click.UsageError("Name the jobs, or use --failed.")
    redis = connect(load_settings())
    jobs = list(job_ids or failed_job_ids(redis))
    reasons: dict[str, str | None] = {}
    """Why a job was not queued again; None if it was."""

    def stopped() -> str:
        if not reasons:
            return ""
        queued = [*reasons.values()].count(None)
        return f"Stopped: {queued} of {len(jobs)} jobs are queued again. To go on, run the command again."

    with progress(jobs, "jobs", len(jobs), stopped) as remaining:
        for job_id in remaining:
            reasons[job_id] = run_again(redis, job_id)
            if not as_json:
                say_aside(f"{job_id}: {reasons[job_id] or 'queued again'}", err=False)
    if as_json:
        print_json([{"job": job, "queued": reason is None, "reason": reason or ""} for job, reason in reasons.items()])
    elif not jobs:
        click.echo("No job has failed.")
    sys.exit(1 if job_ids and any(reasons.values()) else 0)
