"""A stand-in for Stream's REST interface: devices, call types, hooks, calls, rejects and events.

It knows the truth of each call (`calls`), whichever webhooks are lost on the way to Bellhop.
"""

import asyncio
import json
import math
import time
import warnings
from email.utils import formatdate
from typing import Any, NamedTuple

import jwt
from aiohttp import web

from bellhop.clock import Seconds
from bellhop.sandbox.call_events import CallEvents
from bellhop.sandbox.http_stand_in import HttpStandIn
from bellhop.sandbox.stream_integers import with_integers
from bellhop.sandbox.stream_webhooks import SampleCall

PIECE, PIECE_PAUSE_S = 1_400, 0.005
"""Bytes in the first piece of an answer, and the pause before the second piece."""
ERROR_CODES = {401: 5, 403: 17, 429: 9}
"""Stream's own code for an error, by HTTP status."""
PUSHES = ("call_ring", "call_missed", "call_notification", "call_live_started", "session_started")


def call_type(*on: str, enabled: bool = True, **templates: dict[str, Any]) -> dict[str, Any]:
    """Make a call type for which Stream sends the pushes `on` itself. `templates` are apns and fcm, by push."""
    pushes = {name: {"enabled": name in on, "apns": {}, "fcm": {}} | templates.get(name, {}) for name in PUSHES}
    return {"notification_settings": {"enabled": enabled, **pushes}, "settings": {}, "grants": {}}


def hook(url: str, *events: str, enabled: bool = True) -> dict[str, Any]:
    """Make a webhook of an app; without `events`, for all event types."""
    return {"enabled": enabled, "hook_type": "webhook", "webhook_url": url, "event_types": list(events)}


def api_error(status: int) -> dict[str, Any]:
    """Make the body of an answer that is an error: Stream's SDKs need all of its fields."""
    fields = {"code": ERROR_CODES.get(status, 16), "message": f"status {status}", "StatusCode": status, "details": []}
    return fields | {"duration": "0.00ms", "more_info": ""}


class Question(NamedTuple):
    """A request for the state of a ring, or for a call."""

    at: Seconds
    """Unix time in seconds."""
    cid: str
    what: str
    """ring_state or call."""
    status: int


class Reject(NamedTuple):
    """A request to reject a ring."""

    at: Seconds
    """Unix time in seconds."""
    cid: str
    user: str
    """The user of its token; empty if the token has no user."""
    reason: str
    status: int


LONGEST_TOKEN_S = 600
"""The longest time that a token may be valid if it rejects a ring."""


def _is_short(claims: dict[str, Any]) -> bool:
    return bool(claims.get("exp", math.inf) - time.time() <= LONGEST_TOKEN_S)


