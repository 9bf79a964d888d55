"""Whole bodies or none, read on the event loop: a sender that takes its time holds no thread.

Bounded are the size of a body and its time, how many are on their way at once, and the bytes of all that are here.
Where one bound of all is reached, the body goes that has been on its way for longest: an honest one is here within
milliseconds, so it is somebody who stalls.
"""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from bellhop.clock import Seconds


@dataclass(eq=False, slots=True)
class _Body:
    time: asyncio.Timeout
    chunks: list[bytes] = field(default_factory=list)
    size: int = 0


class Bodies:
    """All bodies of one process. `longest` and `most_bytes` in bytes; `most` may be on their way at once."""

    def __init__(self, longest: int, within_s: Seconds, most: int, most_bytes: int) -> None:
        self._longest, self._within_s, self._most, self._most_bytes = longest, within_s, most, most_bytes
        self._arriving: dict[_Body, None] = {}  # the first to begin comes first
        self._held = 0

    @asynccontextmanager
    async def whole(self, chunks: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
        """Read a body, and count it until the block ends; of a longer one than `longest`, a little more than that.

        Raises TimeoutError for a body that took too long or had to make room, and what `chunks` raises.
        """
        time = asyncio.timeout(self._within_s)
        body = _Body(time)
        try:
            async with time:
                self._arriving[body] = None
                self._make_room()
                async for chunk in chunks:
                    body.chunks.append(chunk)
                    body.size += len(chunk)
                    self._held += len(chunk)
                    self._make_room()
                    if body.size > self._longest:
                        break
                self._arriving.pop(body, None)
            yield b"".join(body.chunks)
        finally:
            self._arriving.pop(body, None)
            self._held -= body.size

    def _make_room(self) -> None:
        while self._arriving and (len(self._arriving) > self._most or self._held > self._most_bytes):
            body = next(iter(self._arriving))
            del self._arriving[body]
            self._held -= body.size
            body.size = 0
            body.chunks.clear()
            body.time.reschedule(0)  # long ago: TimeoutError, where it waits for more
