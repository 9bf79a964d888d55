"""Answer an event only once replicas have it: what the primary alone has is lost when it dies (docs/redis.md)."""

import hashlib
import time
from collections.abc import Callable
from typing import Any

from redis import Redis
from redis.exceptions import NoScriptError, RedisError

from bellhop.store.blocking_client import DOUBT_S, LATE_S, has_moved

Script = Callable[[list[str], list[Any]], Any]
"""A registered script: its keys and arguments, and its answer."""
WAIT_MS = 500
"""For the replicas' word; they mostly need less than a millisecond."""


class NotReplicatedError(RedisError):
    """The primary has it, too few replicas said that they have."""


def and_replicate(redis: Redis, source: str, replicas: int) -> Script:
    """Make a script of `source` that returns only when so many replicas have what it wrote.

    It raises NotReplicatedError otherwise, and may be repeated then: every run must write something, since WAIT
    vouches for all before the last write of its connection, and for nothing when there was none.
    """
    sha1 = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()
    doubt_until = 0.0

    def run(keys: list[str], args: list[Any]) -> Any:
        nonlocal doubt_until
        began = time.monotonic()
        try:
            answer, reached = _once(redis, "EVALSHA", sha1, keys, args, replicas)
        except NoScriptError:  # a new primary: it has run nothing yet
            answer, reached = _once(redis, "EVAL", source, keys, args, replicas)
        if reached < replicas:
            raise NotReplicatedError(f"{reached} of {replicas} replicas have it")
        # One that hung wakes up while another is made the primary: its replicas still answer it, and then leave it.
        if time.monotonic() - began > LATE_S:
            doubt_until = time.monotonic() + DOUBT_S
        if time.monotonic() < doubt_until and has_moved(redis):
            raise NotReplicatedError("another is the primary now")
        return answer

    return run


def _once(redis: Redis, command: str, script: str, keys: list[str], args: list[Any], replicas: int) -> list[Any]:
    with redis.pipeline(transaction=False) as pipeline:
        pipeline.execute_command(command, script, len(keys), *keys, *args)  # type: ignore[no-untyped-call]
        pipeline.execute_command("WAIT", replicas, WAIT_MS)  # type: ignore[no-untyped-call]
        return pipeline.execute()
