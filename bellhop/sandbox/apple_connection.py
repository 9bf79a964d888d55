"""One connection to the stand-in for Apple: the server side of HTTP/2, and failures on request."""

import asyncio
import json
import ssl
from collections.abc import Callable
from typing import Any

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import DataReceived, RequestReceived, StreamEnded, WindowUpdated
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes

from bellhop.sandbox.apple_script import AppleReply, Behaviour, Drop, GoAway, Reset, Silence

MAX_STREAMS = 1000


class IncomingRequest:
    """One request, while it arrives."""

    def __init__(self, stream_id: int, headers: dict[str, str]) -> None:
        self.stream_id, self.headers, self.body = stream_id, headers, bytearray()


Decide = Callable[["AppleConnection", IncomingRequest], Behaviour]


class AppleConnection(asyncio.Protocol):
    """Reads requests, and answers each one as `decide` says."""

    def __init__(self, number: int, decide: Decide, settings: dict[SettingCodes | int, int]) -> None:
        self.number = number
        self.silent = False
        self.close_after_handshake = False
        """The connection is closed as soon as the handshake is done."""
        self.provider_tokens: list[tuple[float, str]] = []
        """Each provider token that was used on this connection, with the unix time in seconds of its first use."""
        self.client_certificate = False
        self.open = False
        self.has_accepted = False
        self._decide = decide
        self._requests: dict[int, IncomingRequest] = {}
        self._unanswered: set[int] = set()
        self._unsent: dict[int, list[bytes]] = {}
        self._ending = False
        self._h2 = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self._h2.local_settings.update(settings)
        self._h2.local_settings.acknowledge()
        self._h2.decoder.max_allowed_table_size = settings[SettingCodes.HEADER_TABLE_SIZE]
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send our settings."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - what create_server makes
        self.transport, self.open = transport, True
        session = transport.get_extra_info("ssl_object")
        self.client_certificate = isinstance(session, ssl.SSLObject) and bool(session.getpeercert())
        self._h2.initiate_connection()
        self._write()
        if self.close_after_handshake:
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that the client has closed the connection."""
        self.open = False

    def data_received(self, data: bytes) -> None:
        """Read frames."""
        if self.silent or not self.open:
            return
        try:
            events = self._h2.receive_data(data)
        except ProtocolError:
            self._write()
            self.drop()
            return
        for event in events:
            if self.silent:  # a request earlier in the same data may have silenced the connection
                return
            if isinstance(event, RequestReceived):
                headers = {str(name): str(value) for name, value in event.headers or ()}
                self._requests[event.stream_id or 0] = IncomingRequest(event.stream_id or 0, headers)
            elif isinstance(event, DataReceived):
                if request := self._requests.get(event.stream_id or 0):
                    request.body += event.data or b""
                self._h2.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id or 0)
            elif isinstance(event, StreamEnded) and (request := self._requests.pop(event.stream_id or 0, None)):
                self._unanswered.add(request.stream_id)
                self._act(request, self._decide(self, request))
            elif isinstance(event, WindowUpdated):
                self._send_bodies()
        self._write()

    def drop(self) -> None:
        """Close the TCP connection."""
        self.open = False
        if self.transport is not None:
            self.transport.abort()

    def allow_streams(self, number: int) -> None:
        """Announce another MAX_CONCURRENT_STREAMS."""
        self._h2.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: number})
        self._write()

    def go_away(self, last_stream_id: int, reason: str = "") -> None:
        """Send GOAWAY. Requests in flight up to `last_stream_id` are still answered."""
        self._ending = True
        # h2 sends nothing more after its own GOAWAY, so the frame is written without h2.
        debug = json.dumps({"reason": reason}).encode() if reason else b""
        frame = last_stream_id.to_bytes(4) + ErrorCodes.NO_ERROR.to_bytes(4) + debug
        self._write()
        if self.transport is not None:
            self.transport.write(len(frame).to_bytes(3) + b"\x07\x00" + bytes(4) + frame)

    def _act(self, request: IncomingRequest, behaviour: Behaviour) -> None:
        match behaviour:
            case AppleReply(delay_s=delay_s) if delay_s > 0:
                asyncio.get_running_loop().call_later(delay_s, self._reply, request, behaviour)
            case AppleReply():
                self._reply(request, behaviour)
            case Reset(code=code):
                self._h2.reset_stream(request.stream_id, code)
                self._unanswered.discard(request.stream_id)
            case Silence(whole_connection=whole):
                self.silent = whole
            case Drop():
                self.drop()
            case GoAway(drain=False):
                self.go_away(max(0, request.stream_id - 2))
                if self.transport is not None:
                    self.transport.close()
                self.open = False
            case GoAway(reply=None, reason=reason):
                self.go_away(max(0, request.stream_id - 2), reason)
                self._finish(request.stream_id)
            case GoAway(reply=reply, reason=reason):
                self.go_away(request.stream_id, reason)
                self._act(request, reply or AppleReply())

    def _reply(self, request: IncomingRequest, reply: AppleReply) -> None:
        if not self.open or self.silent or request.stream_id not in self._unanswered:
            return
        headers = [(":status", str(reply.status))]
        sent_id = request.headers.get("apns-id", "")
        apns_id = {"echo": sent_id, "none": "", "upper": sent_id.upper()}.get(reply.apns_id, reply.apns_id)
        headers += [("apns-id", apns_id)] if apns_id else []
        headers += [("retry-after", reply.retry_after)] if reply.retry_after else []
        body = reply.body if reply.body is not None else _explanation(reply)
        try:
            self._h2.send_headers(request.stream_id, headers, end_stream=not body)
        except ProtocolError:  # the client has reset the stream
            self._finish(request.stream_id)
            return
        if body:
            half = len(body) // 2 if reply.split else len(body)
            self._unsent[request.stream_id] = [part for part in (body[:half], body[half:]) if part]
            self._send_bodies()
        else:
            self._finish(request.stream_id)
        self._write()

    def _send_bodies(self) -> None:
        """Send as much as the client's flow-control window allows."""
        for stream_id, parts in list(self._unsent.items()):
            try:
                while parts and self._h2.local_flow_control_window(stream_id) >= len(parts[0]):
                    part = parts.pop(0)
                    self._h2.send_data(stream_id, part, end_stream=not parts)
            except ProtocolError:
                parts.clear()
            if not parts:
                del self._unsent[stream_id]
                self._finish(stream_id)

    def _finish(self, stream_id: int) -> None:
        self._unanswered.discard(stream_id)
        if self._ending and not self._unanswered and self.transport is not None:
            self._write()
            self.transport.close()

    def _write(self) -> None:
        if self.transport is not None and not self.silent and (data := self._h2.data_to_send()):
            self.transport.write(data)


def _explanation(reply: AppleReply) -> bytes:
    explanation: dict[str, Any] = {"reason": reply.reason} if reply.reason else {}
    if reply.timestamp_ms is not None:
        explanation["timestamp"] = reply.timestamp_ms
    return json.dumps(explanation).encode() if explanation else b""
