"""clients/web in a real Chromium: a page registers across origins; the service worker shows, reports and declines."""

import asyncio
import json
import threading
import time
from pathlib import Path

import jwt
import pytest
import pytest_asyncio
from aiohttp import web
from werkzeug.serving import make_server

from bellhop.sandbox.child_process import free_port
from bellhop.sandbox.http_stand_in import HttpStandIn
from bellhop.store import registry
from bellhop.store.keys import devices_key
from tests.factories import PUBLIC_KEY_OF_1, web_settings
from tests.waiting import come_true
from webhook.app import create_app

pytestmark = pytest.mark.asyncio(loop_scope="session")

CLIENT = Path(__file__).parents[2] / "clients" / "web"
SECRET = "a secret that is as long as pyjwt likes"
SHOWN = """self.registration.getNotifications().then((all) => all.map(
  ({ title, body, tag, actions, silent, requireInteraction }) =>
    ({ title, body, tag, buttons: actions.map(({ title }) => title), silent, requireInteraction })))"""
CLOCK_AHEAD = """() => { const right = Date.now; Date.now = () => right() + 600_000; }"""
CLICK = """async (action) => {
  const [notification] = await self.registration.getNotifications();
  self.dispatchEvent(new NotificationEvent("notificationclick", { notification, action }));
}"""
COUNT_SHOWN = """() => {
  const { showNotification } = ServiceWorkerRegistration.prototype;
  self.shown = 0;
  ServiceWorkerRegistration.prototype.showNotification = async function (...all) {
    await showNotification.apply(this, all);
    self.shown += 1;
  };
}"""
SHOW_SLOWLY = """() => {
  const { showNotification, getNotifications } = ServiceWorkerRegistration.prototype;
  let showing = false;
  self.overlaps = 0;
  ServiceWorkerRegistration.prototype.showNotification = async function (...all) {
    showing = true;
    await new Promise((done) => setTimeout(done, 3000));
    await showNotification.apply(this, all);
    showing = false;
  };
  ServiceWorkerRegistration.prototype.getNotifications = function (...all) {
    self.overlaps += showing;
    return getNotifications.apply(this, all);
  };
}"""
FAKE_PUSH_MANAGER = """(subscription) => {
  const made = { toJSON: () => subscription, unsubscribe: async () => true, options: {} };
  PushManager.prototype.getSubscription = async () => null;
  PushManager.prototype.subscribe = async (options) => { window.options = options; return made; };
}"""
REGISTER = """async ([bellhop, token]) => {
  const { register } = await import("/bellhop.js");
  return register({ bellhop, token, page: "/call/{cid}", words: { decline: "Ablehnen" }, name: "Ben's Chromium" });
}"""
REGISTER_BESIDE_ANOTHER = """async ([bellhop, token]) => {
  await navigator.serviceWorker.register("/sw.js");
  await navigator.serviceWorker.ready;
  const { register, unregister } = await import("/bellhop.js");
  const managers = [];
  const noted = (method) => function (...all) { managers.push(this); return method.apply(this, all); };
  PushManager.prototype.subscribe = noted(PushManager.prototype.subscribe);
  PushManager.prototype.getSubscription = noted(PushManager.prototype.getSubscription);
  await register({ bellhop, token, worker: "/own/bellhop-worker.js" });
  await unregister({ bellhop, token, worker: "/own/bellhop-worker.js" });
  const registrations = await navigator.serviceWorker.getRegistrations();
  return managers.map((manager) => registrations.find(({ pushManager }) => pushManager === manager).scope);
}"""
UNREGISTER = """async ([bellhop, token]) => (await import("/bellhop.js")).unregister({ bellhop, token })"""
LISTEN = """import("/bellhop.js").then(({ onCall }) => onCall((choice) => { window.chosen = choice; })).then(() => 1)"""
SUBSCRIPTION = {
    "endpoint": "https://fcm.googleapis.com/fcm/send/x",
    "expirationTime": None,
    "keys": {"p256dh": PUBLIC_KEY_OF_1, "auth": "A" * 22},
}


