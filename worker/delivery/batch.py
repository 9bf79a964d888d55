"""Many small questions asked at the same moment, answered by one call."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")
ALONE: Any = object()
"""In place of an answer: nobody else asked in this turn, so ask for yourself. That needs no task, most of the price."""


class Batch(Generic[T, R]):
    """Gathers the items handed in during one turn of the event loop and has them answered together.

    `shielded`: what was handed in is always asked and answered. Else the question may end with whoever is cancelled.
    """

    def __init__(
        self, answer: Callable[[list[T]], Awaitable[Sequence[R]]], most: int, *, shielded: bool = False
    ) -> None:
        self._answer, self._most, self._shielded = answer, most, shielded
        self._waiting: list[tuple[T, asyncio.Future[R]]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def __call__(self, item: T) -> R:
        """Hand in one item; returns its own answer."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[R] = loop.create_future()
        self._waiting.append((item, future))
        if len(self._waiting) == 1:
            loop.call_soon(self._send)
        answer = await future
        if answer is ALONE:
            (answer,) = await self._answer([item])
        return answer

    def _send(self) -> None:
        waiting, self._waiting = self._waiting, []
        if len(waiting) == 1 and not self._shielded:
            _, future = waiting[0]
            if not future.done():
                future.set_result(ALONE)
            return
        for start in range(0, len(waiting), self._most):
            task = asyncio.ensure_future(self._flush(waiting[start : start + self._most]))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _flush(self, waiting: list[tuple[T, asyncio.Future[R]]]) -> None:
        try:
            answers = await self._answer([item for item, _ in waiting])
        except Exception as error:
            for _, future in waiting:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), answer in zip(waiting, answers, strict=True):
            if not future.done():
                future.set_result(answer)
