"""/console/service: queues, workers and providers."""

from typing import Any

from flask import render_template

from bellhop.queue.worker_status import read_installation_state
from bellhop.store.keys import WORKER_FAILED
from webhook.api.health import lacking
from webhook.console.blueprint import blueprint
from webhook.context import web_context


@blueprint.get("/service")
def service() -> str:
    """Show the state of the installation."""
    redis = web_context().redis
    state = read_installation_state(redis)
    failure: Any = redis.get(WORKER_FAILED)
    channels, expiry = state.channels_by_app(), state.certificates()
    problems = list(lacking(state, failure.decode() if failure else ""))
    return render_template(
        "console/service.html", state=state, channels=sorted(channels.items()), expiry=expiry, problems=problems
    )
