"""A stand-in for Stream's REST interface: devices, call types and hooks, with server tokens and a rate limit."""

import asyncio
import json
import math
import time
import warnings
from typing import Any, Self

import jwt
from aiohttp import web

from bellhop.clock import Seconds

PIECE, PIECE_PAUSE_S = 1_400, 0.005
"""Bytes in the first piece of an answer, and the pause before the second piece."""
PUSHES = ("call_ring", "call_missed", "call_notification", "call_live_started", "session_started")


def call_type(*on: str, enabled: bool = True) -> dict[str, Any]:
    """Make a call type for which Stream sends the pushes `on` itself."""
    pushes = {name: {"enabled": name in on, "apns": {}, "fcm": {}} for name in PUSHES}
    return {"notification_settings": {"enabled": enabled, **pushes}, "settings": {}, "grants": {}}


def hook(url: str, *events: str, enabled: bool = True) -> dict[str, Any]:
    """Make a webhook of an app; without `events`, for all event types."""
    return {"enabled": enabled, "hook_type": "webhook", "webhook_url": url, "event_types": list(events)}


class StreamApiStandIn:
    """Listens on 127.0.0.1. Use it as `async with StreamApiStandIn(key, secret) as stand_in`.

    It counts `per_minute` requests for each window of `window_s`, as Stream does for each minute of the clock.
    """

    def __init__(self, api_key: str, secret: str, *, per_minute: int = 60, window_s: Seconds = Seconds(60)) -> None:
        self.secrets = {api_key: secret}
        """The secret of each app, by API key. All apps share the data below."""
        self.per_minute, self.window_s = per_minute, window_s
        self.devices: dict[str, list[dict[str, Any]]] = {}
        self.call_types: dict[str, dict[str, Any]] = {}
        """By name, as `call_type` makes them."""
        self.app: dict[str, Any] = {"event_hooks": []}
        """What Stream returns about an app, as far as Bellhop reads it."""
        self.asked: list[tuple[Seconds, str, int]] = []
        """The requests for devices: unix time in seconds, user id, and status of the answer."""
        self.broken: list[int] = []
        """Error statuses for the next requests."""
        self.pause_s = Seconds(0.0)
        """How long each answer is delayed."""
        app = web.Application()
        app.router.add_get("/api/v2/devices", self._list)
        app.router.add_get("/api/v2/video/calltypes", self._call_types)
        app.router.add_get("/api/v2/app", self._app)
        self._runner = web.AppRunner(app)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _list(self, request: web.Request) -> web.StreamResponse:
        now = Seconds(time.time())
        window_end = (math.floor(now / self.window_s) + 1) * self.window_s
        used = sum(at >= window_end - self.window_s for at, _, status in self.asked if status != 429)
        user = request.query.get("user_id", "")
        status = self._status(request, used)
        self.asked.append((now, user, status))
        await asyncio.sleep(self.pause_s)
        headers = {
            "X-RateLimit-Limit": str(self.per_minute),
            "X-RateLimit-Remaining": str(max(0, self.per_minute - used - 1)),
            "X-RateLimit-Reset": str(math.ceil(window_end)),
        }
        if status != 200:
            return web.json_response({"code": 9, "message": "no"}, status=status, headers=headers)
        answer = json.dumps({"devices": self.devices.get(user, []), "duration": "1.00ms"}).encode()
        response = web.StreamResponse(headers=headers | {"Content-Type": "application/json"})
        await response.prepare(request)
        # In two pieces, as the network delivers an answer that is longer than a packet.
        await response.write(answer[:PIECE])
        await asyncio.sleep(PIECE_PAUSE_S)
        await response.write(answer[PIECE:])
        return response

    async def _call_types(self, request: web.Request) -> web.Response:
        return self._answer(request, {"call_types": self.call_types})

    async def _app(self, request: web.Request) -> web.Response:
        return self._answer(request, {"app": self.app})

    def _answer(self, request: web.Request, answer: dict[str, Any]) -> web.Response:
        status = self._status(request, 0)
        return web.json_response(answer | {"duration": "1.00ms"} if status == 200 else {"code": 5}, status=status)

    def _status(self, request: web.Request, used: int) -> int:
        if self.broken:
            return self.broken.pop(0)
        secret = self.secrets.get(request.query.get("api_key", ""))
        if request.headers.get("stream-auth-type") != "jwt" or secret is None:
            return 401
        try:
            with warnings.catch_warnings(category=jwt.warnings.InsecureKeyLengthWarning, action="ignore"):
                claims = jwt.decode(request.headers.get("Authorization", ""), secret, algorithms=["HS256"])
        except jwt.PyJWTError:
            return 401
        if claims.get("server") is not True:
            return 403
        return 200 if used < self.per_minute else 429
