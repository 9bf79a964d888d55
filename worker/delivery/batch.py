"""Items that are handed in during one turn of the event loop are processed by one call."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Any, Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")
ALONE: Any = object()
"""Stands for an answer: there was no other item in this turn, so the caller makes the call itself. Most items are
alone, and a task for each would cost more than the rest."""


class Batch(Generic[T, R]):
    """Gathers the items of one turn and has them answered together, at most `most` in one call.

    `shielded`: every item is processed, also if its caller is cancelled. Otherwise a call may end with its caller.
    `group_of` names what an item may share a call with: items of different groups are answered by different calls.
    """

    def __init__(
        self,
        answer: Callable[[list[T]], Awaitable[Sequence[R]]],
        most: int,
        *,
        shielded: bool = False,
        group_of: Callable[[T], Hashable] = lambda _: None,
    ) -> None:
        """`answer` returns one answer for each item, in the same order."""
        self._answer, self._most, self._shielded, self._group_of = answer, most, shielded, group_of
        self._waiting: list[tuple[T, asyncio.Future[R]]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def __call__(self, item: T) -> R:
        """Hand in one item; returns its answer, or raises what its call raised."""
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
        groups: defaultdict[Hashable, list[tuple[T, asyncio.Future[R]]]] = defaultdict(list)
        for item, future in waiting:
            groups[self._group_of(item)].append((item, future))
        for group in groups.values():
            for start in range(0, len(group), self._most):
                task = asyncio.ensure_future(self._call(group[start : start + self._most]))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _call(self, waiting: list[tuple[T, asyncio.Future[R]]]) -> None:
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
