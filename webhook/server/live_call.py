"""The open streams of one call, and the snapshot that each of them gets."""

import asyncio
import time
from dataclasses import dataclass, field

from bellhop.clock import Seconds
from bellhop.store.announced_rounds import read_latest_rounds
from bellhop.store.async_client import Store
from webhook.server.live_events import LiveEvent, snapshot
from webhook.server.live_stream import LiveStream


@dataclass(eq=False, slots=True)
class LiveCall:
    """The streams of one call."""

    tenant: str
    cid: str
    streams: dict[LiveStream, None] = field(default_factory=dict)
    subscribed: bool = False
    """Whether Redis has confirmed the subscription."""
    reading: asyncio.Task[None] | None = None
    """The task that reads snapshots."""

    @property
    def waiting(self) -> list[LiveStream]:
        """The streams whose readers do not know what was announced before."""
        return [stream for stream in self.streams if stream.needs_snapshot]

    def show(self, event: LiveEvent, now_s: float) -> None:
        """Send an announcement to each stream."""
        for stream in list(self.streams):
            stream.show(event, now_s)

    def lose(self) -> None:
        """Let every stream wait for a new snapshot: the subscription was lost."""
        self.subscribed = False
        if self.reading:
            # What it reads now may be older than the next subscription: an announcement in between would be lost.
            self.reading.cancel()
            self.reading = None
        for stream in self.streams:
            stream.await_snapshot()

    async def read_snapshot(self, store: Store) -> Seconds:
        """Send a snapshot to each stream that waits for one now; returns how long it took to make.

        Raises as the store does.
        """
        waiting = self.waiting
        if not waiting:  # all have left
            return Seconds(0.0)
        for stream in waiting:
            stream.await_snapshot()
        rounds = await read_latest_rounds(store, self.tenant, self.cid)
        began_s, now_s = time.perf_counter(), asyncio.get_running_loop().time()
        event = snapshot(self.cid, rounds)
        for stream in waiting:
            if stream in self.streams:
                stream.show_snapshot(event, now_s)
        return Seconds(time.perf_counter() - began_s)
