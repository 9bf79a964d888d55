"""`bellhop check`: what a server's INFO says about its version and settings."""

from collections.abc import Iterator, Mapping
from typing import Any

from bellhop.cli.check.finding import Finding, Level

OLDEST_REDIS = (6, 2)
NO_INFO = (
    "its user may not run INFO, so version, persistence, maxmemory-policy and replicas are not checked: run "
    "`bellhop check` as the worker's user"
)


def of_a_server(info: Mapping[str, Any], wait_replicas: int) -> Iterator[Finding]:
    """Check what Redis's INFO says."""
    version = tuple(int(part) for part in info["redis_version"].split(".")[:2])
    if version < OLDEST_REDIS:
        yield Finding(Level.PROBLEM, "Redis", f"version {info['redis_version']} is too old: 6.2 or newer is needed")
    else:
        yield Finding(Level.OK, "Redis", f"version {info['redis_version']}")
    if not info.get("aof_enabled"):
        # A Redis that is restarted with "appendonly yes" in redis.conf, but without an append-only file, starts empty.
        sentence = (
            "append-only persistence is off: a restart loses the queued jobs. Run redis-cli CONFIG SET appendonly yes, "
            "then set it in redis.conf too. Keep this order: the other order loses all data"
        )
        yield Finding(Level.WARNING, "Redis", sentence)
    if info.get("maxmemory_policy", "noeviction") != "noeviction":
        sentence = f"maxmemory-policy is {info['maxmemory_policy']}: Redis may delete jobs. Set it to noeviction"
        yield Finding(Level.PROBLEM, "Redis", sentence)
    if wait_replicas > (replicas := info.get("connected_slaves", 0)):
        sentence = (
            f"{replicas} replicas, but BELLHOP_REDIS_WAIT_REPLICAS is {wait_replicas}: every webhook is answered 503"
        )
        yield Finding(Level.PROBLEM, "Redis", sentence)
