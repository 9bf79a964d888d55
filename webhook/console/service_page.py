"""/console/service: queues, workers and providers."""

from flask import render_template
from redis.exceptions import RedisError

from bellhop.queue.other_databases import no_worker, workers_elsewhere
from bellhop.queue.worker_status import read_installation_state
from bellhop.store import refusals
from bellhop.store.redis_url import shown_database
from bellhop.telemetry.turned_away import describe, read_last_hour
from webhook.api.health import missing_parts, redis_failure, start_failure
from webhook.console.blueprint import blueprint, guard
from webhook.context import web_context


@blueprint.get("/service")
def service() -> str:
    """Show the state of the installation."""
    redis, url = web_context().redis, web_context().settings.redis_url
    state = read_installation_state(redis)
    channels, expiry = state.channels_by_app(), state.certificates()
    problems = list(missing_parts(state, start_failure(redis)))
    if not state.live():
        sentence = no_worker(url, workers_elsewhere(url))
        problems.insert(0, f"{sentence[0].upper()}{sentence[1:]}.")
    try:
        refusals.try_to_write(redis)
    except RedisError as error:
        problems.insert(0, redis_failure(error))
    return render_template(
        "console/service.html",
        state=state,
        redis=shown_database(url),
        channels=sorted(channels.items()),
        expiry=expiry,
        problems=problems,
        logins=guard().logins.count() if guard().has_password else None,
        turned_away=describe(read_last_hour(redis)),
    )
