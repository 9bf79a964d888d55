"""How the installation stands, as Redis shows it: queues, live workers and what they say of themselves."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from redis import Redis

from bellhop.queue.names import QUEUES
from bellhop.store.keys import (
    Registry,
    lease_key,
    rq_queue_key,
    rq_registry_key,
    rq_worker_key,
    rq_workers_key,
    status_key,
)

REGISTRIES: dict[str, Registry] = {"started": "wip", "scheduled": "scheduled", "failed": "failed"}
"""A job's state, and RQ's name for the registry of those jobs (rq.registry)."""


class WorkerStatuses(NamedTuple):
    """Everything at one moment."""

    jobs: Mapping[tuple[str, ...], int]
    """How many, by queue and state."""
    workers: Mapping[str, list[str]]
    """The names of the living, by queue."""
    statuses: Mapping[str, Mapping[str, Any]]
    """What each of them says of itself (worker/status.py); a new one has said nothing yet."""


def apps_of_workers(redis: Redis) -> frozenset[tuple[str, str]]:
    """Provider and app of every way that a living worker has credentials for. Raises redis.exceptions.RedisError."""
    lanes = (lane for status in read_state(redis).statuses.values() for lane in status["lanes"])
    return frozenset((lane["provider"], lane["app"]) for lane in lanes)


def read_state(redis: Redis) -> WorkerStatuses:
    """Read it. Raises redis.exceptions.RedisError."""
    places = [(queue, state) for queue in QUEUES for state in ("queued", *REGISTRIES)]
    first: Any = redis.pipeline(transaction=False)
    for queue, state in places:
        if state == "queued":
            first.llen(rq_queue_key(queue))
        else:
            first.zcard(rq_registry_key(REGISTRIES[state], queue))
    for queue in QUEUES:
        first.smembers(rq_workers_key(queue))
    found = first.execute()
    registered = {
        queue: sorted(key.decode().removeprefix(rq_worker_key("")) for key in keys)
        for queue, keys in zip(QUEUES, found[len(places) :], strict=True)
    }
    names = sorted({name for of_queue in registered.values() for name in of_queue})
    second: Any = redis.pipeline(transaction=False)
    for name in names:
        second.exists(lease_key(name))
        second.get(status_key(name))
    answers = second.execute()
    alive = {name for name, lease in zip(names, answers[::2], strict=True) if lease}
    said = zip(names, answers[1::2], strict=True)
    return WorkerStatuses(
        dict(zip(places, found, strict=False)),
        {queue: [name for name in of_queue if name in alive] for queue, of_queue in registered.items()},
        {name: json.loads(text) for name, text in said if text and name in alive},
    )
