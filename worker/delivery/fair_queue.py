"""A queue in which groups take turns: an item of a small group does not wait for all items of a large one."""

from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class FairQueue(Generic[T]):
    """Gives out one item of each group in turn. Items of one group come in the order in which they were put."""

    def __init__(self) -> None:
        self._groups: dict[Hashable, deque[T]] = {}
        """In the order in which they get their turn. No group is empty."""

    def __bool__(self) -> bool:
        """Whether items wait."""
        return bool(self._groups)

    def waiting(self, group: Hashable) -> int:
        """How many items of a group wait."""
        return len(self._groups.get(group, ()))

    def put(self, group: Hashable, item: T) -> None:
        """Add an item."""
        self._groups.setdefault(group, deque()).append(item)

    def get(self) -> T:
        """Remove the next item, and return it. The queue must not be empty."""
        group = next(iter(self._groups))
        items = self._groups.pop(group)
        item = items.popleft()
        if items:
            self._groups[group] = items  # the last in turn
        return item
