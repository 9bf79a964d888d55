"""GET /healthz and /readyz: does this process answer, and can a ring reach a phone?"""

import time
from collections.abc import Iterable, Iterator
from typing import Any

from flask import Blueprint, Response, jsonify
from redis import Redis
from redis.exceptions import RedisError

from bellhop.clock import Seconds, from_nanoseconds, seconds
from bellhop.queue.names import MAIL, NEEDED, QUEUES
from bellhop.queue.worker_status import InstallationState, read_installation_state
from bellhop.store import redis_clock, refusals
from bellhop.store.blocking_cluster import ClusterRedis
from bellhop.store.cluster_facts import clock_complaint, problems, read_cluster, summary
from bellhop.store.keys import WORKER_FAILED
from webhook.context import WebContext, web_context

blueprint = Blueprint("health", __name__)


@blueprint.get("/healthz")
def healthz() -> Response:
    """Answer that the process is running."""
    return jsonify(status="ok")


@blueprint.get("/readyz")
def readyz() -> tuple[Response, int]:
    """Answer 200 if Redis takes writes, each queue has a live worker, and credentials load.

    Otherwise 503 with what is missing. A 200 may have warnings: problems that do not stop a ring.
    """
    context = web_context()
    try:
        redis, missing, warnings = _check(context)
    except RedisError as error:
        return jsonify(status="not ready", missing=[redis_failure(error)]), 503
    if missing:
        return jsonify(status="not ready", missing=missing), 503
    more = {"redis": redis, "warnings": warnings}
    return jsonify(status="ready", **{name: value for name, value in more.items() if value}), 200


def _check(context: WebContext) -> tuple[str, list[str], list[str]]:
    """Return the parts of a Redis Cluster, what is missing, and the warnings. Raises redis.exceptions.RedisError."""
    redis, missing, apart = _check_redis(context.redis)
    if missing:
        return redis, missing, apart
    state = read_installation_state(context.redis)
    clock_ahead_s = seconds(from_nanoseconds(time.time_ns()) - context.now())
    warnings = [*unserved_queues(state), *clock_warnings(state, clock_ahead_s), *apart]
    return redis, list(missing_parts(state, start_failure(context.redis))), warnings


def _check_redis(redis: Redis) -> tuple[str, list[str], list[str]]:
    """Do the same for Redis alone. Anybody may read it, so it names no address."""
    if not isinstance(redis, ClusterRedis):
        refusals.try_to_write(redis)
        return "", [], []
    facts = read_cluster(redis, masters_only=True)
    complaint = clock_complaint(facts, public=True)
    missing = [f"{sentence}." for sentence in problems(facts, public=True)]
    return summary(facts), missing, [f"{complaint[0].upper()}{complaint[1:]}."] if complaint else []


def redis_failure(error: RedisError) -> str:
    """Return a sentence about a Redis that does not answer or refuses writes, with what to do."""
    if refusal := refusals.refusal_of(error):
        return f"Redis {refusal}."
    return f"Redis does not answer ({type(error).__name__}): check that it runs and BELLHOP_REDIS_URL."


def start_failure(redis: Redis) -> str:
    """Return why a worker could not start lately; empty if none failed. Raises redis.exceptions.RedisError."""
    failure: Any = redis.get(WORKER_FAILED)
    return failure.decode() if failure else ""


def missing_parts(state: InstallationState, failure: str) -> Iterator[str]:
    """Yield a sentence for each missing part, without which no ring reaches a phone. `failure`: see start_failure."""
    for queue, workers in state.workers.items():
        # The mail queue needs a worker only if it has jobs: without a mail server, no worker serves it.
        if not workers and (queue in NEEDED or (queue == MAIL and state.jobs[queue, "queued"])):
            yield f"No live worker serves the queue {queue}: start `bellhop worker`."
    if failure and not any(status.channels for status in state.statuses.values()):
        yield f"The last worker could not start: {failure}. See its log, or run `bellhop check`."


def unserved_queues(state: InstallationState) -> Iterator[str]:
    """Yield a sentence for each queue with jobs that no live worker takes, if phones ring without them."""
    for queue in QUEUES:
        if queue not in (*NEEDED, MAIL) and state.jobs[queue, "queued"] and not state.workers[queue]:
            yield f"No live worker serves the queue {queue}: start `bellhop worker` with the settings of this process."


def clock_warnings(state: InstallationState, clock_ahead_s: Seconds) -> list[str]:
    """Return a sentence for each clock that differs from Redis's; this process's is `clock_ahead_s` ahead."""
    clocks: list[tuple[str, Seconds | None]] = [("The clock of this web process", clock_ahead_s)]
    clocks += [("The clock of a worker", status.clock_ahead_s) for status in state.statuses.values()]
    return clock_complaints(clocks)


def clock_complaints(clocks: Iterable[tuple[str, Seconds | None]]) -> list[str]:
    """Return a sentence for each clock that is too far ahead of Redis's, or behind; None if that is not known."""
    sentences = dict.fromkeys(redis_clock.complaint(whose, ahead_s or 0) for whose, ahead_s in clocks)
    return [f"{sentence}." for sentence in sentences if sentence]