class Site(HttpStandIn):
    """A page's own site. It also takes receipts, as Bellhop would."""

    def __init__(self):
        super().__init__()
        self.reports = []
        self.status = 204

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def _application(self):
        app = web.Application()
        app.add_routes(
            [web.get("/", self._page), web.post("/v1/receipts", self._receipt), web.get("/sw.js", self._script)]
        )
        app.add_routes([web.static("/own", CLIENT), web.static("/", CLIENT)])
        return app

    async def _page(self, request):
        return web.Response(text="<!doctype html><title>Calls</title>", content_type="text/html")

    async def _script(self, request):
        return web.Response(text="", content_type="text/javascript")

    async def _receipt(self, request):
        self.reports.append(json.loads(await request.text()))
        return web.Response(status=self.status)

    def events(self):
        return [report["event"] for report in self.reports]


@pytest_asyncio.fixture(loop_scope="session")
async def site():
    async with Site() as site:
        yield site


@pytest_asyncio.fixture(loop_scope="session")
async def page(chromium, site):
    context = await chromium.new_context()
    await context.grant_permissions(["notifications"], origin=site.url)
    page = await context.new_page()
    await page.goto(site.url)
    yield page
    await context.close()


@pytest.fixture
def bellhop(redis_url, site):
    settings = {"stream_api_secret": [SECRET], "web_push_app": "web", "web_push_public_key": PUBLIC_KEY_OF_1}
    app = create_app(web_settings(redis_url, web_origins=[site.url], **settings))
    with make_server("127.0.0.1", 0, app, threaded=True) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


async def test_a_page_registers_and_leaves_across_origins(page, site, bellhop, redis_client):
    token = jwt.encode({"user_id": "ben", "iat": int(time.time())}, SECRET, "HS256")
    await page.evaluate(FAKE_PUSH_MANAGER, SUBSCRIPTION)
    device_id = await page.evaluate(REGISTER, [bellhop, token])
    (device,) = registry.decode(redis_client.hvals(devices_key("default", "ben")))
    assert (device.key, device.token, device.name) == (device_id, SUBSCRIPTION["endpoint"], "Ben's Chromium")
    assert await page.evaluate("options") == {"userVisibleOnly": True, "applicationServerKey": PUBLIC_KEY_OF_1}
    assert await page.evaluate(REGISTER, [bellhop, token]) == device_id, "at each start"
    await page.evaluate(UNREGISTER, [bellhop, token])
    assert not redis_client.exists(devices_key("default", "ben"))
    with pytest.raises(Exception, match="Bellhop answered 401: The token is invalid"):
        await page.evaluate(REGISTER, [bellhop, "no token"])


async def test_pushes_go_to_our_worker_beside_the_sites_own(page, site, bellhop):
    token = jwt.encode({"user_id": "ben", "iat": int(time.time())}, SECRET, "HS256")
    await page.evaluate(FAKE_PUSH_MANAGER, SUBSCRIPTION)
    assert set(await page.evaluate(REGISTER_BESIDE_ANOTHER, [bellhop, token])) == {f"{site.url}/own/"}


class Worker:
    """The service worker of a page, and a push service that delivers without encryption."""

    async def start(self, page, site, bellhop=None):
        self.tools, self.origin, known = await page.context.new_cdp_session(page), site.url, []
        self.tools.on("ServiceWorker.workerRegistrationUpdated", lambda event: known.extend(event["registrations"]))
        await self.tools.send("ServiceWorker.enable")
        url = f"/bellhop-worker.js?bellhop={bellhop or site.url}&decline=Ablehnen"
        await page.evaluate(
            f"navigator.serviceWorker.register('{url}').then(() => navigator.serviceWorker.ready).then(() => 1)"
        )

        def own():
            return [each for each in known if each["scopeURL"] == f"{site.url}/" and not each["isDeleted"]]

        await come_true(lambda: own() and page.context.service_workers)
        self.registration = own()[-1]["registrationId"]
        (self.worker,) = page.context.service_workers
        await self.worker.evaluate(COUNT_SHOWN)
        return self

    async def deliver(self, data, is_shown=True):
        """A push. Chromium forgets a notification if it is asked for the list before it has shown it."""
        text = data if isinstance(data, str) else json.dumps(data)
        push = {"origin": self.origin, "registrationId": self.registration, "data": text}
        expected = await self.worker.evaluate("self.shown") + is_shown
        await self.tools.send("ServiceWorker.deliverPushMessage", push)
        while await self.worker.evaluate("self.shown") < expected:
            await asyncio.sleep(0.01)

    async def until_shown(self, titles):
        give_up_s = time.monotonic() + 30
        while time.monotonic() < give_up_s:
            shown = await self.worker.evaluate(SHOWN)
            if sorted(notification["title"] for notification in shown) == sorted(titles):
                return shown
        raise AssertionError(shown)


