"""Redis for the intake: awaited if the view runs on the event loop, and blocking in any other thread."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from bellhop.store.async_client import Store
from bellhop.store.blocking_client import partitions_of, together
from bellhop.store.scripts import Argument, Command, RawCommand, ScriptRunner
from webhook.loop_greenlet import on_the_loop, wait_for

T = TypeVar("T")

LATE_S = 0.05
"""If Redis owes an answer for longer, commands use another connection, so that other webhooks do not wait for it."""
MAX_CONNECTIONS = 8


class IntakeRedis:
    """Runs the intake's commands and scripts. Each is repeated once if it gets no answer, so it must allow two runs."""

    def __init__(self, redis: Redis, run_blocking: ScriptRunner) -> None:
        self._redis, self._run_blocking = redis, run_blocking
        self.partitions = partitions_of(redis)
        """The partitions of Redis."""
        self._connections: LoopConnections | None = None

    def use_on_the_loop(self, connections: "LoopConnections") -> None:
        """Let views run on the event loop, with these connections."""
        self._connections = connections

    @property
    def works_on_the_loop(self) -> bool:
        """Whether views may run on the event loop."""
        return self._connections is not None

    def call(self, *command: Argument) -> Any:
        """Run one command. Raises redis.exceptions.RedisError."""
        (answer,) = self.together(command)
        return answer

    def together(self, *commands: RawCommand) -> list[Any]:
        """Run commands in one round trip; returns their answers. Raises redis.exceptions.RedisError."""
        if on_the_loop():
            return wait_for(self._twice(lambda store: store.together(*commands)))
        return together(self._redis, *commands)

    def run_together(self, *commands: Command) -> list[Any]:
        """Run scripts in one round trip, in any order; returns their answers. Raises redis.exceptions.RedisError."""
        if on_the_loop():
            return wait_for(self._twice(lambda store: store.together(*commands, in_order=False)))
        return [self._run_blocking(command) for command in commands]

    def run(self, command: Command, *behind: RawCommand) -> Any:
        """Run a script, and commands behind it; returns the script's answer. Raises redis.exceptions.RedisError.

        On a cluster, commands for other servers may run before the script, or without it.
        """
        if not on_the_loop():
            return self._run_blocking(command, *behind)
        asked = self._shared.prompt().ask(command, *behind)
        if asked is None:
            return wait_for(self._twice(lambda store: store.together(command, *behind, in_order=False)))[0]
        wait_for(asked[-1])
        answers = [future.result() for future in asked]
        if errors := [answer for answer in answers if isinstance(answer, RedisError)]:
            if any(isinstance(error, (NoScriptError, RedisConnectionError, RedisTimeoutError)) for error in errors):
                return wait_for(self._shared.prompt().together(command, *behind, in_order=False))[0]
            raise errors[0]
        return answers[0]

    @property
    def _shared(self) -> "LoopConnections":
        assert self._connections is not None  # noqa: S101 - else the server runs no view on the loop
        return self._connections

    async def _twice(self, request: Callable[[Store], Awaitable[T]]) -> T:
        try:
            return await request(self._shared.prompt())
        except (RedisConnectionError, RedisTimeoutError):
            return await request(self._shared.prompt())


class LoopConnections:
    """The connections that all views on the event loop share. More than one are opened only if Redis answers late."""

    def __init__(self, connect: Callable[[], Store]) -> None:
        self._connect = connect
        self._stores = [connect()]

    def prompt(self) -> Store:
        """Return the first connection that is not late. If all are late, open another, or return the least late."""
        for store in self._stores:
            if store.behind_s < LATE_S:
                return store
        if len(self._stores) < MAX_CONNECTIONS:
            self._stores.append(self._connect())
            return self._stores[-1]
        return min(self._stores, key=lambda store: store.behind_s)

    async def close(self) -> None:
        """Close all connections."""
        for store in self._stores:
            await store.close()
