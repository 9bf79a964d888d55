"""The requests of one connection: which are on the wire, and which wait until the peer's limits allow them."""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError

from worker.providers.http2.h2_adapter import Http2
from worker.providers.http2.http2_stream import DelayedError, Http2Stream, UnknownError, UnsentError


class StreamTable:
    """Sends queued requests within the peer's limits (streams, flow control), and keeps those without an answer."""

    def __init__(self, conn: Http2, flush: Callable[[], None], last_stream_id: int) -> None:
        self._conn, self._flush, self._last_stream_id = conn, flush, last_stream_id
        self._loop = asyncio.get_running_loop()
        self.limit = 1
        """How many streams may be open. 1 until the peer has sent its settings."""
        self.exhausted = False
        """Set when no stream ids are left: nothing more is sent."""
        self.open: dict[int, Http2Stream] = {}
        """Requests on the wire without an answer, by stream id."""
        self._queue: deque[Http2Stream] = deque()
        self._unfinished: dict[int, bytes] = {}
        """The rest of each body that did not fit into its stream's window."""

    def __len__(self) -> int:
        """How many requests are without an answer, sent or not."""
        return len(self.open) + len(self._queue)

    @property
    def full(self) -> bool:
        """Whether another request would wait for the peer's limits, as far as is known."""
        return len(self.open) >= self.limit or bool(self._queue)

    def add(self, stream: Http2Stream) -> None:
        """Send a request now, or as soon as the peer's limits allow."""
        self._queue.append(stream)
        self.send_queued()

    def send_queued(self) -> None:
        """Send as much as the peer's limits allow now."""
        for stream_id in list(self._unfinished):
            self._send_body(stream_id, self._unfinished.pop(stream_id))
        while self._queue and not self.exhausted and self._has_room(len(self._queue[0].body)):
            stream = self._queue.popleft()
            if self._loop.time() > stream.not_after_s:
                stream.fail(DelayedError("it waited too long for a free stream"))
            else:
                self._send(stream)

    def _has_room(self, size: int) -> bool:
        """A stream starts only if its whole body can follow: half a request is of no use to the peer."""
        return len(self.open) < self.limit and self._conn.outbound_flow_control_window >= size and not self._unfinished

    def _send(self, stream: Http2Stream) -> None:
        stream.id, rest = self._conn.send_request(stream.header_block, stream.body)
        self.open[stream.id] = stream
        self._flush()
        if rest:
            self._send_body(stream.id, rest)
        else:
            stream.sent = True
        self.exhausted = stream.id > self._last_stream_id

    def _send_body(self, stream_id: int, body: bytes) -> None:
        # New settings can shrink a window after it was used: it can be below zero (RFC 9113, section 6.9.2).
        room = max(0, min(self._conn.local_flow_control_window(stream_id), self._conn.max_outbound_frame_size))
        if body[:room]:
            try:
                self._conn.send_data(stream_id, body[:room], end_stream=len(body) <= room)
            except ProtocolError:  # the peer has just reset the stream, and that event comes next
                return
            self._flush()
        if len(body) > room:
            self._unfinished[stream_id] = body[room:]
        else:
            self.open[stream_id].sent = True

    def release(self, stream: Http2Stream) -> bool:
        """Remove a request that has no answer and needs none. Returns whether that freed a stream."""
        if self.open.pop(stream.id, None):
            self._reset(stream.id)
            return True
        if not stream.id and stream in self._queue:
            self._queue.remove(stream)
        return False

    def end(self, stream_id: int) -> Http2Stream | None:
        """Remove a request that the peer has answered. None if nobody waits for it any more."""
        if stream := self.open.pop(stream_id, None):
            if stream_id in self._unfinished:  # answered before the whole request was sent
                self._reset(stream_id)
            self._conn.forget(stream_id)
        return stream

    def end_reset(self, stream_id: int) -> Http2Stream | None:
        """Remove a request whose stream the peer has reset. None if nobody waits for it any more."""
        if stream := self.open.pop(stream_id, None):
            self._unfinished.pop(stream_id, None)
            self._conn.forget(stream_id)
        return stream

    def fail_queued(self, why: str) -> None:
        """Fail the requests that are not on the wire: they may be repeated at once."""
        queued, self._queue = self._queue, deque()
        error = UnsentError(why)
        for stream in queued:
            stream.fail(error)

    def fail_after(self, last_stream_id: int, why: str) -> None:
        """Fail requests with a higher stream id than the last one that the peer read: they may be repeated at once."""
        for stream_id in [stream_id for stream_id in self.open if stream_id > last_stream_id]:
            self._unfinished.pop(stream_id, None)
            self.open.pop(stream_id).fail(UnsentError(why))

    def fail_all(self, why: str) -> None:
        """Fail every request: the peer may have acted on those that are on the wire."""
        streams, self.open = self.open, {}
        self._unfinished.clear()
        unknown, unsent = UnknownError(why), UnsentError(why)  # the same for all: it is one fault
        for stream in streams.values():
            stream.fail(unknown if stream.sent else unsent)
        self.fail_queued(why)

    def _reset(self, stream_id: int) -> None:
        self._unfinished.pop(stream_id, None)
        with suppress(ProtocolError):  # the peer may have ended it
            self._conn.reset_stream(stream_id, ErrorCodes.CANCEL)
        self._conn.forget(stream_id)
        self._flush()
