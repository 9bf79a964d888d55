"""A change in several steps, without I/O: each step yields the commands of one round trip, and gets their answers.

So keys of several homes change without one script over all of them. Asynchronous and blocking clients share the order.
A process may die between two steps: each step must leave a state that is safe, and must allow two runs.
"""

from collections.abc import Callable, Generator, Sequence
from typing import Any, TypeVar, cast

from redis import Redis

from bellhop.store.blocking_client import together
from bellhop.store.scripts import AnyCommand, Command, ScriptRunner, Scripts

T = TypeVar("T")
Commands = Sequence[AnyCommand]
"""The commands of one round trip. They run in this order."""
Steps = Generator[Commands, list[Any], T]


def next_step(steps: Steps[T], answers: list[Any] | None) -> tuple[Commands | None, T | None]:
    """Return the next commands; at the end, None and the value that the steps return. `answers`: None at the start."""
    try:
        return (next(steps) if answers is None else steps.send(answers)), None
    except StopIteration as end:
        return None, end.value


def side_by_side(changes: Sequence[Steps[T]]) -> Steps[list[T]]:
    """Make several changes in common round trips; returns the value of each."""
    values: dict[int, T] = {}
    answers: dict[int, list[Any] | None] = dict.fromkeys(range(len(changes)))
    while answers:
        steps = {number: next_step(changes[number], answers[number]) for number in answers}
        values |= {number: cast("T", value) for number, (commands, value) in steps.items() if commands is None}
        pending = {number: commands for number, (commands, _) in steps.items() if commands is not None}
        if not pending:
            break
        all_answers = iter((yield [command for commands in pending.values() for command in commands]))
        answers = {number: [next(all_answers) for _ in commands] for number, commands in pending.items()}
    return [values[number] for number in range(len(changes))]


async def run_steps(steps: Steps[T], store: Scripts) -> T:
    """Take all steps with the asynchronous client. Raises as the store does."""
    commands, value = next_step(steps, None)
    while commands is not None:
        commands, value = next_step(steps, await store.together(*commands))
    return cast("T", value)


def run_blocking(steps: Steps[T], redis: Redis) -> T:
    """Take all steps with a blocking client. Raises redis.exceptions.RedisError."""
    return _run(steps, lambda commands: together(redis, *commands))


def run_scripts(steps: Steps[T], run: ScriptRunner) -> T:
    """Take all steps, which must be of scripts alone, one script at a time. Raises as `run` does."""
    return _run(steps, lambda commands: [run(cast("Command", command)) for command in commands])


def _run(steps: Steps[T], answers_of: Callable[[Commands], list[Any]]) -> T:
    commands, value = next_step(steps, None)
    while commands is not None:
        commands, value = next_step(steps, answers_of(commands))
    return cast("T", value)
