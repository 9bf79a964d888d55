"""/console/failed: failed jobs, with a button to run each again."""

from collections.abc import Mapping
from types import MappingProxyType

import structlog
from flask import render_template, request

from bellhop.queue import failed_jobs
from webhook.console.blueprint import MAX_LOGGED_ID, blueprint
from webhook.context import web_context

log = structlog.get_logger()

MAX_JOBS = 100
ALL = "all"
"""In place of a job's id: the latest failed jobs."""
MOST_AT_ONCE = 25
"""Jobs that one click runs again: each takes some round trips to Redis."""


@blueprint.get("/failed")
def failed() -> str:
    """List the failed jobs."""
    return _page()


@blueprint.post("/failed")
def run_again() -> str:
    """Run one failed job again, or the latest ones, then list the others."""
    redis, job_id = web_context().redis, request.form.get("job", "")
    ids = [job.id for job in failed_jobs.latest_failed_jobs(redis, MOST_AT_ONCE)] if job_id == ALL else [job_id]
    reasons = {job_id: failed_jobs.run_again(redis, job_id) for job_id in ids}
    for tried, reason in reasons.items():
        log.info("console_replay", job=tried[:MAX_LOGGED_ID], refused=reason or "")
    return _page(reasons)


def _page(reasons: Mapping[str, str | None] = MappingProxyType({})) -> str:
    """Show the page. `reasons`: by job id, why the job was not run again; None if it was run again."""
    jobs = failed_jobs.latest_failed_jobs(web_context().redis, MAX_JOBS)
    queued = [job_id for job_id, reason in reasons.items() if reason is None]
    refused = {job_id: reason for job_id, reason in reasons.items() if reason is not None}
    return render_template("console/failed_jobs.html", jobs=jobs, queued=queued, refused=refused, most=MOST_AT_ONCE)
