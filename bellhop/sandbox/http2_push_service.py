"""The stand-in for a push service, as most of them are: it speaks HTTP/2."""

import asyncio
from typing import Self

from h2.settings import SettingCodes
from multidict import CIMultiDict

from bellhop.sandbox.apple_connection import MAX_STREAMS, AppleConnection, IncomingRequest
from bellhop.sandbox.apple_script import AppleReply, Behaviour, Drop, Silence
from bellhop.sandbox.child_process import free_port
from bellhop.sandbox.google_script import GoogleReply
from bellhop.sandbox.push_service import PushServiceStandIn

SETTINGS: dict[SettingCodes | int, int] = {
    SettingCodes.MAX_CONCURRENT_STREAMS: MAX_STREAMS,
    SettingCodes.INITIAL_WINDOW_SIZE: 65_535,
    SettingCodes.HEADER_TABLE_SIZE: 4096,
}

FRAME_BYTES = 16_384


class Http2PushService(PushServiceStandIn):
    """Answers as its base does, on HTTP/2 connections."""

    connections: list[AppleConnection]
    """All since the start, closed ones included."""

    async def start(self) -> Self:
        """Start to listen."""
        assert self._authority is not None  # noqa: S101 - the base requires one
        self.connections = []
        context = self._authority.server_context("h2")
        loop = asyncio.get_running_loop()
        self.port = self.port or free_port()
        self._server = await loop.create_server(self._connection, "127.0.0.1", self.port, ssl=context, backlog=1024)
        return self

    async def stop(self) -> None:
        """Stop, without waiting for open requests."""
        self._server.close()
        for connection in self.connections:
            connection.drop()
        await asyncio.sleep(0)  # the transports close in the next turn of the loop

    def _connection(self) -> AppleConnection:
        self.connections.append(AppleConnection(len(self.connections) + 1, self._decide, SETTINGS))
        return self.connections[-1]

    def _decide(self, connection: AppleConnection, request: IncomingRequest) -> Behaviour:
        endpoint = f"https://{self.host}{request.headers[':path']}"
        self.requests[endpoint] += 1
        self.clients.add(connection.number)
        reply = script.pop(0) if (script := self._scripts.get(endpoint)) else GoogleReply(how="normal")
        if reply.how != "normal":
            return _behaviour(reply)
        refusal = self._accept(endpoint, CIMultiDict(request.headers), bytes(request.body))
        if refusal is None:
            return AppleReply(201, delay_s=reply.after_s)
        self.refused.append(refusal)
        return AppleReply(refusal.status, body=refusal.text.encode())


def _behaviour(reply: GoogleReply) -> Behaviour:
    if reply.how in ("silence", "drop"):
        return Silence() if reply.how == "silence" else Drop()
    retry_after, is_long = reply.headers.get("Retry-After", ""), len(reply.body) > FRAME_BYTES
    return AppleReply(reply.status, retry_after=retry_after, body=reply.body, split=is_long, delay_s=reply.after_s)
