"""The Redis from which is copied, and the one into which is copied: both are asked in packets."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeVar

from redis import Redis
from redis.exceptions import RedisError

from bellhop.store.blocking_client import together
from bellhop.store.scripts import AnyCommand
from bellhop.store.steps import Steps, run_blocking

T = TypeVar("T")


class SideError(RedisError):
    """One of the two does not answer, or refuses a command."""

    def __init__(self, url: str, cause: RedisError) -> None:
        super().__init__(str(cause))
        self.url, self.cause = url, cause


class Side(NamedTuple):
    """One of the two. Its methods raise SideError."""

    url: str
    redis: Redis

    def run(self, *commands: AnyCommand) -> list[Any]:
        """Run commands in any order; returns their answers."""
        return self.use(lambda redis: together(redis, *commands, in_order=False) if commands else [])

    def run_steps(self, steps: Steps[T]) -> T:
        """Take all steps; returns what they return."""
        return self.use(lambda redis: run_blocking(steps, redis))

    def use(self, call: Callable[[Redis], T]) -> T:
        """Call a function that uses Redis."""
        try:
            return call(self.redis)
        except RedisError as error:
            raise SideError(self.url, error) from error

    def each(self, walk: Callable[[Redis], Iterator[T]]) -> Iterator[T]:
        """Yield what a walk over Redis yields."""
        try:
            yield from walk(self.redis)
        except RedisError as error:
            raise SideError(self.url, error) from error
