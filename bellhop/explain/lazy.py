"""A property that is worked out when it is first read. Pure."""

from collections.abc import Callable
from typing import Any, Generic, Self, TypeVar, overload

T = TypeVar("T")


class Lazy(Generic[T]):
    """`functools.cached_property` without a lock. A call may have thousands of rounds, and each has many properties: in
    Python 3.11 the lock takes longer than most of them. So an object with them may be used by one thread only."""

    def __init__(self, work_out: Callable[[Any], T]) -> None:
        self.__doc__ = work_out.__doc__
        self._work_out, self._name = work_out, work_out.__name__

    @overload
    def __get__(self, owner: None, kind: type) -> Self: ...
    @overload
    def __get__(self, owner: object, kind: type) -> T: ...
    def __get__(self, owner: object | None, kind: type) -> Self | T:
        """Work the value out. From then on Python finds it in the object's `__dict__` and does not call this."""
        if owner is None:
            return self
        value = owner.__dict__[self._name] = self._work_out(owner)
        return value
