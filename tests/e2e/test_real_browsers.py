"""Chromium and Firefox with no page open: our worker's messages ring there, and a click declines.

The browsers are real, and so are their subscriptions and their decryption. Only the push services and the desktop that
shows their notifications are stand-ins.
"""

import asyncio
import os
import time
from contextlib import AsyncExitStack
from ctypes.util import find_library
from dataclasses import dataclass, replace

import jwt
import pytest
import pytest_asyncio

from bellhop.domain.device import Device
from bellhop.domain.plan import plan
from bellhop.domain.push import PushKind
from bellhop.sandbox.browser_site import BrowserSite
from bellhop.sandbox.headless_browser import CHROMIUM, FIREFOX, HeadlessBrowser, find
from bellhop.sandbox.installation import SECRET, Installation
from bellhop.sandbox.mozilla_push import DELIVERED, UNREADABLE
from bellhop.sandbox.stream_webhooks import SampleCall
from bellhop.store import registry
from bellhop.store.keys import devices_key
from bellhop.trail import PhoneRang, PhoneReported, UserSettled
from tests.desktop import Desktop
from tests.factories import a_round
from tests.trails import trail_of
from tests.waiting import come_true
from worker.providers.web_push.vapid import VapidHeaders
from worker.providers.web_push.web_push_sender import WebPushSender

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]

PROGRAMS = {"chromium": find(*CHROMIUM), "firefox": find(*FIREFOX)}
MAY_SHOW = find("dbus-daemon") and find_library("notify")
SKIPPED = "needs chromium, firefox-esr, dbus-daemon and libnotify4 (apt-get install)"
WITHIN_S = 60
"""How long a browser may take to start, or to show something, on a busy machine."""


@dataclass
class Callee:
    """A user whose only device is a browser with no page open."""

    name: str
    site: BrowserSite
    desktop: Desktop
    device: Device

    async def shows(self, *titles):
        await until(self._titles, list(titles))

    async def _titles(self):
        return self.desktop.titles()


async def until(look, expected):
    """Wait until a look returns what is expected."""
    give_up_s = time.monotonic() + WITHIN_S
    while (found := await look()) != expected:
        assert time.monotonic() < give_up_s, found
        await asyncio.sleep(0.02)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def installation(tmp_path_factory):
    """An installation, and a callee in each browser."""
    if not (MAY_SHOW and all(PROGRAMS.values())):
        pytest.skip(SKIPPED)
    folder = tmp_path_factory.mktemp("browsers")
    installation = Installation(folder, {"RECEIPT_SECRET": "signs-the-receipts", "MISSED_GRACE_S": "60"}, web_push=True)
    async with AsyncExitStack() as stack:
        sites = {make: BrowserSite(installation.push_service, installation.authority) for make in PROGRAMS}
        for site in sites.values():
            await stack.enter_async_context(site)
        installation.settings["WEB_ORIGINS"] = ",".join(site.url for site in sites.values())
        desktops = {make: await open_browser(make, site, installation, stack) for make, site in sites.items()}
        await stack.enter_async_context(installation)
        installation.callees = {
            make: await callee(make, site, desktops[make], installation) for make, site in sites.items()
        }
        yield installation


async def open_browser(make, site, installation, stack):
    """Start a browser on a desktop of its own. Its page waits until it may register."""
    folder = installation.folder / make
    folder.mkdir()
    desktop = await stack.enter_async_context(Desktop(folder))
    environment = os.environ | {"DBUS_SESSION_BUS_ADDRESS": desktop.address}
    browser = HeadlessBrowser(PROGRAMS[make], folder, site, environment)
    token = jwt.encode({"user_id": user_id(make), "iat": int(time.time())}, SECRET, "HS256")
    stack.callback(browser.close)
    browser.open(site.page(bellhop=installation.url, token=token, worker="/bellhop-worker.js", name=make))
    return desktop


def user_id(make):
    return f"{make}-user"


