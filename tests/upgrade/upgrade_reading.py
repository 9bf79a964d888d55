"""What a version of Bellhop makes of the states that another one wrote: reads, runs, explains and shows them.

And both at the same time, as in a rolling upgrade.
"""

import asyncio
import json
import re
import time
from collections import Counter
from pathlib import Path

import redis
from redis_state import UNMOVED, load, moved_document
from two_versions import House
from upgrade_scenario import BEN_ALERT, BEN_VOIP, JANE, NORA_ALERT, call, meaning

AGES_S = {"queued": 5, "handed_back": 5, "dead_worker": 35, "settled": 5}
"""How long ago each state was made, for whoever reads it. The letter of the dead worker waited 30 s."""
LETTERS = [
    ("lee@example.com", "Missed call from User Sara"),
    ("lee@example.com", "Missed call from User Tom"),
    ("max@example.com", "Missed call from User Sara"),
]
OF_USERS = ("bellhop:devices:", "bellhop:token:", "bellhop:person:")
RUN = Counter(
    {
        ("queued-ring", "call.ring", BEN_VOIP): 1,
        ("queued-ring", "call.ring", JANE): 1,
        ("queued-notify", "call.notification", BEN_ALERT): 1,
        ("queued-notify", "call.notification", JANE): 1,
        ("queued-missed", "call.missed", BEN_ALERT): 1,
        ("queued-missed", "call.missed", JANE): 1,
        ("queued-cancelled", "call.missed", BEN_ALERT): 1,
        ("queued-cancelled", "call.missed", JANE): 1,
        ("notice-queued", "call.missed", NORA_ALERT): 1,
        ("in-flight", "call.ring", BEN_VOIP): 1,
    }
)
"""Every push that the states still owe: call, type, token."""
GOES_ON = Counter(
    {
        ("queued-ring", "call.missed", BEN_ALERT): 1,
        ("queued-ring", "call.missed", JANE): 1,
        ("in-flight", "call.missed", JANE): 1,
    }
)
"""What the calls owe that go on after that."""


