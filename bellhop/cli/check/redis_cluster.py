"""`bellhop check`: the nodes of a Redis Cluster."""

import asyncio
from collections.abc import AsyncIterator, Iterator

from redis.exceptions import RedisError

from bellhop.cli.check.finding import Finding, Level
from bellhop.cli.check.server_info import NO_INFO, of_a_server
from bellhop.clock import Seconds
from bellhop.settings import Settings
from bellhop.store.blocking_client import blocking
from bellhop.store.cluster_facts import (
    ClusterFacts,
    NodeFacts,
    Reading,
    clock_complaint,
    problems,
    read_cluster,
    summary,
)
from bellhop.store.redis_url import shown_database
from bellhop.store.refusals import refusal_of

TIMEOUT_S = Seconds(2.0)


async def findings(settings: Settings, no_answer: str) -> AsyncIterator[Finding]:
    """Check the cluster, and each of its nodes. `no_answer`: why a command got no answer; empty if it got one."""
    database = shown_database(settings.redis_url)
    try:
        facts = await asyncio.to_thread(_read, settings.redis_url)
    except RedisError as error:
        advice = refusal_of(error) or no_answer or f"does not answer ({type(error).__name__})"
        yield Finding(Level.PROBLEM, "Redis", f"{advice}; it is {database}")
        return
    slowest_ms = max((reading.took_s * 1000 for reading in facts.readings.values()), default=0.0)
    sentence = f"{summary(facts)}; answers in {slowest_ms:.1f} ms: {database}"
    yield Finding(Level.OK, "Redis", sentence)
    for sentence in problems(facts):
        yield Finding(Level.PROBLEM, "Redis", sentence.removeprefix("Redis "))
    if complaint := clock_complaint(facts):
        yield Finding(Level.WARNING, "clock", complaint)
    for finding in of_nodes(facts, settings.redis_wait_replicas):
        yield finding


def _read(url: str) -> ClusterFacts:
    with blocking(url, timeout_s=TIMEOUT_S) as redis:
        return read_cluster(redis)


def of_nodes(facts: ClusterFacts, wait_replicas: int) -> Iterator[Finding]:
    """Yield what is found at the nodes; the same finding of several nodes once, with their names."""
    names: dict[Finding, list[str]] = {}
    for node in facts.nodes:
        if isinstance(node.reading, Reading):
            for finding in _of_a_node(node, node.reading, wait_replicas):
                names.setdefault(finding, []).append(node.name)
    for finding, where in names.items():
        which = "all nodes" if len(where) == len(facts.readings) else ", ".join(where)
        yield finding._replace(sentence=f"{which}: {finding.sentence}")


def _of_a_node(node: NodeFacts, reading: Reading, wait_replicas: int) -> Iterator[Finding]:
    if reading.info is None:
        yield Finding(Level.WARNING, "Redis", NO_INFO)
    else:
        yield from of_a_server(reading.info, wait_replicas if node.is_master else 0)
    replicas = (reading.info or {}).get("connected_slaves", node.replicas)
    if node.is_master and replicas == wait_replicas > 0:
        sentence = (
            f"as many replicas as BELLHOP_REDIS_WAIT_REPLICAS, {replicas}: when one of them is promoted, "
            "the new master has one too few, and webhooks are answered 503. Add one replica for each master"
        )
        yield Finding(Level.WARNING, "Redis", sentence)
    if reading.needs_all_slots:
        sentence = (
            "cluster-require-full-coverage is yes: while one master is away, all nodes refuse everything. Set it to no"
        )
        yield Finding(Level.WARNING, "Redis", sentence)
