"""A stand-in for the team's backend: it receives events, checks their signatures, and fails on request."""

import asyncio
import json
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from aiohttp import web
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from bellhop.clock import Seconds
from bellhop.sandbox.http_stand_in import HttpStandIn
from bellhop.sandbox.tls import Authority

LARGEST = 1 << 20
"""The largest body that is received, in bytes."""


class ReceivedEvent(NamedTuple):
    """One request."""

    event: dict[str, Any]
    headers: Mapping[str, str]
    body: str
    problem: str
    """What is wrong with its signature; empty if it is valid."""
    at: Seconds
    """Unix time in seconds."""


class EventReply(NamedTuple):
    """An answer to a request."""

    status: int = 204
    headers: Mapping[str, str] = {}
    body: bytes = b""
    delay_s: Seconds = Seconds(0.0)


class EventReceiver(HttpStandIn):
    """An endpoint of the team's backend. A signature by any of the secrets is valid."""

    def __init__(
        self,
        secrets: Sequence[str],
        *,
        port: int = 0,
        authority: Authority | None = None,
        on_event: Callable[[ReceivedEvent], None] | None = None,
    ) -> None:
        super().__init__(authority, port)
        self._on_event = on_event
        self._signers = [Webhook(secret) for secret in secrets]
        self.received: list[ReceivedEvent] = []
        self.reply = EventReply()
        """The usual answer."""
        self.replies: defaultdict[str, list[EventReply]] = defaultdict(list)
        """By call, the answers to the next requests about it, instead of the usual one."""
        self.under_way = self.most_under_way = 0

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"{'https' if self._authority else 'http'}://localhost:{self.port}/events"

    def _application(self) -> web.Application:
        app = web.Application(client_max_size=LARGEST)
        app.router.add_post("/{path:.*}", self._receive)
        return app

    async def _receive(self, request: web.Request) -> web.Response:
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            body = await request.text()
            received = ReceivedEvent(
                _fields(body), dict(request.headers), body, self._problem(request, body), Seconds(time.time())
            )
            listed = self.replies[str(received.event.get("data", {}).get("call_cid"))]
            reply = listed.pop(0) if listed else self.reply
            self.received.append(received)
            if self._on_event is not None:
                self._on_event(received)
            await asyncio.sleep(reply.delay_s)
            return web.Response(status=reply.status, headers=dict(reply.headers), body=reply.body)
        finally:
            self.under_way -= 1

    def _problem(self, request: web.Request, body: str) -> str:
        problem = "there is no secret to check it with"
        for signer in self._signers:
            try:
                signer.verify(body, dict(request.headers), json_parse=False)
            except (WebhookVerificationError, ValueError) as error:
                problem = str(error)
            else:
                return ""
        return problem


def _fields(body: str) -> dict[str, Any]:
    try:
        fields = json.loads(body)
    except ValueError:
        return {}
    return fields if isinstance(fields, dict) else {}