def says_the_same(old, new, where=""):
    """What `old` says, `new` says too; it may have fields more."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name, value in old.items():
            assert name in new, f"{where}/{name} is missing"
            says_the_same(value, new[name], f"{where}/{name}")
    elif isinstance(old, list) and isinstance(new, list):
        assert len(old) == len(new), f"{where} has {len(new)} entries, not {len(old)}: {new}"
        for number, (before, now) in enumerate(zip(old, new, strict=True)):
            says_the_same(before, now, f"{where}/{number}")
    else:
        assert old == new, f"{where} is {new!r}, not {old!r}"


class Reader:
    """One installation that another version left behind, now run by the checkout of `house`."""

    def __init__(self, house, states):
        self.house, self.states, self.client = house, states, house.redis_client
        with redis.Redis.from_url(house.redis.url) as raw:
            self.moved = {name: load(raw, self.part(name), AGES_S[name]) for name in AGES_S}

    def part(self, name):
        """A state; what is known of users alone, all four of them have, and the last counts."""
        state = self.states[name]
        if name == "settled":
            return state
        return state | {"redis": [entry for entry in state["redis"] if not entry["key"].startswith(OF_USERS)]}

    def expected(self):
        """What the version that wrote the states said of each call."""
        for name, state in self.states.items():
            for cid, explained in state["explained"].items():
                yield cid, explained if UNMOVED in cid else moved_document(self.moved[name], explained)

    async def explains(self):
        """Every call is explained with the same meaning: by HTTP, and on the command line."""
        for cid, explained in self.expected():
            says_the_same(explained, meaning(await self.house.explained(cid)), cid)
        some = dict(self.expected())
        for cid in ("default:call-answered", "default:call-dead-token"):
            printed = await asyncio.to_thread(self.house.command, "explain", "--json", cid)
            says_the_same(some[cid], meaning(json.loads(printed)), cid)

    async def shows(self):
        """Devices, contacts and preferences; the console's lists and pages; the failed job."""
        settled = self.states["settled"]
        for user, devices in settled["devices"].items():
            answer = await self.house.ask("GET", f"/v1/users/{user}/devices")
            says_the_same(moved_document(self.moved["settled"], devices), answer[1], user)
        _, contact = await self.house.ask("GET", "/v1/users/user-lee/contact")
        assert contact == {"email": "lee@example.com", "language": "en", "time_zone": "Europe/Amsterdam"}
        _, preferences = await self.house.ask("GET", "/v1/users/user-quinn/preferences")
        assert preferences["quiet_hours"] == {"from": "00:00", "to": "00:00", "let_second_call_through": False}

        cids = {cid for cid, _ in self.expected() if UNMOVED not in cid}
        assert await self.listed() >= cids
        for cid in cids:
            status, page = await self.house.console(f"/call?id={cid}")
            assert status == 200, (cid, status)
            assert cid in page
        _, page = await self.house.console("/person?id=user-ben")
        assert "iPhone" in page
        assert "call-answered" in page
        status, page = await self.house.console("/failed")
        assert status == 200
        assert re.search(r"mail-[0-9a-f]{32}", page), page

    async def listed(self):
        """The calls of the console's list, page by page."""
        found, path = set(), "/"
        while path:
            status, page = await self.house.console(path)
            assert status == 200, page
            found |= set(re.findall(r"default(?::|%3A)call-[a-z-]+", page))
            older = re.search(r'href="/console(/\?[^"]*before=\d+[^"]*)"', page)
            path = older and older[1].replace("&amp;", "&")
        return {cid.replace("%3A", ":") for cid in found}

    async def runs(self):
        """Queued and scheduled jobs, those of the dead worker, and the failed one once it is replayed."""
        self.house.start("worker", "worker-reading")
        await self.house.until(lambda: not RUN - self.rung(), "every push arrives")
        await self.house.until(lambda: len(self.letters("lee@example.com")) >= 2, "the waiting e-mails are sent")
        await asyncio.to_thread(self.house.command, "replay", "--failed")
        await self.house.until(lambda: self.letters("max@example.com"), "the failed e-mail is sent")
        assert self.client.zcard("rq:failed:mail") == 0
        assert (await self.house.ask("GET", "/readyz"))[0] == 200

    def letters(self, address):
        return self.house.mail.mails(address)

    def rung(self):
        return Counter((cid.removeprefix("default:call-"), kind, token) for cid, kind, token in self.house.rung())

    async def goes_on(self):
        """Calls that rang when the other version stopped: answers and cancellations still count."""
        post = self.house.stream.post
        for event in (
            call("queued-ring", "user-ben", "user-jane").rejected("user-sara", "cancel"),
            call("mid-ring", "user-jane").rejected("user-jane", "decline"),
            call("in-flight", "user-ben", "user-jane").accepted("user-ben"),
            call("in-flight", "user-ben", "user-jane").session_ended(),
            call("asked-lately", "user-nobody", ring_ms=5_000).ring(at=time.time() - 2),
        ):
            assert (await post(event)).status == 200
        again = await post(call("queued-ring", "user-ben", "user-jane").ring(), webhook_id="webhook-1")
        assert again.body == {"status": "already"}
        await self.house.until(lambda: not self.client.zcard("bellhop:agenda"), "every call is over")
        await self.house.until(lambda: not RUN + GOES_ON - self.rung(), "the notices arrive")
        standings = {cid: self.standing(await self.house.explained(f"default:call-{cid}")) for cid in STANDINGS}
        for cid, expected in STANDINGS.items():
            says_the_same(expected, standings[cid], cid)
        assert [user for _, user, _ in self.house.stream_api.asked if user == "user-nobody"] == []

    def standing(self, explained):
        return {person["user"]: person["standing"] for person in explained["rounds"][-1]["people"]}

    async def answers(self):
        """The receipt of a push, the link of an e-mail, and the metrics, of the other version."""
        settled = self.states["settled"]
        given = settled["receipt"]
        status, _ = await self.house.ask("POST", "/v1/receipts", {"receipt": given["receipt"]}, token=False)
        assert status == 204
        explained = await self.house.explained(given["cid"])
        assert [one["rang"] for one in explained["rounds"][0]["people"][0]["deliveries"]] == [True]

        link = settled["unsubscribe"]
        assert (await self.house.ask("GET", link["path"], token=False))[0] == 200
        status, _ = await self.house.ask("POST", link["path"], form={"List-Unsubscribe": "One-Click"}, token=False)
        assert status == 200
        assert (await self.house.ask("GET", f"/v1/users/{link['user']}/preferences"))[1]["email"] is False

        page = await self.house.metrics_page()
        (sums,) = (entry["value"] for entry in settled["redis"] if entry["key"] == "bellhop:metrics")
        for standing in ("answered", "declined", "missed", "no_answer"):
            shown = re.search(rf'^bellhop_settled_total{{standing="{standing}"}} ([\d.]+)', page, re.MULTILINE)
            assert float(shown[1]) >= int(sums[json.dumps(["bellhop_settled_total", standing])]), standing

    def did_nothing_twice(self):
        expected, rung = RUN + GOES_ON, self.rung()
        assert rung == expected, f"too much: {rung - expected}; too little: {expected - rung}"
        assert sorted(self.house.mails()) == LETTERS, self.house.mails()


