"""Wait until replicas have a write: what only the primary has is lost when it dies (docs/redis.md)."""

import time
from typing import Any

from redis import Redis
from redis.exceptions import NoScriptError, RedisError

from bellhop.clock import Seconds
from bellhop.store.blocking_client import has_moved
from bellhop.store.scripts import Argument, Command, by_digest, by_source
from bellhop.store.sentinel import PrimaryDoubt

WAIT_MS = 500
"""How long replicas may take; they mostly need less than a millisecond."""


class NotReplicatedError(RedisError):
    """The primary has the write, but too few replicas confirmed it."""


class ReplicatedScripts:
    """Runs scripts, and returns only when enough replicas have what they wrote.

    Calling it raises NotReplicatedError otherwise. The script may then be repeated, but every run must write something:
    WAIT covers everything up to the last write of its connection, and covers nothing if there was none.
    """

    def __init__(self, redis: Redis, replicas: int) -> None:
        self._redis, self._replicas = redis, replicas
        self._doubt = PrimaryDoubt()

    def __call__(self, command: Command) -> Any:
        """Run a script."""
        began = Seconds(time.monotonic())
        try:
            answer, reached = self._run(by_digest(command))
        except NoScriptError:  # a new primary: it has done nothing
            answer, reached = self._run(by_source(command))
        if reached < self._replicas:
            raise NotReplicatedError(f"{reached} of {self._replicas} replicas have it")
        # A primary that hung may wake up after another was promoted. Its replicas may still answer WAIT.
        self._doubt.note_answer(began, Seconds(time.monotonic()))
        if self._doubt.holds(Seconds(time.monotonic())) and has_moved(self._redis):
            raise NotReplicatedError("another server is the primary now")
        return answer

    def _run(self, command: tuple[Argument, ...]) -> list[Any]:
        """Run it and WAIT on the same connection."""
        with self._redis.pipeline(transaction=False) as pipeline:
            pipeline.execute_command(*command)  # type: ignore[no-untyped-call]
            pipeline.execute_command("WAIT", self._replicas, WAIT_MS)  # type: ignore[no-untyped-call]
            return pipeline.execute()
