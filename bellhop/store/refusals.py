"""Why Redis refuses writes, and which setting to change.

A Redis that is full, read-only or part of a cluster answers every PING and every read. Only a write shows the fault.
"""

from redis import Redis
from redis.exceptions import RedisError

from bellhop.store.keys import PROBE_FROM, PROBE_TO
from bellhop.store.redis_internals import code_of

NO_CLUSTER = (
    "is a cluster node, and Redis Cluster is not supported: use one Redis server, or a managed Redis with cluster mode "
    "off (docs/redis.md)"
)
CLUSTER_CODES = frozenset({"CROSSSLOT", "MOVED", "ASK", "TRYAGAIN", "CLUSTERDOWN"})
REFUSALS = {
    "OOM": "is full and refuses writes: raise its setting maxmemory",
    "READONLY": "is a read-only replica: set BELLHOP_REDIS_URL to its primary, or to the Sentinels",
    "MASTERDOWN": "is a replica without its primary: set BELLHOP_REDIS_URL to the primary, or to the Sentinels",
    "NOREPLICAS": "has too few replicas and refuses writes: start replicas, or lower its setting min-replicas-to-write",
    "MISCONF": "cannot save to its disk and refuses writes: free disk space, or make the folder of its setting dir "
    "writable",
    "LOADING": "is loading its data: wait until it has finished",
    "BUSY": "runs a script that does not end: run redis-cli SCRIPT KILL",
    "NOAUTH": "needs a user or a password: write them into BELLHOP_REDIS_URL",
    "WRONGPASS": "does not accept the user and the password in BELLHOP_REDIS_URL: correct them",
    "NOPERM": "does not allow its user what Bellhop needs: give the user the rights in docs/redis.md",
    **dict.fromkeys(CLUSTER_CODES, NO_CLUSTER),
}
"""By the code of Redis's error: what is wrong, and what to do. Each continues a sentence that begins with "Redis"."""

PROBE = ("COPY", PROBE_FROM, PROBE_TO)
"""A write that changes nothing, because its source never exists. Redis refuses it as it refuses any other write. The
two keys have different slots, so a cluster node refuses it too."""


def try_to_write(redis: Redis) -> None:
    """Raise the error that Redis would answer to a write."""
    redis.execute_command(*PROBE)  # type: ignore[no-untyped-call]


def refusal_of(error: RedisError) -> str:
    """Say why Redis refused a command, and what to do. Empty if it did not refuse it, but gave no answer at all."""
    return REFUSALS.get(code_of(error), "")


def advice_on(error: RedisError) -> str:
    """Say what to do about any error of Redis."""
    refusal = refusal_of(error)
    return f"Redis {refusal}" if refusal else "check that Redis runs, and BELLHOP_REDIS_URL"


def is_cluster(error: RedisError) -> bool:
    """Return whether the error shows a cluster node."""
    return code_of(error) in CLUSTER_CODES
