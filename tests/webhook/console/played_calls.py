"""What the console is looked at with: a dozen varied calls, and windows of a real browser."""

import asyncio
import re
import time
from contextlib import asynccontextmanager

from bellhop.domain.device import Kind, Provider
from bellhop.sandbox.apple_script import AppleReply
from bellhop.sandbox.stream_webhooks import SampleCall
from tests.trails import trail_of

PASSWORD = "open sesame, console"
NASTY = '<img src=x onerror="document.title=1">'
NASTY_CALL = '"><script>document.title=1</script>'
FLAGS = [
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SOON_S = 60
TOKENS = {
    "ben": "a1" * 32,
    "ben-alert": "b2" * 32,
    "jane": "jane:pixel",
    "jane-ipad": "c3" * 32,
    "gone": "de" * 32,
    "slow": "5a" * 32,
    "nasty": "bad:token",
}


def token(answer):
    """The token of a page's form."""
    return re.search(r'name="token" value="([^"]+)"', answer.text)[1]


async def told(installation, call, users, milestones, known=0):
    """Wait until the trail has news of all `users` after its first `known` lines; returns how long it is then."""
    give_up = time.monotonic() + SOON_S
    while time.monotonic() < give_up:
        lines = await trail_of(installation.store, call.cid)
        if {getattr(line, "user", None) for line in lines[known:] if line.what in milestones} >= set(users):
            return len(lines)
        await asyncio.sleep(0.05)
    raise AssertionError(f"{call.cid} never got so far")


async def play(installation):
    """Have Bellhop see a dozen calls; returns them by name."""
    await installation.register("ben-osei", Provider.APNS, Kind.VOIP, TOKENS["ben"], "Ben's iPhone")
    await installation.register("ben-osei", Provider.APNS, Kind.ALERT, TOKENS["ben-alert"], "Ben's iPhone")
    await installation.register("jane-morel", Provider.FCM, Kind.ALERT, TOKENS["jane"], "Jane's Pixel")
    await installation.register("jane-morel", Provider.APNS, Kind.VOIP, TOKENS["jane-ipad"], "Jane's iPad")
    await installation.register("gus-gone", Provider.APNS, Kind.VOIP, TOKENS["gone"], "Gus's old iPhone")
    await installation.register("lee-late", Provider.APNS, Kind.VOIP, TOKENS["slow"], "Lee's iPhone")
    await installation.register(NASTY + "2", Provider.FCM, Kind.ALERT, TOKENS["nasty"], "<b>Eve's</b> \u202ephone")
    installation.apple.script(
        TOKENS["gone"], AppleReply(410, "Unregistered", timestamp_ms=int((time.time() + 5) * 1000))
    )
    busy = AppleReply(503, "ServiceUnavailable")
    ids = ("answered", "missed", "cancelled", "declined", "dead-token", "no-phone", "invited", "again", "unfinished")
    calls = {name: SampleCall(members=("ben-osei", "jane-morel"), id=f"call-{name}") for name in ids}
    post = installation.stream.post

    async def ring(name, *members, call=None):
        call = call or calls[name]
        known = len(await trail_of(installation.store, call.cid))
        await post(call.ring(*members))
        await told(installation, call, members or call.members, ("attempted", "skipped", "finished"), known)
        return call

    call = await ring("answered")
    await post(call.accepted("jane-morel"))
    await post(call.ended("sara-lind"))
    call = await ring("missed")
    await post(call.missed())
    call = calls["cancelled"]
    await post(call.ring("ben-osei"))
    await post(call.rejected("sara-lind", "cancel"))
    call = await ring("declined", "ben-osei")
    await post(call.rejected("ben-osei", "decline"))
    await post((await ring("dead-token", "gus-gone", "jane-morel")).missed("gus-gone", "jane-morel"))
    await post((await ring("no-phone", "nobody-home")).missed("nobody-home"))
    await post(calls["invited"].notification())
    await ring("again", "ben-osei")
    await post(calls["again"].missed("ben-osei"))
    await told(installation, calls["again"], ["ben-osei"], ("settled",))
    again = calls["again"].again()
    installation.apple.script(TOKENS["ben"], busy, busy)
    await ring("again", "ben-osei", call=again)
    await post(again.accepted("ben-osei"))
    # Stream's webhook took seven seconds to get here, as after an outage of the web process.
    late = calls["late"] = SampleCall(members=("lee-late",), id="call-late")
    await post(late.ring(at=time.time() - 7), attempt=4)
    await told(installation, late, late.members, ("attempted",))
    await post(late.accepted("lee-late"))
    nasty = calls["nasty"] = SampleCall(caller=NASTY, members=(NASTY + "2", "ben-osei"), id=NASTY_CALL)
    await ring("nasty")
    await post(nasty.missed())
    await ring("unfinished")
    over = {"missed": ["ben-osei"], "cancelled": ["ben-osei"], "declined": ["ben-osei"]}
    for name, users in (over | {"dead-token": ["gus-gone", "jane-morel"], "no-phone": ["nobody-home"]}).items():
        await told(installation, calls[name], users, ("settled",))
    return calls


@asynccontextmanager
async def window(chromium, installation, **options):
    """Open a browser window of its own, that fails the test on any error and any request elsewhere."""
    options = {"viewport": {"width": 1280, "height": 900}, "base_url": installation.url, **options}
    context = await chromium.new_context(**options)
    page = await context.new_page()
    page.complaints = []
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on(
        "console",
        lambda said: page.complaints.append(said.text) if "Content Security Policy" in said.text else None,
    )
    page.on(
        "request",
        lambda request: page.complaints.append(request.url) if not request.url.startswith(installation.url) else None,
    )
    try:
        yield page
        assert page.complaints == []
    finally:
        await context.close()


async def log_in(page, password=PASSWORD):
    await page.goto("/console/login")
    await page.get_by_label("Password").fill(password)
    await page.get_by_role("button", name="Log in").click()
