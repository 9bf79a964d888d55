"""Read whole request bodies on the event loop, so that a slow sender does not occupy a thread.

Limits: the size and the time of one body, the number of bodies that are arriving, and the bytes of all bodies in
memory. When one of the last two is reached, the body that has been arriving for longest is dropped. Honest senders
need milliseconds, so that one is stalling.
"""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from bellhop.clock import Seconds


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """Limits for the bodies of one process."""

    body_bytes: int
    body_s: Seconds
    arriving: int
    """How many bodies may be arriving at the same time."""
    total_bytes: int


@dataclass(eq=False, slots=True)
class _Body:
    timeout: asyncio.Timeout
    chunks: list[bytes] = field(default_factory=list)
    size: int = 0


class Bodies:
    """The bodies of one process that are arriving or being answered."""

    def __init__(self, limits: BodyLimits) -> None:
        self._limits = limits
        self._arriving: dict[_Body, None] = {}  # in the order in which they began
        self._total_bytes = 0

    @asynccontextmanager
    async def whole(self, chunks: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
        """Read a body, and count its bytes until the block ends. A too large body is cut a little beyond the limit.

        Raises TimeoutError for a body that took too long or was dropped, and what `chunks` raises.
        """
        timeout = asyncio.timeout(self._limits.body_s)
        body = _Body(timeout)
        try:
            async with timeout:
                await self._read(body, chunks)
            yield b"".join(body.chunks)
        finally:
            self._arriving.pop(body, None)
            self._total_bytes -= body.size

    async def _read(self, body: _Body, chunks: AsyncIterable[bytes]) -> None:
        self._arriving[body] = None
        self._drop_stalled()
        async for chunk in chunks:
            body.chunks.append(chunk)
            body.size += len(chunk)
            self._total_bytes += len(chunk)
            self._drop_stalled()
            if body.size > self._limits.body_bytes:
                break
        self._arriving.pop(body, None)

    def _drop_stalled(self) -> None:
        while self._arriving and self._over_limits():
            oldest = next(iter(self._arriving))
            del self._arriving[oldest]
            self._total_bytes -= oldest.size
            oldest.size = 0
            oldest.chunks.clear()
            oldest.timeout.reschedule(0)  # in the past: its reader gets a TimeoutError

    def _over_limits(self) -> bool:
        return len(self._arriving) > self._limits.arriving or self._total_bytes > self._limits.total_bytes
