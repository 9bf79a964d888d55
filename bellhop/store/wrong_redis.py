"""Whether Redis is what the settings say: one server or a cluster, and the number of partitions. Pure.

The first client of a cluster stores the number of partitions. It decides in which partition a key is, so no client
with another number may write.
"""

from collections.abc import Sequence
from typing import Any

from redis.exceptions import RedisError

from bellhop.store.keys import PARTITION_COUNT
from bellhop.store.scripts import RawCommand

NOT_A_CLUSTER = "is not a cluster: begin BELLHOP_REDIS_URL with redis:// (rediss:// for TLS), see docs/redis.md"
_NO_CLUSTER = ("cluster support disabled", "unknown command")
"""What a server that is not part of a cluster answers to CLUSTER SLOTS."""


class WrongRedisError(RedisError):
    """Redis is not what the settings say. The text continues a sentence that begins with "Redis"."""


def count_commands(count: int) -> list[RawCommand]:
    """Return what stores the number if none is stored, and then reads the stored one."""
    return [("SET", PARTITION_COUNT, count, "NX"), ("GET", PARTITION_COUNT)]


def refuse_other_count(count: int, answers: Sequence[Any]) -> None:
    """Raise WrongRedisError if another number is stored. `answers`: those to `count_commands`; an error is raised."""
    stored = next(answer for answer in reversed(answers) if answer is not None)
    if isinstance(stored, Exception):
        raise stored
    if int(stored) != count:
        raise WrongRedisError(
            f"holds an installation with {int(stored)} partitions, and BELLHOP_REDIS_PARTITIONS is {count}: set it to "
            f"{int(stored)}, or change the number by `bellhop migrate` (docs/moving-redis.md)"
        )


def why_no_map(error: RedisError) -> RedisError:
    """Return what an error in answer to CLUSTER SLOTS means."""
    return WrongRedisError(NOT_A_CLUSTER) if any(words in str(error) for words in _NO_CLUSTER) else error
