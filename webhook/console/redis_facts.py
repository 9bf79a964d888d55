"""What the service page says of Redis: of one server, or of the nodes of a cluster."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from redis import Redis
from redis.exceptions import RedisError, ResponseError

from bellhop.store import refusals
from bellhop.store.cluster_facts import ClusterFacts, NodeFacts, Reading, clock_complaint, problems
from webhook.api.health import redis_failure
from webhook.readable_part import ReadablePart


class ServerFacts(NamedTuple):
    """What a server says about itself. Each text is empty if it is not known."""

    version: str = ""
    memory: str = ""
    """With its limit."""


class ClusterNode(NamedTuple):
    """A node of a cluster."""

    facts: NodeFacts
    server: ServerFacts
    answers: bool


def redis_problems(part: ReadablePart) -> Iterator[str]:
    """Yield a sentence for each server that takes no writes."""
    if part.cluster:
        yield from (f"{sentence}." for sentence in problems(part.cluster))
        return
    try:
        refusals.try_to_write(part.redis)
    except RedisError as error:
        yield redis_failure(error)


def server_facts(redis: Redis) -> ServerFacts:
    """Read what one server says about itself. Its user may need the right to run INFO (docs/redis.md)."""
    try:
        return _of_info(redis.info())
    except ResponseError:
        return ServerFacts()


def cluster_nodes(facts: ClusterFacts) -> list[ClusterNode]:
    """Return the nodes of a cluster as the page shows them."""
    return [
        ClusterNode(
            node,
            _of_info(node.reading.info or {}) if isinstance(node.reading, Reading) else ServerFacts(),
            isinstance(node.reading, Reading),
        )
        for node in facts.nodes
    ]


def node_clocks(facts: ClusterFacts) -> list[str]:
    """Return a sentence if the clocks of the nodes differ."""
    complaint = clock_complaint(facts)
    return [f"{complaint[0].upper()}{complaint[1:]}."] if complaint else []


def _of_info(info: Mapping[str, Any]) -> ServerFacts:
    if not info:
        return ServerFacts()
    limit = f" of {info['maxmemory_human']}" if info.get("maxmemory") else ", no limit"
    return ServerFacts(info["redis_version"], f"{info['used_memory_human']}{limit}")
