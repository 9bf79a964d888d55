"""GET /healthz and /readyz: does this process answer, and can a ring reach a phone?"""

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from flask import Blueprint, Response, jsonify
from redis import Redis
from redis.exceptions import RedisError

from bellhop.clock import Seconds, from_nanoseconds, seconds
from bellhop.queue.names import MAIL, NEEDED, QUEUES
from bellhop.queue.worker_status import InstallationState, read_installation_state
from bellhop.store import redis_clock, refusals
from bellhop.store.blocking_client import partitions_of, server_of
from bellhop.store.blocking_cluster import ClusterRedis
from bellhop.store.cluster_facts import ClusterFacts, clock_complaint, problems, read_cluster, summary
from bellhop.store.homes import Partition, partition_with
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

    Otherwise 503 with what is missing. A 200 may have warnings: problems that do not stop a ring. On a Redis Cluster,
    one master that takes writes is enough: without any web process, the calls of that master would be lost too.
    """
    context = web_context()
    try:
        redis, missing, warnings = _check(context)
    except RedisError as error:
        return jsonify(status="not ready", missing=[redis_failure(error)]), 503
    more = {"redis": redis.summary, "partitions_away": redis.away, "warnings": warnings}
    if missing:
        more = {"missing": missing, "partitions_away": redis.away}
    status = "not ready" if missing else "ready"
    return jsonify(status=status, **{name: value for name, value in more.items() if value}), 503 if missing else 200


class _RedisState(NamedTuple):
    """What /readyz says of Redis. Anybody may read it, so it names no address."""

    redis: Redis
    """The client that reads the rest."""
    usable: Sequence[Partition]
    """The partitions that take writes."""
    clock_ahead_s: Seconds
    """How far the clock of this process is ahead of Redis's."""
    away: Sequence[int] = ()
    """The numbers of the others."""
    summary: str = ""
    """The parts of a cluster."""
    problems: Sequence[str] = ()
    warnings: Sequence[str] = ()


def _check(context: WebContext) -> tuple[_RedisState, list[str], list[str]]:
    """Return the state of Redis, what is missing, and the warnings. Raises redis.exceptions.RedisError."""
    redis = _check_cluster(context, context.cluster) if context.cluster else _check_server(context)
    if not redis.usable:
        return redis, [*redis.problems], []
    state = read_installation_state(redis.redis, redis.usable)
    warnings = [*redis.problems, *unserved_queues(state), *clock_warnings(state, redis.clock_ahead_s), *redis.warnings]
    can_read = partition_with(WORKER_FAILED, partitions_of(redis.redis)) in redis.usable
    return redis, list(missing_parts(state, start_failure(redis.redis) if can_read else "")), warnings


def _check_server(context: WebContext) -> _RedisState:
    refusals.try_to_write(context.redis)
    ahead_s = seconds(from_nanoseconds(time.time_ns()) - context.now())
    return _RedisState(context.redis, partitions_of(context.redis), ahead_s)


def _check_cluster(context: WebContext, redis: ClusterRedis) -> _RedisState:
    facts = read_cluster(redis, masters_only=True)
    usable, complaint = facts.usable_partitions, clock_complaint(facts, public=True)
    if usable:
        server_of(context.redis, usable[0])  # raises if the cluster has another number of partitions
    return _RedisState(
        redis,
        usable,
        _clock_ahead_s(facts),
        [number for number, partition in enumerate(redis.partitions) if partition not in usable],
        summary(facts),
        [f"{sentence}." for sentence in problems(facts, public=True)],
        [f"{complaint[0].upper()}{complaint[1:]}."] if complaint else [],
    )


def _clock_ahead_s(facts: ClusterFacts) -> Seconds:
    """Return how far the clock of this process is ahead of that of the first node that answers."""
    return next((Seconds(-sum(reading.ahead_s) / 2) for reading in facts.readings.values()), Seconds(0.0))


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
