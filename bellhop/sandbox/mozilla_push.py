"""A stand-in for Mozilla's push service, as far as one Firefox needs it: the WebSocket by which messages come."""

import asyncio
import base64
import json
import uuid
from collections import Counter
from functools import partial
from typing import Any

from aiohttp import WSMsgType, web

from bellhop.sandbox.push_service import PushServiceStandIn

DELIVERED, UNREADABLE, WORKER_FAILED = 100, 101, 102
"""Firefox's codes for a message: shown to the worker; not decrypted; the worker's event failed."""


class MozillaPush:
    """Firefox connects here (`dom.push.serverURL`). Its subscriptions have endpoints of `service`."""

    def __init__(self, service: PushServiceStandIn) -> None:
        self.acks: Counter[int] = Counter()
        """How many messages Firefox acknowledged with each code."""
        self._service = service
        self.connected = asyncio.Event()
        self._sockets: list[web.WebSocketResponse] = []

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        """Answer what Firefox sends."""
        socket = web.WebSocketResponse(protocols=("push-notification",))
        await socket.prepare(request)
        async for message in socket:
            if (
                message.type is WSMsgType.TEXT
                and (answer := self._answer(json.loads(message.data), socket)) is not None
            ):
                await socket.send_str(json.dumps(answer))
        return socket

    def _answer(self, sent: dict[str, Any], socket: web.WebSocketResponse) -> dict[str, Any] | None:
        match sent:
            case {"messageType": "hello"}:
                self._sockets.append(socket)
                self.connected.set()
                return {"messageType": "hello", "uaid": uuid.uuid4().hex, "status": 200, "use_webpush": True}
            case {"messageType": "register", "channelID": channel, "key": public_key}:
                return self._register(channel, public_key)
            case {"messageType": "ack", "updates": updates}:
                self.acks.update(update["code"] for update in updates)
        return None

    def _register(self, channel: str, public_key: str) -> dict[str, Any]:
        endpoint = self._service.connect(channel, public_key, partial(self._deliver, channel)).endpoint
        return {"messageType": "register", "status": 200, "channelID": channel, "pushEndpoint": endpoint}

    async def _deliver(self, channel: str, body: bytes, ttl_s: int) -> None:
        message = {
            **{"messageType": "notification", "channelID": channel, "version": uuid.uuid4().hex, "ttl": ttl_s},
            **{"data": base64.urlsafe_b64encode(body).rstrip(b"=").decode(), "headers": {"encoding": "aes128gcm"}},
        }
        await self.connected.wait()
        await self._sockets[-1].send_str(json.dumps(message))
