"""One thread for work that takes long, which every client may cause. The clients take turns.

So if one client sends a thousand bodies to inflate, another client waits for only one of them. Clients with many
failures come after all others. Everything but the work itself runs on the event loop.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

MAX_WAITING = 500
"""How much work of one client may wait. Stream may send many webhooks at once, all from one address: this many take a
tenth of a second."""


class Work(NamedTuple):
    """Something to do in the thread, then on the loop."""

    size: int
    """Bytes that it holds while it waits."""
    run: Callable[[], object]
    done: Callable[[], object]


class FairThread:
    """Runs the work of all clients, one piece at a time.

    The work that waits holds at most `max_bytes`, and that of one client at most `max_bytes_of_client`.
    """

    def __init__(self, max_bytes: int, max_bytes_of_client: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._thread = ThreadPoolExecutor(1, "inflate")
        self._max_bytes, self._max_bytes_of_client = max_bytes, max_bytes_of_client
        self._bytes = 0
        self._waiting: tuple[dict[str, deque[Work]], dict[str, deque[Work]]] = ({}, {})
        """By client, the one whose turn is next first: the clients without many failures, and those with."""
        self._busy = False

    def add(self, client: str, work: Work, *, last: bool) -> bool:
        """Add work, behind that of all other clients if `last`; returns False if too much waits."""
        group = self._waiting[last]
        mine = group.get(client, deque())
        of_client = sum(waiting.size for waiting in mine) + work.size
        if (
            len(mine) >= MAX_WAITING
            or of_client > self._max_bytes_of_client
            or self._bytes + work.size > self._max_bytes
        ):
            return False
        group.setdefault(client, mine).append(work)
        self._bytes += work.size
        self._next()
        return True

    def _next(self) -> None:
        group = next((group for group in self._waiting if group), None)
        if self._busy or group is None:
            return
        client = next(iter(group))
        mine = group.pop(client)
        work = mine.popleft()
        if mine:
            group[client] = mine  # behind the other clients
        self._busy = True
        self._bytes -= work.size
        self._loop.run_in_executor(self._thread, work.run).add_done_callback(lambda _: self._finish(work))

    def _finish(self, work: Work) -> None:
        self._busy = False
        work.done()
        self._next()