async def callee(make, site, desktop, installation):
    """Let the page of a browser register it."""
    site.may_register.set()
    device_id = await asyncio.wait_for(site.registered(), WITHIN_S)
    (device,) = registry.decode(await installation.store.call("HVALS", devices_key("default", user_id(make))))
    assert device.key == device_id
    return Callee(user_id(make), site, desktop, device)


@pytest.fixture(params=PROGRAMS)
def user(request, installation):
    return installation.callees[request.param]


async def reports(installation, call):
    """What the browser reported of a call."""
    lines = await trail_of(installation.store, call.cid)
    rang = ["rang" for line in lines if isinstance(line, PhoneRang)]
    return rang + [line.outcome for line in lines if isinstance(line, PhoneReported)]


async def rung(installation, user):
    call = SampleCall(members=(user.name,), ring_ms=600_000)
    await installation.stream.post(call.ring())
    await user.shows("Sara Lind is calling you")
    return call


async def standings(installation, call):
    lines = await trail_of(installation.store, call.cid)
    return [(line.user, line.outcome) for line in lines if isinstance(line, UserSettled)]


async def test_a_ring_shows_and_a_click_declines(installation, user):
    assert installation.push_service.browsers[user.device.token].subscribed_with == installation.web_push_keys.public
    call = await rung(installation, user)
    (ring,) = user.desktop.shown.values()
    assert {"Answer", "Decline"} <= ring.buttons.keys()
    await until(lambda: reports(installation, call), ["rang"])
    await user.desktop.press("Decline")
    await until(lambda: reports(installation, call), ["rang", "declined"])
    await come_true(lambda: [reject.user for reject in installation.stream_api.rejects if reject.cid == call.cid])
    await until(lambda: standings(installation, call), [(user.name, "declined")])
    await come_true(lambda: user.desktop.history[-1] == "Call from Sara Lind")
    await user.shows()
    assert await reports(installation, call) == ["rang", "declined"], "a click on Decline does not dismiss the ring"
    assert set(user.site.mozilla.acks) <= {DELIVERED}


async def test_the_missed_call_replaces_the_ring(installation, user):
    call = await rung(installation, user)
    await until(lambda: reports(installation, call), ["rang"])
    await installation.stream.post(call.rejected(user.name, "busy"))
    await user.shows("Missed call")
    (missed,) = user.desktop.shown.values()
    assert "You missed a call from Sara Lind" in missed.body
    assert "Decline" not in missed.buttons
    assert set(user.site.mozilla.acks) <= {DELIVERED}


async def test_a_ring_that_the_user_closes_is_reported(installation, user):
    user.desktop.shown.clear()
    call = await rung(installation, user)
    await user.desktop.dismiss()
    await until(lambda: reports(installation, call), ["rang", "dismissed"])


async def test_a_late_ring_does_not_ring(installation, user):
    """The message waited at the push service until the ring was over."""
    user.desktop.shown.clear()
    round_ = a_round(user.name, cid="default:late")
    (push,) = plan(PushKind.RING, round_, {user.name: [user.device]}, round_.started_at).pushes
    keys = VapidHeaders(installation.web_push_keys.private, installation.web_push_keys.public, "mailto:ops@example.com")
    service = installation.push_service
    sender = WebPushSender(keys, services=[service.host], allowed_networks=["127.0.0.1"], ca_file=service.ca_file)
    late = replace(push, payload=push.payload | {"expires_at": str(int(time.time() * 1000) - 1)})
    await sender.send(late, 5)
    await sender.close()
    await user.shows("Missed call")
    assert "Decline" not in next(iter(user.desktop.shown.values())).buttons
    assert set(user.site.mozilla.acks) <= {DELIVERED}


async def test_firefox_says_what_it_cannot_decrypt(installation):
    user = installation.callees["firefox"]
    await installation.push_service.browsers[user.device.token].deliver(b"x" * 200, 30)
    await come_true(lambda: user.site.mozilla.acks[UNREADABLE])