def a_push(kind, title, left_s=300, **more):
    expires_at = str(int((time.time() + left_s) * 1000))
    texts = {"title": title, "body": "", "missed_title": "Missed call", "missed_body": "You missed a call from Sara"}
    return (
        {"type": f"call.{kind}", "call_cid": "default:1", "expires_at": expires_at, "receipt": "ticket"} | texts | more
    )


async def test_the_worker_rings_reports_declines_and_replaces(page, site):
    worker = await Worker().start(page, site)
    await worker.deliver(a_push("ring", "Sara is calling you"))
    (ring,) = await worker.until_shown(["Sara is calling you"])
    assert ring["buttons"] == ["Answer", "Ablehnen"]
    assert (ring["tag"], ring["requireInteraction"], ring["silent"]) == ("default:1", True, False)
    await come_true(lambda: site.events() == ["rang"])
    await worker.worker.evaluate(CLICK, "decline")
    await come_true(lambda: site.events() == ["rang", "declined"])
    assert [report["receipt"] for report in site.reports] == ["ticket"] * 2
    assert await worker.until_shown([]) == []

    await worker.deliver(a_push("ring", "Sara is calling you", call_cid="default:2"))
    await come_true(lambda: site.events() == ["rang", "declined", "rang"])
    await worker.deliver(
        a_push("missed", "Missed call", body="You missed a call from Sara", receipt="", call_cid="default:2")
    )
    (missed,) = await worker.until_shown(["Missed call"])
    assert (missed["body"], missed["buttons"]) == ("You missed a call from Sara", [])

    await worker.deliver(a_push("ring", "Sara is calling you", left_s=-1, call_cid="default:2"))
    await come_true(lambda: site.reports[-1]["event"] == "not_shown")
    (late,) = await worker.until_shown(["Missed call"])
    assert (late["silent"], site.reports[-1]["reason"]) == (True, "already_over")

    await worker.deliver("no JSON")
    assert len(await worker.until_shown(["Missed call", site.url.removeprefix("http://")])) == 2


async def test_a_ring_rings_though_the_clock_is_ahead(page, site, bellhop):
    worker = await Worker().start(page, site, bellhop)
    await worker.worker.evaluate(CLOCK_AHEAD)
    await worker.deliver(a_push("ring", "Sara is calling you"))
    (ring,) = await worker.until_shown(["Sara is calling you"])
    assert (ring["buttons"], ring["silent"]) == (["Answer", "Ablehnen"], False)
    await worker.deliver(a_push("ring", "Sara is calling you", left_s=-10))
    (late,) = await worker.until_shown(["Missed call"])
    assert (late["buttons"], late["silent"]) == ([], True)


async def test_a_wrong_clock_counts_if_bellhop_is_away(page, site):
    worker = await Worker().start(page, site, f"http://127.0.0.1:{free_port()}")
    await worker.worker.evaluate(CLOCK_AHEAD)
    await worker.deliver(a_push("ring", "Sara is calling you"))
    (late,) = await worker.until_shown(["Missed call"])
    assert late["silent"]


async def test_a_choice_reaches_an_open_page(page, site):
    worker = await Worker().start(page, site)
    await page.evaluate(LISTEN)
    for action, expected in (("answer", "answer"), ("", "open")):
        await worker.deliver(a_push("ring", "Sara is calling you", call_cid=f"default:{expected}"))
        await worker.until_shown(["Sara is calling you"])
        await worker.worker.evaluate(CLICK, action)
        await page.wait_for_function("(action) => window.chosen?.action === action", arg=expected)
    site.status = 403
    await worker.deliver(a_push("ring", "Sara is calling you"))
    await worker.until_shown(["Sara is calling you"])
    await worker.worker.evaluate(CLICK, "decline")
    await page.wait_for_function("window.chosen.action === 'decline'")
    assert (await page.evaluate("chosen.push.call_cid")) == "default:1"


