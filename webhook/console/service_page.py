"""/console/service: queues, workers and providers."""

from typing import Any

from flask import render_template

from bellhop.queue.worker_status import read_state
from bellhop.store.keys import WORKER_FAILED
from webhook.api.health import lacking
from webhook.console.blueprint import blueprint
from webhook.context import web_context


@blueprint.get("/service")
def service() -> str:
    """Show the state of the installation."""
    redis = web_context().redis
    state = read_state(redis)
    failure: Any = redis.get(WORKER_FAILED)
    channels: dict[tuple[str, str], list[Any]] = {}
    expiry: dict[str, float] = {}
    for status in state.statuses.values():
        for channel in status["lanes"]:
            channels.setdefault((channel["provider"], channel["app"]), []).append(channel)
        expiry |= status["certificates"]
    problems = list(lacking(state, failure.decode() if failure else ""))
    return render_template(
        "console/service.html", state=state, channels=sorted(channels.items()), expiry=expiry, problems=problems
    )