class StreamApiStandIn(HttpStandIn):
    """Stream's REST interface.

    It counts `per_minute` requests for each window of `window_s`, as Stream does for each minute of the clock.
    """

    def __init__(self, api_key: str, secret: str, *, per_minute: int = 60, window_s: Seconds = Seconds(60)) -> None:
        super().__init__()
        self.secrets = {api_key: secret}
        """The secret of each app, by API key. All apps share the data below."""
        self.per_minute, self.window_s = per_minute, window_s
        self.devices: dict[str, list[dict[str, Any]]] = {}
        self.call_types: dict[str, dict[str, Any]] = {}
        """By name, as `call_type` makes them."""
        self.app: dict[str, Any] = {"event_hooks": []}
        """What Stream returns about an app, as far as Bellhop reads it."""
        self.app_reads = 0
        """Requests for that."""
        self.asked: list[tuple[Seconds, str, int]] = []
        """The requests for devices: unix time in seconds, user id, and status of the answer."""
        self.broken: list[int] = []
        """Error statuses for the next requests."""
        self.pause_s = Seconds(0.0)
        """How long each list of devices is delayed."""
        self.calls: dict[str, list[SampleCall]] = {}
        """The sessions of each call, by cid, the latest last."""
        self.questions: list[Question] = []
        self.question_status = 0
        """If above 0: the status of every answer about a call."""
        self.question_pause_s = Seconds(0.0)
        """How long each answer about a call is delayed."""
        self.ring_state_for: set[str] = {"server", "user"}
        """The kinds of token that may read ring_state; empty if this Stream does not have it."""
        self.rejects: list[Reject] = []
        """The requests to reject a ring."""
        self.reject_statuses: list[int] = []
        """The statuses of the answers to the next of them."""
        self.reject_pause_s = Seconds(0.0)
        """How long each answer to them is delayed."""
        self.events = CallEvents(api_error)
        self.clock_ahead_s = 0.0
        """How far the time in the answers is ahead of this machine's."""

    @property
    def url(self) -> str:
        """The URL to connect to."""
        return f"http://127.0.0.1:{self.port}"

    def add_call(self, call: SampleCall) -> None:
        """Know a call, or one more session of it."""
        self.calls.setdefault(call.cid, []).append(call)

    def _application(self) -> web.Application:
        app = web.Application()
        app.on_response_prepare.append(self._give_time)
        app.router.add_get("/api/v2/devices", self._list)
        app.router.add_get("/api/v2/video/calltypes", self._call_types)
        app.router.add_get("/api/v2/app", self._app)
        app.router.add_get("/api/v2/video/call/{type}/{id}", self._call)
        app.router.add_get("/api/v2/video/call/{type}/{id}/ring_state", self._ring_state)
        app.router.add_post("/api/v2/video/call/{type}/{id}/reject", self._reject)
        app.router.add_post("/api/v2/video/call/{type}/{id}/event", self._event)
        return app

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
            return web.json_response(api_error(status), status=status, headers=headers)
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
        self.app_reads += 1
        return self._answer(request, {"app": self.app})

    async def _ring_state(self, request: web.Request) -> web.Response:
        claims = self._claims(request)
        kind = "user" if "user_id" in (claims or {}) else "server"
        wanted = request.query.get("call_session_id", "")
        sessions = self._sessions(request)
        session = next((call for call in reversed(sessions) if wanted in ("", call.session_id)), None)
        status = 401 if claims is None else 404 if not (self.ring_state_for and sessions) else 200
        if status == 200 and kind not in self.ring_state_for:
            status = 403
        return await self._tell(request, "ring_state", status, session.ring_state() if session else {"session_id": ""})

    async def _call(self, request: web.Request) -> web.Response:
        sessions, claims = self._sessions(request), self._claims(request)
        status = 401 if claims is None else 404 if not sessions else 200
        answer = with_integers(sessions[-1].as_answer()) if sessions else {}
        return await self._tell(request, "call", status, answer)

    async def _reject(self, request: web.Request) -> web.Response:
        """Reject a ring, as the user of the token, which must not be valid for long."""
        claims, body = self._claims(request), await request.json()
        cid, user = f"{request.match_info['type']}:{request.match_info['id']}", (claims or {}).get("user_id", "")
        status = 401 if claims is None else 403 if not user or not _is_short(claims) else 200
        if status == 200 and self.reject_statuses:
            status = self.reject_statuses.pop(0)
        self.rejects.append(Reject(Seconds(time.time()), cid, user, body.get("reason", ""), status))
        await asyncio.sleep(self.reject_pause_s)
        return web.json_response({"duration": "1.00ms"} if status == 200 else api_error(status), status=status)

    async def _event(self, request: web.Request) -> web.Response:
        return await self.events.take(request, self._claims(request))

    async def _give_time(self, _: web.Request, response: web.StreamResponse) -> None:
        response.headers["Date"] = formatdate(time.time() + self.clock_ahead_s, usegmt=True)

    def _sessions(self, request: web.Request) -> list[SampleCall]:
        return self.calls.get(f"{request.match_info['type']}:{request.match_info['id']}", [])

    async def _tell(self, request: web.Request, what: str, status: int, answer: dict[str, Any]) -> web.Response:
        status = self.question_status or status
        cid = f"{request.match_info['type']}:{request.match_info['id']}"
        self.questions.append(Question(Seconds(time.time()), cid, what, status))
        await asyncio.sleep(self.question_pause_s)
        return web.json_response(answer | {"duration": "1.00ms"} if status == 200 else api_error(status), status=status)

    def _answer(self, request: web.Request, answer: dict[str, Any]) -> web.Response:
        status = self._status(request, 0)
        return web.json_response(answer | {"duration": "1.00ms"} if status == 200 else api_error(status), status=status)

    def _status(self, request: web.Request, used: int) -> int:
        if self.broken:
            return self.broken.pop(0)
        claims = self._claims(request)
        if claims is None:
            return 401
        if "user_id" in claims:  # a server token names no user; some SDKs also set "server" in it
            return 403
        return 200 if used < self.per_minute else 429

    def _claims(self, request: web.Request) -> dict[str, Any] | None:
        """Return what the request's token says; None if it is not valid. Some server tokens say nothing."""
        secret = self.secrets.get(request.query.get("api_key", ""))
        if request.headers.get("stream-auth-type") != "jwt" or secret is None:
            return None
        try:
            with warnings.catch_warnings(category=jwt.warnings.InsecureKeyLengthWarning, action="ignore"):
                claims: dict[str, Any] = jwt.decode(
                    request.headers.get("Authorization", ""), secret, algorithms=["HS256"]
                )
        except jwt.PyJWTError:
            return None
        return claims
