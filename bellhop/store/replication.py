"""Run a script and wait until replicas have its writes, so that no write is lost when the primary dies (docs/redis.md).

The web process uses it for the events of webhooks, if BELLHOP_REDIS_WAIT_REPLICAS is set.
"""

import time
from typing import Any

from redis import Redis
from redis.exceptions import NoScriptError, RedisError

from bellhop.clock import Seconds
from bellhop.store.blocking_client import has_moved
from bellhop.store.blocking_cluster import ClusterRedis
from bellhop.store.scripts import Command, RawCommand, by_digest, by_source
from bellhop.store.sentinel import PrimaryDoubt

WAIT_MS = 500
"""How long replicas may take; they mostly need less than a millisecond."""


class NotReplicatedError(RedisError):
    """The primary has the write, but replicas may not have it."""


class TooFewReplicasError(NotReplicatedError):
    """Too few replicas confirmed the write."""


class ReplicatedScripts:
    """Runs scripts, and returns only when enough replicas have what they wrote.

    If too few replicas confirm, it raises NotReplicatedError. The caller may repeat the script, but every run must
    write something: WAIT waits for the last write of its own connection, and does not wait if there is none.
    """

    def __init__(self, redis: Redis, replicas: int) -> None:
        self._redis, self._replicas = redis, replicas
        self._doubt = PrimaryDoubt()

    def __call__(self, command: Command, *behind: RawCommand) -> Any:
        """Run a script, and commands after it."""
        if isinstance(self._redis, ClusterRedis):
            return self._run_on_cluster(self._redis, command, *behind)
        began = Seconds(time.monotonic())
        try:
            answer, reached = self._run(by_digest(command), *behind)
        except NoScriptError:  # a new primary: the script has not run
            answer, reached = self._run(by_source(command), *behind)
        if reached < self._replicas:
            raise TooFewReplicasError(f"{reached} of {self._replicas} replicas have it")
        # A primary that hung may continue after another was promoted, and its old replicas may still answer WAIT.
        self._doubt.note_answer(began, Seconds(time.monotonic()))
        if self._doubt.is_in_doubt(Seconds(time.monotonic())) and has_moved(self._redis):
            raise NotReplicatedError("another server is the primary now")
        return answer

    def _run_on_cluster(self, redis: ClusterRedis, command: Command, *behind: RawCommand) -> Any:
        """Do the same. The commands behind the script are on other nodes: nothing waits for their replicas."""
        answers = redis.run([command, ("WAIT", self._replicas, WAIT_MS), *behind], in_order=True)
        for answer in answers:
            if isinstance(answer, RedisError):
                raise answer
        if answers[1] < self._replicas:
            raise TooFewReplicasError(f"{answers[1]} of {self._replicas} replicas have it")
        return answers[0]

    def _run(self, *commands: RawCommand) -> tuple[Any, int]:
        """Run commands and then WAIT on the same connection; returns the first answer and that of WAIT."""
        with self._redis.pipeline(transaction=False) as pipeline:
            for command in (*commands, ("WAIT", self._replicas, WAIT_MS)):
                pipeline.execute_command(*command)  # type: ignore[no-untyped-call]
            answers = pipeline.execute()
            return answers[0], answers[-1]
