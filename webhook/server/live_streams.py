"""All open streams of one process, and the one connection to Redis that brings the announcements.

A stream first gets a snapshot, which is read after Redis has confirmed the subscription: so no announcement is lost in
between. If the connection to Redis is lost, the streams stay open, and get a new snapshot once it is back.
"""

import asyncio
import time
from collections import Counter

from redis.exceptions import RedisError

from bellhop.backoff import pause_s
from bellhop.clock import Seconds
from bellhop.store.async_client import Store
from bellhop.store.keys import live_channel
from bellhop.store.subscription import Subscription
from bellhop.telemetry import metrics
from bellhop.telemetry.outage import RedisOutage
from bellhop.telemetry.web_processes import OWN_ENTRY
from webhook.api_errors import ApiErrorKind
from webhook.live_reader import LiveReader
from webhook.server.live_bounds import LiveBounds
from webhook.server.live_call import LiveCall
from webhook.server.live_events import read_message
from webhook.server.live_stream import LiveStream, StreamConnection

FIRST_PAUSE_S, LONGEST_PAUSE_S = Seconds(0.1), Seconds(2.0)
"""Pauses before Redis is tried again."""
PAUSE_PER_SNAPSHOT = 9
"""After a snapshot, the next one waits 9 times as long as this one took to make. So all snapshots together take at most
a tenth of the event loop's time, however large the calls are and however often clients come back."""


class LiveStreams:
    """The open streams of one process. Used on its event loop alone."""

    def __init__(self, store: Store, bounds: LiveBounds, address: str) -> None:
        self._store, self._bounds = store, bounds
        self._outage = RedisOutage("live_redis_away", "live_redis_back", address=address)
        self._loop = asyncio.get_running_loop()
        self.open_streams = 0
        self._calls: dict[str, LiveCall] = {}
        """By channel."""
        self._of_token: Counter[tuple[str, str | None]] = Counter()
        self._subscription: Subscription | None = None
        self._listening: asyncio.Task[None] | None = None
        self._snapshots = asyncio.Lock()
        self._stopped = False

    @property
    def listens(self) -> bool:
        """Whether the connection to Redis is open, as far as this process knows."""
        return self._subscription is not None

    def refusal(self, reader: LiveReader) -> ApiErrorKind | None:
        """Return why the reader gets no stream now; None if it gets one."""
        if self._stopped:
            return ApiErrorKind.STREAMS_FULL
        call = self._calls.get(_channel(reader))
        of_token, of_call = self._of_token[_token(reader)], len(call.streams) if call else 0
        return self._bounds.refusal(reader, streams=self.open_streams, of_token=of_token, of_call=of_call)

    def open(self, reader: LiveReader, connection: StreamConnection) -> LiveStream:
        """Begin a stream on a connection that has written the head of the response."""
        channel, now_s = _channel(reader), self._loop.time()
        call = self._calls.get(channel)
        if call is None:
            call = self._calls[channel] = LiveCall(reader.tenant, reader.cid)
            if self._subscription:
                self._subscription.subscribe(channel)
        stream = LiveStream(reader, connection, now_s, now_s + self._bounds.stream_lasts_s(reader, time.time()))
        call.streams[stream] = None
        self._count(reader, 1)
        if self._listening is None or self._listening.done():
            self._listening = asyncio.ensure_future(self._listen())
        self._show_snapshots(call)
        return stream

    def forget(self, stream: LiveStream, end: str) -> None:
        """Forget a stream that has ended. `end` says why, for the metric."""
        channel = _channel(stream.reader)
        call = self._calls.get(channel)
        if call is None or stream not in call.streams:
            return
        del call.streams[stream]
        self._count(stream.reader, -1)
        metrics.LIVE_STREAMS.add(end)
        if not call.streams:
            del self._calls[channel]
            if self._subscription:
                self._subscription.unsubscribe(channel)

    def keep_time(self) -> None:
        """Send comments to quiet streams, and end those whose time is over."""
        now_s = self._loop.time()
        for stream in self._all():
            if not stream.keep_time(now_s):
                self._end(stream, "time_over")

    async def stop(self) -> None:
        """End all streams: their clients open others at another process, or at this one's successor."""
        self._stopped = True
        for stream in self._all():
            self._end(stream, "stopping")
        if self._listening:
            self._listening.cancel()
            await asyncio.wait([self._listening])
        await self._store.close()

    # The subscription calls these

    def subscribed(self, channel: str) -> None:
        """Read a snapshot for each stream of the call: from now on, every announcement arrives."""
        self._outage.note_answer()
        if call := self._calls.get(channel):
            call.subscribed = True
            self._show_snapshots(call)

    def received(self, channel: str, message: bytes) -> None:
        """Send an announcement to each stream of the call."""
        call = self._calls.get(channel)
        event = read_message(message) if call else None
        if call and event:
            call.show(event, self._loop.time())

    def _count(self, reader: LiveReader, change: int) -> None:
        token = _token(reader)
        self._of_token[token] += change
        if not self._of_token[token]:
            del self._of_token[token]
        self.open_streams += change
        OWN_ENTRY.live_streams = self.open_streams

    def _all(self) -> list[LiveStream]:
        return [stream for call in self._calls.values() for stream in call.streams]

    def _end(self, stream: LiveStream, reason: str) -> None:
        self.forget(stream, reason)
        stream.end(reason)

    async def _listen(self) -> None:
        """Keep one subscription open, from the first stream until the process stops."""
        failures = 0
        while True:
            subscription = Subscription(self)
            try:
                await subscription.open(self._store.new_connection())
                self._subscription = subscription
                subscription.subscribe(*self._calls)
                began_s = self._loop.time()
                self._outage.note_redis_error(await asyncio.shield(subscription.lost))
                failures = 0 if self._loop.time() - began_s > LONGEST_PAUSE_S else failures + 1
            except RedisError as error:
                self._outage.note_redis_error(error)
                failures += 1
            finally:
                self._subscription = None
                await subscription.close()
            for call in self._calls.values():
                call.lose()
            await asyncio.sleep(pause_s(failures, FIRST_PAUSE_S, LONGEST_PAUSE_S))

    def _show_snapshots(self, call: LiveCall) -> None:
        if call.subscribed and (call.reading is None or call.reading.done()):
            call.reading = asyncio.ensure_future(self._read_snapshots(call))

    async def _read_snapshots(self, call: LiveCall) -> None:
        """Send a snapshot to each stream of the call that needs one, until none does."""
        failures = 0
        while call.subscribed and call.waiting:
            try:
                async with self._snapshots:
                    took_s = await call.read_snapshot(self._store)
                    self._outage.note_answer()
                    await asyncio.sleep(PAUSE_PER_SNAPSHOT * took_s)
            except RedisError as error:
                self._outage.note_redis_error(error)
                await asyncio.sleep(pause_s(failures, FIRST_PAUSE_S, LONGEST_PAUSE_S))
                failures += 1


def _channel(reader: LiveReader) -> str:
    return live_channel(reader.tenant, reader.cid)


def _token(reader: LiveReader) -> tuple[str, str | None]:
    return reader.tenant, reader.user_id
