"""A queue in which tenants take turns, and groups of one tenant take turns.

So an item of a small group does not wait for all items of a large group.
"""

from collections import deque
from collections.abc import Hashable
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")


class Group(NamedTuple):
    """What takes turns: a round of a tenant."""

    tenant: str
    round: Hashable


NO_GROUP = Group("", None)


class FairQueue(Generic[T]):
    """Gives out one item of each tenant in turn, and of each of its groups in turn.

    Items of one group come in the order in which they were put.
    """

    def __init__(self) -> None:
        self._tenants: dict[str, dict[Group, deque[T]]] = {}
        """Tenants, and groups of a tenant, in the order in which they get their turn. None is empty."""

    def __bool__(self) -> bool:
        """Whether items wait."""
        return bool(self._tenants)

    def waiting(self, group: Group) -> int:
        """How many items of a group wait."""
        return len(self._tenants.get(group.tenant, {}).get(group, ()))

    def put(self, group: Group, item: T) -> None:
        """Add an item."""
        self._tenants.setdefault(group.tenant, {}).setdefault(group, deque()).append(item)

    def get(self) -> T:
        """Remove the next item, and return it. The queue must not be empty."""
        tenant = next(iter(self._tenants))
        groups = self._tenants.pop(tenant)
        group = next(iter(groups))
        items = groups.pop(group)
        item = items.popleft()
        if items:
            groups[group] = items  # the last in turn
        if groups:
            self._tenants[tenant] = groups
        return item
