"""/console/failed: failed jobs, with a button to run each again."""

import structlog
from flask import render_template, request

from bellhop.queue import failed_jobs
from webhook.console.blueprint import MAX_LOGGED_ID, blueprint
from webhook.context import web_context

log = structlog.get_logger()

MAX_JOBS = 100


@blueprint.get("/failed")
def failed() -> str:
    """List the failed jobs."""
    return _page()


@blueprint.post("/failed")
def run_again() -> str:
    """Run one failed job again, then list the others."""
    job_id = request.form.get("job", "")
    reason = failed_jobs.run_again(web_context().redis, job_id)
    log.info("console_replay", job=job_id[:MAX_LOGGED_ID], refused=reason or "")
    return _page(job_id, reason)


def _page(job_id: str = "", reason: str | None = None) -> str:
    """Show the page; `reason` says why the job was not run again."""
    jobs = failed_jobs.latest_failed_jobs(web_context().redis, MAX_JOBS)
    return render_template("console/failed_jobs.html", jobs=jobs, job_id=job_id, reason=reason)
