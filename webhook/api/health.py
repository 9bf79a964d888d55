"""Health: is this process up, and can a ring get through?"""

import time
from collections.abc import Iterator
from typing import Any, cast

from flask import Blueprint, Response, current_app, jsonify
from redis.exceptions import RedisError

from bellhop.clock import Seconds, from_nanoseconds, seconds
from bellhop.queue.names import NOTICES, RINGS
from bellhop.queue.worker_status import InstallationState, read_installation_state
from bellhop.store import redis_clock
from bellhop.store.keys import WORKER_FAILED
from webhook.context import WebContext

blueprint = Blueprint("health", __name__)


@blueprint.get("/healthz")
def healthz() -> Response:
    """Say that the process answers."""
    return jsonify(status="ok")


@blueprint.get("/readyz")
def readyz() -> tuple[Response, int]:
    """Say whether Redis answers, each queue has a live worker, and credentials load; 503 with what is missing.

    And warn of what is wrong, but keeps no ring from getting through.
    """
    context = cast(WebContext, current_app.extensions["context"])
    try:
        state = read_installation_state(context.redis)
        failure: Any = context.redis.get(WORKER_FAILED)
        ahead_s = seconds(from_nanoseconds(time.time_ns()) - context.now())
    except RedisError as error:
        missing = [f"Redis does not answer ({type(error).__name__}): check that it runs and BELLHOP_REDIS_URL."]
    else:
        missing = list(lacking(state, failure.decode() if failure else ""))
        warnings = list(doubtful(state, ahead_s))
    if missing:
        return jsonify(status="not ready", missing=missing), 503
    return jsonify(status="ready", **({"warnings": warnings} if warnings else {})), 200


def lacking(state: InstallationState, failure: str) -> Iterator[str]:
    """Say what keeps a ring from getting through, as far as Redis shows; `failure` is why a worker could not start."""
    for queue, workers in state.workers.items():
        # Only what a ring needs, and work that waits for nobody: not everybody sends mail.
        if not workers and (queue in (RINGS, NOTICES) or state.jobs[queue, "queued"]):
            yield f"No live worker serves the queue {queue}: start `bellhop worker`."
    if failure and not any(status.channels for status in state.statuses.values()):
        yield f"The last worker that started could not: {failure}. Its log says why, and `bellhop check` does."


def doubtful(state: InstallationState, ahead_s: Seconds) -> Iterator[str]:
    """Say which clocks are wrong; that of this process is `ahead_s` of Redis's. A worker's log names the machine."""
    clocks = [("The clock of this web process", ahead_s)]
    clocks += [("The clock of a worker", status.clock_ahead_s) for status in state.statuses.values()]
    for complaint in dict.fromkeys(redis_clock.complaint(whose, ahead) for whose, ahead in clocks):
        if complaint:
            yield f"{complaint}."