STANDINGS = {
    "queued-ring": {"user-ben": "cancelled", "user-jane": "cancelled"},
    "mid-ring": {"user-jane": "declined"},
    "in-flight": {"user-ben": "answered", "user-jane": "ended"},
    "queued-missed": {"user-ben": "missed", "user-jane": "missed"},
    "queued-cancelled": {"user-ben": "cancelled", "user-jane": "cancelled"},
}
"""Where the people of the calls stand that were not over yet."""


async def reads_everything(root, states, folder):
    """The checkout at `root` goes on where the version that wrote `states` stopped."""
    async with House(Path(folder), root) as house:
        reader = Reader(house, states)
        await reader.explains()
        await reader.shows()
        await reader.runs()
        await reader.goes_on()
        await reader.answers()
        reader.did_nothing_twice()


async def side_by_side(old, new, folder, calls=20):
    """Web processes and workers of both versions share one Redis: every phone rings once, and shows one missed call."""
    async with House(Path(folder), old) as house:
        for user, token in (("user-ben", BEN_VOIP), ("user-ben", BEN_ALERT)):
            kind = "voip" if token == BEN_VOIP else "alert"
            phone = {"provider": "apns", "kind": kind, "token": token, "app": "com.example.calls"}
            assert (await house.ask("POST", f"/v1/users/{user}/devices", phone))[0] == 200
        phone = {"provider": "fcm", "token": JANE, "app": "example-calls"}
        assert (await house.ask("POST", "/v1/users/user-jane/devices", phone))[0] == 200
        posts = [house.stream.post, (await house.second_web("web-new", new)).post]
        house.start("worker", "worker-old", old)
        house.start("worker", "worker-new", new)
        await house.until(lambda: len(list(house.redis_client.scan_iter("bellhop:status:*"))) == 2, "both workers live")
        played = [call(f"both-{number}", "user-ben", "user-jane") for number in range(calls)]
        expected = Counter()
        for number, one in enumerate(played):
            # The ring by one version's web process, its end by the other's.
            assert (await posts[number % 2](one.ring())).status == 200
            expected.update((one.cid, "call.ring", token) for token in (BEN_VOIP, JANE))
        await house.until(lambda: not expected - Counter(house.rung()), "every phone rings")
        for number, one in enumerate(played):
            assert (await posts[(number + 1) % 2](one.rejected("user-sara", "cancel"))).status == 200
            expected.update((one.cid, "call.missed", token) for token in (BEN_ALERT, JANE))
        await house.until(lambda: not expected - Counter(house.rung()), "every phone shows the missed call")
        await asyncio.sleep(1)
        assert Counter(house.rung()) == expected
        for name in ("worker-old", "worker-new"):
            assert '"event":"pushed"' in house.log(name).replace(" ", ""), f"{name} did nothing"
