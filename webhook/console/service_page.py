"""/console/service: webhooks, rings, providers, queues, processes and Redis."""

from collections.abc import Iterable, Iterator, Mapping
from http import HTTPStatus
from typing import Any, NamedTuple, cast

import structlog
from flask import Response, redirect, render_template, url_for

from bellhop import __version__
from bellhop.app_health import app_health
from bellhop.clock import Seconds
from bellhop.console_audit import AuditAction
from bellhop.dead_letters import count_dead_letters
from bellhop.domain.outcomes import MEANING, Outcome, Tone
from bellhop.queue.names import MAIL, NEEDED
from bellhop.queue.other_databases import no_worker, workers_elsewhere
from bellhop.queue.worker_status import InstallationState, read_installation_state
from bellhop.settings import Settings
from bellhop.store.blocking_cluster import ClusterRedis
from bellhop.store.cluster_facts import read_cluster, summary
from bellhop.store.keys import (
    CHECK_RUNS,
    LAST_CHECK,
    LAST_WEBHOOK,
    WORKER_FAILED,
    dead_letters_key,
    last_hour_key,
    turned_away_key,
)
from bellhop.store.redis_url import shown_database
from bellhop.telemetry import last_hour
from bellhop.telemetry.last_check import read_last_check
from bellhop.telemetry.last_webhook import read_last_webhooks
from bellhop.telemetry.turned_away import describe, read_last_hour
from webhook.api.health import clock_complaints, missing_parts, start_failure
from webhook.console.audit import note
from webhook.console.blueprint import blueprint, current_login, guard
from webhook.console.check_run import is_running, start_check
from webhook.console.process_list import Process, clock_in_words, processes, stream_clocks
from webhook.console.redis_facts import cluster_nodes, node_clocks, redis_problems, server_facts
from webhook.context import WebContext, web_context
from webhook.readable_part import ReadablePart, readable_part

log = structlog.get_logger()


class Endpoint(NamedTuple):
    """An endpoint of the team's backend."""

    name: str
    away: str
    """Why it does not accept events, as a worker reports; empty if it accepts them."""
    in_flight: int
    dead: int
    """How many events Bellhop has given up after trying for a day."""


@blueprint.get("/service")
def service() -> str:
    """Show the state of the installation, as far as it concerns the Stream apps that this login may see."""
    context, login = web_context(), current_login()
    part = readable_part(context)
    state = read_installation_state(part.redis, part.partitions)
    last = read_last_webhooks(part.redis) if part.has(LAST_WEBHOOK) else None
    streams = stream_clocks(part.redis, login.tenants, part.partitions)
    return render_template(
        "console/service.html",
        problems=list(_problems(part, context.settings.redis_url, state)),
        away=part.away,
        streams={name: clock_in_words(ahead_s) for name, ahead_s in streams.items()},
        webhooks={} if last is None else {tenant: last.get(tenant) for tenant in login.tenants},
        **(_of_all_apps(context, part, state, streams) if login.sees_all else {}),
    )


def _of_all_apps(
    context: WebContext, part: ReadablePart, state: InstallationState, streams: Mapping[str, Seconds | None]
) -> dict[str, Any]:
    """Return what the page shows only to a login that may see all Stream apps."""
    redis = part.redis
    running = processes(part, state)
    apps = [app_health(*app, channels) for app, channels in sorted(state.channels_by_app().items())]
    hour = last_hour.read_last_hour(redis) if part.has(last_hour_key(0)) else None
    cluster = read_cluster(redis) if isinstance(redis, ClusterRedis) else None
    return {
        "check": read_last_check(redis) if part.has(LAST_CHECK) else None,
        "check_runs": part.has(CHECK_RUNS) and is_running(redis),
        "state": state,
        "queues": _queues(state),
        "broken": [app for app in apps if app.tone is Tone.BAD],
        "clocks": [*_clocks(running, streams), *(node_clocks(cluster) if cluster else ())],
        "hour": hour,
        "not_reached": _phones(hour, Tone.BAD, Tone.OPEN) if hour else "",
        "not_needed": _phones(hour, Tone.QUIET) if hour else "",
        "turned_away": describe(read_last_hour(redis)) if part.has(turned_away_key(0)) else [],
        "apps": apps,
        "expiry": state.certificates(),
        "endpoints": _endpoints(context.settings, part, state),
        "processes": running,
        "redis": shown_database(context.settings.redis_url),
        "server": None if cluster else server_facts(redis),
        "cluster": summary(cluster) if cluster else "",
        "nodes": cluster_nodes(cluster) if cluster else [],
        "bellhop": __version__,
        "logins": guard().logins.count() if guard().has_password else None,
    }


@blueprint.post("/service/check")
def run_check() -> Response:
    """Run `bellhop check`; its findings are on the service page some seconds later."""
    note(AuditAction.CHECK)
    log.info("console_check", started=start_check(web_context().redis))
    return cast(Response, redirect(url_for("console.service"), HTTPStatus.SEE_OTHER))


def _problems(part: ReadablePart, url: str, state: InstallationState) -> Iterator[str]:
    """Yield a sentence for each problem that keeps all phones silent."""
    yield from redis_problems(part)
    if not state.live():
        sentence = no_worker(url, workers_elsewhere(url))
        yield f"{sentence[0].upper()}{sentence[1:]}."
    yield from missing_parts(state, start_failure(part.redis) if part.has(WORKER_FAILED) else "")


def _endpoints(settings: Settings, part: ReadablePart, state: InstallationState) -> list[Endpoint]:
    """Return the endpoints of the team's backend, as all workers together report them."""
    names = [endpoint.name for endpoint in settings.event_endpoints]
    dead = count_dead_letters(part.redis, [name for name in names if part.has(dead_letters_key(name))])
    reports = state.endpoints()
    return [
        Endpoint(
            name,
            next((report.away for report in reports.get(name, ()) if report.away), ""),
            sum(report.in_flight for report in reports.get(name, ())),
            count,
        )
        for name, count in dead.items()
    ]


def _queues(state: InstallationState) -> dict[str, list[str]]:
    """Return the queues with their workers, without the queues of features that are off."""
    used = {queue for (queue, _), count in state.jobs.items() if count} | {*NEEDED, MAIL}
    return {queue: workers for queue, workers in state.workers.items() if workers or queue in used}


def _phones(hour: last_hour.LastHour, *tones: Tone) -> str:
    """List the outcomes with these tones, with their numbers. An outcome that is not known counts as bad."""
    shown = {
        outcome: count
        for outcome, count in hour.phones.items()
        if (MEANING[Outcome(outcome)].tone if outcome in MEANING else Tone.BAD) in tones
    }
    return ", ".join(f"{outcome.replace('_', ' ')} {count}" for outcome, count in shown.items()) or "0"


def _clocks(running: Iterable[Process], streams: Mapping[str, Seconds | None]) -> list[str]:
    """Return a sentence for each clock that is wrong."""
    clocks = [
        (
            f"The clock of the {process.kind} process {process.name} on {process.machine or 'an unknown machine'}",
            process.clock_ahead_s,
        )
        for process in running
    ]
    clocks += [(f"Stream's clock, as the events of {name} show,", ahead_s) for name, ahead_s in streams.items()]
    return clock_complaints(clocks)
