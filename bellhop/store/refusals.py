"""Why Redis refuses writes, and which setting to change.

A Redis that is full, read-only or part of a cluster answers every PING and every read. Only a write shows the fault.
"""

from collections.abc import Iterable

from redis import Redis
from redis.exceptions import RedisError, ResponseError

from bellhop.store.blocking_client import partitions_of, together
from bellhop.store.homes import Partition
from bellhop.store.keys import PROBE_FROM, PROBE_TO
from bellhop.store.redis_internals import code_of
from bellhop.store.replication import TooFewReplicasError
from bellhop.store.scripts import RawCommand
from bellhop.store.wrong_redis import WrongRedisError

A_CLUSTER_NODE = (
    "is a cluster node: begin BELLHOP_REDIS_URL with redis+cluster:// (rediss+cluster:// for TLS), see docs/redis.md"
)
TOO_FEW_REPLICAS = (
    "has fewer replicas than BELLHOP_REDIS_WAIT_REPLICAS, or they are late: start replicas, one more than the setting "
    "says (in a cluster, for each master)"
)
CLUSTER_CODES = frozenset({"CROSSSLOT", "MOVED", "ASK", "TRYAGAIN", "CLUSTERDOWN"})
"""The codes with which a cluster node refuses the client of a single server."""
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
    "CLUSTERDOWN": "is a cluster without a master for some slots: wait for the failover, or start the missing node; "
    "with cluster-require-full-coverage no, the other masters go on meanwhile",
    "TRYAGAIN": "is a cluster that moves the slot of these keys to another node: wait until the move ends",
}
"""By the code of Redis's error: what is wrong, and what to do. Each continues a sentence that begins with "Redis"."""


def probes(partitions: Iterable[Partition]) -> list[RawCommand]:
    """Return a write for each partition that changes nothing, because its source never exists.

    Redis refuses it as it refuses any other write. Without a tag, the two keys have different slots. So a cluster node
    refuses it, if the URL names a single server.
    """
    return [("COPY", partition.key(PROBE_FROM), partition.key(PROBE_TO)) for partition in partitions]


def try_to_write(redis: Redis) -> None:
    """Raise the error that Redis would answer to a write."""
    together(redis, *probes(partitions_of(redis)), in_order=False)


def refusal_of(error: RedisError) -> str:
    """Say why Redis refused a command, and what to do. Empty if it did not refuse it, but gave no answer at all."""
    if isinstance(error, WrongRedisError):
        return str(error)
    if isinstance(error, TooFewReplicasError):
        return TOO_FEW_REPLICAS
    return A_CLUSTER_NODE if _is_cluster_node(error) else REFUSALS.get(code_of(error), "")


def advice_on(error: RedisError, setting: str = "BELLHOP_REDIS_URL") -> str:
    """Say what to do about any error of Redis. `setting` is the one with its URL."""
    refusal = refusal_of(error)
    advice = f"Redis {refusal}" if refusal else "check that Redis runs, and BELLHOP_REDIS_URL"
    return advice.replace("BELLHOP_REDIS_URL", setting)


def needs_other_settings(error: RedisError) -> bool:
    """Return whether the settings do not fit this Redis, so that waiting does not help."""
    return isinstance(error, WrongRedisError) or _is_cluster_node(error)


def _is_cluster_node(error: RedisError) -> bool:
    """Return whether a cluster node refused the client of a single server. That of a cluster follows such answers."""
    return isinstance(error, ResponseError) and code_of(error) in CLUSTER_CODES