async def test_a_ring_that_is_answered_elsewhere_goes_quiet(page, site):
    worker = await Worker().start(page, site)
    await worker.deliver(a_push("ring", "Sara is calling you"))
    await worker.until_shown(["Sara is calling you"])
    await worker.deliver(a_push("ring_over", "Call from Sara", receipt=""), is_shown=False)
    assert await worker.until_shown([]) == [], "with an open page it is just closed"
    await worker.deliver(a_push("ring", "Sara is calling you", call_cid="default:2"))
    await worker.until_shown(["Sara is calling you"])
    await page.goto("about:blank")
    await worker.deliver(a_push("ring_over", "Call from Sara", receipt="", call_cid="default:2"))
    (over,) = await worker.until_shown(["Call from Sara"])
    assert (over["silent"], over["buttons"]) == (True, [])
    await worker.worker.evaluate("self.registration.getNotifications().then(([shown]) => shown.close())")
    await worker.deliver(a_push("ring_over", "Call from Sara", receipt="", call_cid="default:3"))
    assert await worker.until_shown([]) == [], "it goes by itself if the user has acted here"


async def test_a_ring_that_comes_twice_rings_once(page, site):
    """The answer to a push can be lost. Then it is sent again, with the same payload."""
    worker = await Worker().start(page, site)
    ring = a_push("ring", "Sara is calling you", sent_at="1000")
    for silent in (False, True):
        await worker.deliver(ring)
        (shown,) = await worker.until_shown(["Sara is calling you"])
        assert (shown["silent"], len(shown["buttons"])) == (silent, 2)
    await come_true(lambda: site.events() == ["rang"] * 2)
    await worker.worker.evaluate(CLICK, "decline")
    await come_true(lambda: site.events() == ["rang", "rang", "declined"])
    reports = len(site.reports)
    await worker.deliver(ring)
    assert [shown["buttons"] for shown in await worker.worker.evaluate(SHOWN)] in ([], [[]])
    assert await worker.until_shown([]) == []

    await worker.deliver(a_push("missed", "Missed call", receipt="", sent_at="2000", call_cid="default:2"))
    await worker.deliver(ring | {"call_cid": "default:2"})
    (missed,) = await worker.until_shown(["Missed call"])
    assert (missed["silent"], missed["buttons"], len(site.reports)) == (True, [], reports)
    await worker.deliver(ring | {"call_cid": "default:2", "sent_at": "3000"})
    (again,) = await worker.until_shown(["Sara is calling you"])
    assert (again["silent"], len(again["buttons"])) == (False, 2), "the caller rings again"


async def come_true_of(worker, condition):
    give_up_s = time.monotonic() + 60
    while not condition(await worker.worker.evaluate(SHOWN)):
        assert time.monotonic() < give_up_s


async def test_a_ring_is_closed_at_its_end(page, site):
    worker = await Worker().start(page, site)
    for number, left_s in enumerate((1, 5, 25), 1):  # on a busy machine, a short ring may come too late
        await worker.deliver(a_push("ring", "Sara is calling you", left_s, call_cid=f"default:{number}"))
        await come_true(lambda number=number: len(site.events()) == number)
        if site.events()[-1] == "rang":
            break
    await come_true_of(worker, lambda shown: not [ring for ring in shown if ring["buttons"]])


async def test_a_ring_ends_while_another_one_is_being_shown(page, site):
    worker = await Worker().start(page, site)
    await worker.worker.evaluate(SHOW_SLOWLY)
    await worker.deliver(a_push("ring", "Sara is calling you", 4.5, call_cid="default:1"))
    await worker.deliver(a_push("ring", "Leo is calling you", 60, call_cid="default:2"))
    assert [ring["tag"] for ring in await worker.until_shown(["Leo is calling you"])] == ["default:2"]
    assert await worker.worker.evaluate("self.overlaps") == 0
