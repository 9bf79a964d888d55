"""A stand-in for Google's push service, as far as one Chromium needs it: check-in, registration, and a connection.

Chromium speaks Google Cloud Messaging: two HTTP requests, then a TLS connection. A message on it is a byte for its
kind, its length, and its fields as protobuf (Chromium's google_apis/gcm/protocol/ has them).
"""

import asyncio
import struct
import time
import uuid
from contextlib import suppress

from aiohttp import web

from bellhop.sandbox.push_service import PushServiceStandIn
from bellhop.sandbox.tls import Authority

VERSION = b"\x29"
HEARTBEAT, HEARTBEAT_ACK, LOGIN, LOGIN_RESPONSE, DATA_MESSAGE = 0, 1, 2, 3, 8
"""Kinds of messages on the connection."""


class GooglePush:
    """Chromium connects here (`--gcm-…`). In `service`, the endpoint of each subscription ends with its token."""

    def __init__(self, service: PushServiceStandIn, authority: Authority) -> None:
        self.port = 0
        self._service, self._authority = service, authority
        self._writers: list[asyncio.StreamWriter] = []
        self._connected = asyncio.Event()

    async def start(self) -> None:
        """Listen for the connection."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._authority.server_context())
        self._server, self.port = server, server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """End the connection."""
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()

    async def check_in(self, _: web.Request) -> web.Response:
        """Give the browser its device id and its security token."""
        device_id, security_token = _fixed(7, 42), _fixed(8, 43)
        return web.Response(body=_field(1, 1) + _field(3, _now_ms()) + device_id + security_token + _field(11, "1"))

    async def register(self, request: web.Request) -> web.Response:
        """Give a subscription its token, with which its endpoint ends."""
        form = await request.post()
        app, sender = str(form["app"]), str(form["sender"])
        subtype, token = str(form.get("X-subtype", app)), uuid.uuid4().hex

        async def deliver(body: bytes, ttl_s: int) -> None:
            names = _field(2, uuid.uuid4().hex) + _field(3, sender) + _field(5, app)
            app_data = _app_data("subtype", subtype) + _app_data("content-encoding", "aes128gcm")
            times = _field(9, uuid.uuid4().hex) + _field(17, ttl_s) + _field(18, _now_ms())
            await self._connected.wait()
            _send(self._writers[-1], DATA_MESSAGE, names + app_data + times + _field(21, body))

        self._service.connect(token, sender, deliver)
        return web.Response(text=f"token={token}")

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            await reader.readexactly(len(VERSION))
            writer.write(VERSION)
            while True:
                kind = (await reader.readexactly(1))[0]
                await reader.readexactly(await _read_length(reader))
                if kind == LOGIN:
                    _send(writer, LOGIN_RESPONSE, _field(1, "1") + _field(8, _now_ms()))
                    self._writers.append(writer)
                    self._connected.set()
                elif kind == HEARTBEAT:
                    _send(writer, HEARTBEAT_ACK, b"")
        writer.close()


def _send(writer: asyncio.StreamWriter, kind: int, message: bytes) -> None:
    writer.write(bytes([kind]) + _varint(len(message)) + message)


async def _read_length(reader: asyncio.StreamReader) -> int:
    length = shift = 0
    while True:
        byte = (await reader.readexactly(1))[0]
        length |= (byte & 0x7F) << shift
        if byte < 0x80:
            return length
        shift += 7


def _varint(number: int) -> bytes:
    encoded = b""
    while number > 0x7F:
        encoded += bytes([number & 0x7F | 0x80])
        number >>= 7
    return encoded + bytes([number])


def _field(number: int, value: int | str | bytes) -> bytes:
    """Encode a field of protobuf."""
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    content = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _fixed(number: int, value: int) -> bytes:
    """Encode a field of eight bytes."""
    return _varint(number << 3 | 1) + struct.pack("<Q", value)


def _app_data(key: str, value: str) -> bytes:
    return _field(7, _field(1, key) + _field(2, value))


def _now_ms() -> int:
    return int(time.time() * 1000)
