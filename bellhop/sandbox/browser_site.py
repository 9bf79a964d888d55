"""A site with a page that registers a browser. The browser reaches its push service at this site too."""

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from bellhop.sandbox.google_push import GooglePush
from bellhop.sandbox.http_stand_in import HttpStandIn
from bellhop.sandbox.mozilla_push import MozillaPush
from bellhop.sandbox.push_service import PushServiceStandIn
from bellhop.sandbox.tls import Authority

CLIENT = Path(__file__).parents[2] / "clients" / "web"
"""What a site takes from Bellhop. Only a checkout has it."""
PAGES = Path(__file__).parent / "site"


class BrowserSite(HttpStandIn):
    """One site, for one browser of each make."""

    def __init__(
        self, service: PushServiceStandIn, authority: Authority, on_push: Callable[[dict[str, str]], None] | None = None
    ) -> None:
        """`on_push` gets each push that the browser decrypted, if the page was opened with the telling worker."""
        super().__init__()
        self.mozilla, self.google = MozillaPush(service), GooglePush(service, authority)
        self.may_register = asyncio.Event()
        """Set it when Bellhop runs. Until then, the page waits."""
        self._service, self._on_push = service, on_push
        self._shown: list[dict[str, Any]] = []
        self._news = asyncio.Condition()
        self._registered: asyncio.Queue[dict[str, str]] = asyncio.Queue()

    @property
    def url(self) -> str:
        """The site's address. Browsers let pages of this machine have service workers without TLS."""
        return f"http://127.0.0.1:{self.port}"

    def page(self, **options: str) -> str:
        """Return the address of the page that registers: options are `bellhop`, `token`, `worker` and `name`."""
        return f"{self.url}/subscribe.html?{urlencode(options)}"

    async def registered(self) -> str:
        """Wait until the page has registered a browser. Returns the device's id. Raises RuntimeError if that failed."""
        result = await self._registered.get()
        if "error" in result:
            raise RuntimeError(result["error"])
        return result["id"]

    async def start(self) -> "BrowserSite":
        """Start to listen."""
        await self.google.start()
        await super().start()
        return self

    async def stop(self) -> None:
        """Stop."""
        await self.google.stop()
        await super().stop()

    async def show(self, push: Mapping[str, Any]) -> None:
        """Show a push on the site's first page."""
        async with self._news:
            self._shown.append({**push, "at": int(time.time() * 1000)})
            self._news.notify_all()

    def _application(self) -> web.Application:
        app = web.Application()
        app.add_routes(
            [
                web.get("/mozilla", self.mozilla.serve),
                web.post("/google/check-in", self.google.check_in),
                web.post("/google/register", self.google.register),
                web.get("/ready", self._answer_when_ready),
                web.post("/registered", self._take_registration),
                web.post("/arrived", self._take_push),
                web.get("/shown", self._stream),
                web.get("/", self._file),
                web.get("/{name}", self._file),
            ]
        )
        return app

    async def _answer_when_ready(self, request: web.Request) -> web.Response:
        """Answer when the page may subscribe. Firefox must be connected first: else the subscription never comes."""
        await self.may_register.wait()
        if "Firefox/" in request.headers.get("User-Agent", ""):
            await self.mozilla.connected.wait()
        return web.json_response({"endpoints": self._service.endpoints})

    async def _take_registration(self, request: web.Request) -> web.Response:
        self._registered.put_nowait(json.loads(await request.text()))
        return web.Response(status=204)

    async def _take_push(self, request: web.Request) -> web.Response:
        push: dict[str, Any] = json.loads(await request.text())
        if self._on_push is not None:
            self._on_push(push)
        return web.Response(status=204)

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        """Send a page all pushes so far, then each new one (server-sent events)."""
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        await response.prepare(request)
        sent = 0
        while True:
            async with self._news:
                while len(self._shown) == sent:
                    await self._news.wait()
            for push in self._shown[sent:]:
                await response.write(f"data: {json.dumps(push)}\n\n".encode())
                sent += 1

    async def _file(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info.get("name", "index.html")
        path = next((folder / name for folder in (PAGES, CLIENT) if (folder / name).is_file()), None)
        return web.Response(status=404) if path is None else web.FileResponse(path)
