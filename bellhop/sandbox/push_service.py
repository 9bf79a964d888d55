"""A stand-in for the push service of browsers, and for the browsers behind it, with failures on request."""

import itertools
import json
import os
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bellhop.clock import Seconds
from bellhop.domain.web_push import to_base64url
from bellhop.sandbox.google_script import GoogleReply
from bellhop.sandbox.http_stand_in import HttpStandIn
from bellhop.sandbox.push_service_rules import CURVE, PushRefusal, decrypt, refused_headers, refused_sender
from bellhop.sandbox.tls import Authority


@dataclass(frozen=True, slots=True)
class Browser:
    """A browser with a subscription. It keeps `key` and `auth`, with which it reads its messages, secret."""

    endpoint: str
    key: ec.EllipticCurvePrivateKey
    auth: bytes
    subscribed_with: str
    """The applicationServerKey: only its owner may push."""

    @property
    def subscription(self) -> dict[str, Any]:
        """What PushSubscription.toJSON() returns."""
        public = self.key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        keys = {"p256dh": to_base64url(public), "auth": to_base64url(self.auth)}
        return {"endpoint": self.endpoint, "expirationTime": None, "keys": keys}


Deliver = Callable[[bytes, int], Awaitable[None]]
"""Hands a message on to a browser, with the seconds for which it may wait there."""


@dataclass(frozen=True, slots=True)
class RealBrowser:
    """A subscription of a browser that runs, and reads its messages itself."""

    endpoint: str
    subscribed_with: str
    deliver: Deliver


@dataclass(frozen=True, slots=True)
class WebPushRequest:
    """One message that was accepted, decrypted."""

    endpoint: str
    data: dict[str, str]
    headers: Mapping[str, str]
    received_at: Seconds
    """Unix time in seconds."""
    body: bytes
    """As it was sent."""


class PushServiceStandIn(HttpStandIn):
    """A push service on one HTTPS port."""

    def __init__(self, authority: Authority, on_push: Callable[[WebPushRequest], None] | None = None) -> None:
        super().__init__(authority)
        self.received: list[WebPushRequest] = []
        self.refused: list[PushRefusal] = []
        self.requests: Counter[str] = Counter()
        """The number of requests for each endpoint, refused ones included."""
        self.clients: set[Any] = set()
        """The addresses of all connections that have sent a request."""
        self.ca_file = authority.ca_file
        self.on_push = on_push
        """Called for every accepted message."""
        self.browsers: dict[str, Browser | RealBrowser] = {}
        """All subscriptions, by their endpoints."""
        self._numbers = itertools.count(1)
        self._scripts: defaultdict[str, list[GoogleReply]] = defaultdict(list)

    @property
    def host(self) -> str:
        """The host of all endpoints (BELLHOP_WEB_PUSH_HOSTS)."""
        return f"localhost:{self.port}"

    @property
    def endpoints(self) -> str:
        """What all endpoints begin with."""
        return f"https://{self.host}/push/"

    def subscribe(self, public_key: str) -> Browser:
        """Make a browser that subscribes with a public key."""
        endpoint = f"{self.endpoints}{next(self._numbers)}"
        browser = Browser(endpoint, ec.generate_private_key(CURVE), os.urandom(16), public_key)
        self.browsers[endpoint] = browser
        return browser

    def connect(self, name: str, public_key: str, deliver: Deliver) -> RealBrowser:
        """Accept messages for a browser that runs, and hand them on by `deliver`. Its endpoint ends with `name`.

        `public_key` may have the padding of base64, which the key of a request does not have.
        """
        browser = RealBrowser(f"{self.endpoints}{name}", public_key.rstrip("="), deliver)
        self.browsers[browser.endpoint] = browser
        return browser

    def unsubscribe(self, browser: Browser | RealBrowser) -> None:
        """End a subscription: from now on, its endpoint answers 410."""
        del self.browsers[browser.endpoint]

    def script(self, browser: Browser, *replies: GoogleReply) -> None:
        """Set the answers to the next requests for a browser. Later ones get the usual."""
        self._scripts[browser.endpoint].extend(replies)

    def pushes(self, browser: Browser) -> list[WebPushRequest]:
        """List the messages that were accepted for one browser."""
        return [push for push in self.received if push.endpoint == browser.endpoint]

    def _application(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/push/{name}", self._push)
        return app

    async def _push(self, request: web.Request) -> web.StreamResponse:
        endpoint, body = f"https://{self.host}{request.raw_path}", await request.read()
        self.requests[endpoint] += 1
        if request.transport is not None:
            self.clients.add(request.transport.get_extra_info("peername"))
        if script := self._scripts.get(endpoint):
            answer = await script.pop(0).deliver(request, self._stopping)
            if answer is not None:
                return answer
        if refusal := self._accept(endpoint, request.headers, body):
            self.refused.append(refusal)
            return web.Response(status=refusal.status, text=refusal.text)
        if isinstance(browser := self.browsers.get(endpoint), RealBrowser):
            await browser.deliver(body, int(request.headers["TTL"]))
        return web.Response(status=201, headers={"Location": f"{endpoint}/message/{len(self.received)}"})

    def _accept(self, endpoint: str, headers: Mapping[str, str], body: bytes) -> PushRefusal | None:
        """Return what is wrong with a message, or None. Keep a valid message if it can be decrypted here."""
        browser = self.browsers.get(endpoint)
        if browser is None:
            return PushRefusal(410, "push subscription has unsubscribed or expired.")
        sender = headers.get("Authorization", "")
        if refusal := refused_headers(headers) or refused_sender(
            sender, f"https://{self.host}", browser.subscribed_with
        ):
            return refusal
        if isinstance(browser, RealBrowser):
            return None
        try:
            data = json.loads(decrypt(body, browser.key, browser.auth))
        except ValueError as error:
            return PushRefusal(400, str(error))
        push = WebPushRequest(endpoint, data, headers, Seconds(time.time()), body)
        self.received.append(push)
        if self.on_push is not None:
            self.on_push(push)
        return None
