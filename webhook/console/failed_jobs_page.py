"""/console/failed: failed jobs, with a button to run each again."""

from collections.abc import Mapping
from itertools import islice
from types import MappingProxyType

import structlog
from flask import abort, render_template, request

from bellhop.console_audit import AuditAction
from bellhop.queue import failed_jobs
from bellhop.queue.failed_jobs import FailedJob
from webhook.console.audit import note
from webhook.console.blueprint import MAX_LOGGED_ID, blueprint, current_login, tenants
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
    redis, chosen = web_context().redis, _chosen(request.form.get("job", ""))
    for job_id, app in chosen.items():
        note(AuditAction.RUN_AGAIN, app, job=job_id)
    reasons = {job_id: failed_jobs.run_again(redis, job_id) for job_id in chosen}
    for tried, reason in reasons.items():
        log.info("console_replay", job=tried[:MAX_LOGGED_ID], refused=reason or "")
    return _page(reasons)


def _chosen(job_id: str) -> dict[str, str]:
    """Return the ids of the jobs that the form names, each with its Stream app; an empty text if that is not known.

    Answers 404 for a job that the login may not run again.
    """
    mine = {job.id: job.tenant if job.tenant in tenants() else "" for job in _visible_jobs() if _may_run(job)}
    if job_id == ALL:
        return dict(islice(mine.items(), MOST_AT_ONCE))
    if job_id not in mine and not current_login().operates_all:
        abort(404, "There is no such job, or you may not run it again.")
    return {job_id: mine.get(job_id, "")}


def _may_run(job: FailedJob) -> bool:
    login = current_login()
    return login.operates_all or login.operates(job.tenant)


def _visible_jobs() -> list[FailedJob]:
    """Return the latest failed jobs, without those of Stream apps that the login may not see."""
    jobs, login = failed_jobs.latest_failed_jobs(web_context().redis, MAX_JOBS), current_login()
    return [job for job in jobs if login.sees_all or job.tenant in login.roles]


def _page(reasons: Mapping[str, str | None] = MappingProxyType({})) -> str:
    """Show the page. `reasons`: by job id, why the job was not run again; None if it was run again."""
    jobs = _visible_jobs()
    mine = {job.id for job in jobs if _may_run(job)}
    queued = [job_id for job_id, reason in reasons.items() if reason is None]
    refused = {job_id: reason for job_id, reason in reasons.items() if reason is not None}
    return render_template(
        "console/failed_jobs.html", jobs=jobs, mine=mine, queued=queued, refused=refused, most=MOST_AT_ONCE
    )
