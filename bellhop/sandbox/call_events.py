"""The custom events of calls at the stand-in for Stream: what was sent, and how it answers."""

import asyncio
import math
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from aiohttp import web

from bellhop.clock import Seconds


class CallEvent(NamedTuple):
    """A request to send a custom event to the participants of a call."""

    at: Seconds
    """Unix time in seconds."""
    cid: str
    user: str
    """In whose name."""
    custom: dict[str, Any]
    status: int


class CallEvents:
    """The requests so far, and the answers to the next ones."""

    def __init__(self, error: Callable[[int], dict[str, Any]]) -> None:
        """`error` makes the body of an answer that is an error."""
        self._error = error
        self.requests: list[CallEvent] = []
        self.statuses: list[int] = []
        """The statuses of the answers to the next requests. 0: the connection is closed without an answer."""
        self.status = 201
        """The status of all further answers."""
        self.on_request: Callable[[CallEvent], None] = lambda _: None
        self.pause_s = Seconds(0.0)
        """How long each answer is delayed."""
        self.reset_s = Seconds(1.0)
        """After a 429: when the limit starts again."""

    async def take(self, request: web.Request, claims: dict[str, Any] | None) -> web.Response:
        """Answer a request, which needs a server token and names a user."""
        body, now = await request.json(), Seconds(time.time())
        cid = f"{request.match_info['type']}:{request.match_info['id']}"
        status = 401 if claims is None else 403 if "user_id" in claims else 201 if body.get("user_id") else 400
        if status == 201:
            unknown = "bellhop-check-" in cid  # `bellhop check` names a call that does not exist
            status = self.statuses.pop(0) if self.statuses else 404 if unknown else self.status
        event = CallEvent(now, cid, body.get("user_id", ""), body.get("custom", {}), status)
        self.requests.append(event)
        self.on_request(event)
        await asyncio.sleep(self.pause_s)
        if not status and request.transport is not None:
            request.transport.close()
        headers = {"X-RateLimit-Reset": str(math.ceil(now + self.reset_s))} if status == 429 else {}
        answer = {"duration": "1.00ms"} if status == 201 else self._error(status)
        return web.json_response(answer, status=status or 500, headers=headers)

    def heard(self, cid: str) -> list[tuple[str, str]]:
        """List what the participants of a call heard: the type of each event, and the callee."""
        return [
            (event.custom["type"], event.custom["user_id"])
            for event in self.requests
            if event.cid == cid and event.status == 201
        ]
