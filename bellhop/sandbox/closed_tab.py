"""A callee of the demo, whose only device is a browser without an open page: a real one, or a stand-in."""

import asyncio
import os
import time
from pathlib import Path
from typing import Self

import jwt

from bellhop.clock import Seconds, from_nanoseconds
from bellhop.domain.device import Device, Provider
from bellhop.sandbox.browser_site import CLIENT, BrowserSite
from bellhop.sandbox.headless_browser import CHROMIUM, FIREFOX, HeadlessBrowser, find
from bellhop.sandbox.installation import SECRET, WEB_APP, Arrival, Installation
from bellhop.store.registry import register
from bellhop.store.steps import run_steps

USER_ID, NAME = "leo-marin", "Leo's browser"
START_TIMEOUT_S = 60
POLL_S = 0.05


class ClosedTab:
    """Leo's browser (`async with`, before `here` starts). `site` has a page that shows what the browser got."""

    def __init__(self, here: Installation) -> None:
        if here.push_service is None:
            raise ValueError("the installation has no push service")
        self.here, self.service = here, here.push_service
        self.site = BrowserSite(self.service, here.authority, on_push=self._decrypted)
        self.program = find(*CHROMIUM, *FIREFOX) if CLIENT.is_dir() else None
        """The program of a real browser. None if it is missing or did not start: then a stand-in takes its place."""
        self.device_key = ""
        self._browser: HeadlessBrowser | None = None

    async def __aenter__(self) -> Self:
        await self.site.start()
        self.here.settings["WEB_ORIGINS"] = self.site.url
        if self.program is not None:
            self._open(self.program)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._browser is not None:
            await asyncio.to_thread(self._browser.close)
        await self.site.stop()

    async def register(self) -> str:
        """Register the browser. Returns what it is, in words."""
        self.site.may_register.set()
        if self._browser is not None and await self._is_registered(self._browser):
            return (
                f"{NAME} is a real one: {Path(self._browser.program).name}, without a window and without an open page."
            )
        why = "is on PATH" if self.program is None else "started"
        self.program = None
        await self._register_stand_in()
        return f"{NAME} is a stand-in, since no Chromium and no Firefox {why}."

    def _open(self, program: str) -> None:
        folder = self.here.folder / "browser"
        folder.mkdir()
        # Without the desktop's D-Bus, the notifications stay off the user's screen.
        environment = {name: value for name, value in os.environ.items() if name != "DBUS_SESSION_BUS_ADDRESS"}
        self._browser = HeadlessBrowser(program, folder, self.site, environment)
        token = jwt.encode({"user_id": USER_ID, "iat": int(time.time())}, SECRET, "HS256")
        page = self.site.page(bellhop=self.here.url, token=token, worker="/telling-worker.js", name=NAME)
        self._browser.open(page)

    async def _is_registered(self, browser: HeadlessBrowser) -> bool:
        registered = asyncio.create_task(self.site.registered())
        give_up_s = time.monotonic() + START_TIMEOUT_S
        while not registered.done() and browser.runs() and time.monotonic() < give_up_s:
            await asyncio.wait([registered], timeout=POLL_S)
        if registered.done():
            self.device_key = registered.result()
            return True
        registered.cancel()
        return False

    async def _register_stand_in(self) -> None:
        browser = self.service.subscribe(self.here.web_push_keys.public)
        device = Device(
            user_id=USER_ID,
            provider=Provider.WEB_PUSH,
            token=browser.endpoint,
            app=WEB_APP,
            registered_at=from_nanoseconds(time.time_ns()),
            name=NAME,
            **browser.subscription["keys"],
        )
        await run_steps(register("default", device), self.here.store)

    def _decrypted(self, push: dict[str, str]) -> None:
        """Note a push that the real browser decrypted."""
        at = Seconds(time.time())
        self.here.arrive(Arrival(Provider.WEB_PUSH, NAME, push["type"], push["call_cid"], at, push))
