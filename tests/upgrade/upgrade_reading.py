"""Lets one version of Bellhop continue from the states that another version wrote, and checks everything it does.

`side_by_side` runs both versions at the same time, as in a rolling upgrade.
"""

import asyncio
import hashlib
import json
import re
import time
from collections import Counter
from pathlib import Path

import redis
from redis_state import UNMOVED, load, moved_document
from two_versions import VersionedInstallation
from upgrade_scenario import BEN_ALERT, BEN_VOIP, JANE, NORA_ALERT, call, failed_emails, meaning

AGES_S = {"queued": 5, "handed_back": 5, "dead_worker": 35, "settled": 5}
"""The age of each state for the version that reads it. The e-mail of the killed worker waits 30 s, so it is due."""
LETTERS = [
    ("lee@example.com", "Missed call from User Sara"),
    ("lee@example.com", "Missed call from User Tom"),
    ("max@example.com", "Missed call from User Sara"),
]
CLAIMED_BY_ID = f"bellhop:webhook:{hashlib.sha256(b'default:webhook-1').hexdigest()[:32]}"
"""The claim of the first webhook, if the version that wrote it claims webhooks by their ids, not by their bodies."""
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
"""Every push that the queued jobs of the states must cause: call, type, token."""
GOES_ON = Counter(
    {
        ("queued-ring", "call.missed", BEN_ALERT): 1,
        ("queued-ring", "call.missed", JANE): 1,
        ("in-flight", "call.missed", JANE): 1,
    }
)
"""The pushes of the calls that `goes_on` continues."""


def says_the_same(old, new, where="", unknown=frozenset(), field=""):
    """Check that `new` has every field of `old` with the same value. It may have more fields.

    `unknown`: the fields that the version that made `new` does not know, as `fields_in` names them.
    """
    if isinstance(old, dict) and isinstance(new, dict):
        for name, value in old.items():
            if (inner := f"{field}/{name}") in unknown:
                continue
            assert name in new, f"{where}/{name} is missing"
            says_the_same(value, new[name], f"{where}/{name}", unknown, inner)
    elif isinstance(old, list) and isinstance(new, list):
        assert len(old) == len(new), f"{where} has {len(new)} entries, not {len(old)}: {new}"
        for number, (before, now) in enumerate(zip(old, new, strict=True)):
            says_the_same(before, now, f"{where}/{number}", unknown, field)
    else:
        assert old == new, f"{where} is {new!r}, not {old!r}"


def fields_in(api):
    """The fields of all answers that an OpenAPI document describes, such as `/rounds/people/name`."""
    schemas = api["components"].get("schemas", {})
    operations = [
        operation for path in api["paths"].values() for operation in path.values() if "responses" in operation
    ]
    answers = [answer for operation in operations for answer in operation["responses"].values()]
    shapes = [content["schema"] for answer in answers for content in answer.get("content", {}).values()]
    return {field for shape in shapes for field in fields_of(shape, schemas)}


def fields_of(shape, schemas, field="", depth=12):
    if "$ref" in shape:
        shape = schemas[shape["$ref"].rpartition("/")[2]]
    inner = [*shape.get("anyOf", ()), *shape.get("oneOf", ()), *filter(None, [shape.get("items")])]
    found = {name for each in inner for name in fields_of(each, schemas, field, depth - 1)} if depth else set()
    for name, value in shape.get("properties", {}).items():
        found |= {f"{field}/{name}"} | (fields_of(value, schemas, f"{field}/{name}", depth - 1) if depth else set())
    return found


class Reader:
    """An installation with the states of another version, now run by the checkout of `installation`."""

    def __init__(self, installation, states, unknown=frozenset()):
        """`unknown`: names of fields that only the other version knows."""
        self.installation, self.states, self.client = installation, states, installation.redis_client
        self.unknown = unknown
        with redis.Redis.from_url(installation.redis.url) as raw:
            self.moved = {name: load(raw, self.part(name), AGES_S[name]) for name in AGES_S}

    def part(self, name):
        """A state to load. All four hold the devices and contacts of all users; those of `settled` are used."""
        state = self.states[name]
        if name == "settled":
            return state
        return state | {"redis": [entry for entry in state["redis"] if not entry["key"].startswith(OF_USERS)]}

    def expected(self):
        """Each call, with its explanation by the version that wrote the states."""
        for name, state in self.states.items():
            for cid, explained in state["explained"].items():
                yield cid, explained if UNMOVED in cid else moved_document(self.moved[name], explained)

    async def explains(self):
        """Every call is explained with the same meaning: by HTTP, and on the command line."""
        for cid, explained in self.expected():
            says_the_same(explained, meaning(await self.installation.explained(cid)), cid, self.unknown)
        some = dict(self.expected())
        for cid in ("default:call-answered", "default:call-dead-token"):
            printed = await asyncio.to_thread(self.installation.command, "explain", "--json", cid)
            says_the_same(some[cid], meaning(json.loads(printed)), cid, self.unknown)

    async def shows(self):
        """Devices, contacts and preferences; the console's lists and pages; the failed job."""
        settled = self.states["settled"]
        for user, devices in settled["devices"].items():
            answer = await self.installation.ask("GET", f"/v1/users/{user}/devices")
            says_the_same(moved_document(self.moved["settled"], devices), answer[1], user, self.unknown)
        _, contact = await self.installation.ask("GET", "/v1/users/user-lee/contact")
        assert contact == {"email": "lee@example.com", "language": "en", "time_zone": "Europe/Amsterdam"}
        _, preferences = await self.installation.ask("GET", "/v1/users/user-quinn/preferences")
        assert preferences["quiet_hours"] == {"from": "00:00", "to": "00:00", "let_second_call_through": False}

        cids = {cid for cid, _ in self.expected() if UNMOVED not in cid}
        assert await self.listed() >= cids
        for cid in cids:
            status, page = await self.installation.console(f"/call?id={cid}")
            assert status == 200, (cid, status)
            assert cid in page
        _, page = await self.installation.console("/person?id=user-ben")
        assert "iPhone" in page
        assert "call-answered" in page
        status, page = await self.installation.console("/failed")
        assert status == 200
        assert re.search(r"mail-[0-9a-f]{32}", page), page

    async def listed(self):
        """The calls of the console's list, page by page."""
        cids, path = set(), "/"
        while path:
            status, page = await self.installation.console(path)
            assert status == 200, page
            cids |= set(re.findall(r"default(?::|%3A)call-[a-z-]+", page))
            older = re.search(r'href="/console(/\?[^"]*before=\d+[^"]*)"', page)
            path = older and older[1].replace("&amp;", "&")
        return {cid.replace("%3A", ":") for cid in cids}

    async def runs(self):
        """A worker runs the queued and scheduled jobs, those of the killed worker, and replays the failed job."""
        self.installation.start("worker", "worker-reading")
        await self.installation.until(lambda: not RUN - self.rung(), "every push arrives")
        await self.installation.until(lambda: len(self.letters("lee@example.com")) >= 2, "the waiting e-mails are sent")
        await asyncio.to_thread(self.installation.command, "replay", "--failed")
        await self.installation.until(lambda: self.letters("max@example.com"), "the failed e-mail is sent")
        assert failed_emails(self.client) == 0
        assert (await self.installation.ask("GET", "/readyz"))[0] == 200

    def letters(self, address):
        return self.installation.mail.mails(address)

    def rung(self):
        return Counter(
            (cid.removeprefix("default:call-"), kind, token) for cid, kind, token in self.installation.rung()
        )

    async def goes_on(self):
        """Calls that still rang when the other version stopped are answered, cancelled and repeated."""
        post = self.installation.stream.post
        for event in (
            call("queued-ring", "user-ben", "user-jane").rejected("user-sara", "cancel"),
            call("mid-ring", "user-jane").rejected("user-jane", "decline"),
            call("in-flight", "user-ben", "user-jane").accepted("user-ben"),
            call("in-flight", "user-ben", "user-jane").session_ended(),
            call("asked-lately", "user-nobody", ring_ms=5_000).ring(at=time.time() - 2),
        ):
            assert (await post(event)).status == 200
        if self.client.exists(CLAIMED_BY_ID):
            again = await post(call("queued-ring", "user-ben", "user-jane").ring(), webhook_id="webhook-1")
            assert again.body == {"status": "already"}
        await self.installation.until(lambda: not self.client.zcard("bellhop:agenda"), "every call is over")
        await self.installation.until(lambda: not RUN + GOES_ON - self.rung(), "the notices arrive")
        standings = {cid: self.standing(await self.installation.explained(f"default:call-{cid}")) for cid in STANDINGS}
        for cid, expected in STANDINGS.items():
            says_the_same(expected, standings[cid], cid)
        assert [user for _, user, _ in self.installation.stream_api.asked if user == "user-nobody"] == []

    async def _let_it_ring(self, cid):
        """End the ring of a call in half a minute: its stamps are not moved, and a receipt expires with its ring."""
        store = self.installation.store
        [key] = await store.call("KEYS", f"bellhop:round:default:{cid}:*")
        facts = json.loads(await store.call("HGET", key, "facts"))
        await store.call("HSET", key, "facts", json.dumps(facts | {"deadline": round((time.time() + 30) * 1e6)}))

    def standing(self, explained):
        return {person["user"]: person["standing"] for person in explained["rounds"][-1]["people"]}

    async def answers(self):
        """The receipt, the unsubscribe link and the metrics of the other version are still valid."""
        settled = self.states["settled"]
        given = settled["receipt"]
        await self._let_it_ring(given["cid"])
        status, _ = await self.installation.ask("POST", "/v1/receipts", {"receipt": given["receipt"]}, token=False)
        assert status == 204
        explained = await self.installation.explained(given["cid"])
        assert [delivery["rang"] for delivery in explained["rounds"][0]["people"][0]["deliveries"]] == [True]

        link = settled["unsubscribe"]
        assert (await self.installation.ask("GET", link["path"], token=False))[0] == 200
        status, _ = await self.installation.ask(
            "POST", link["path"], form={"List-Unsubscribe": "One-Click"}, token=False
        )
        assert status == 200
        assert (await self.installation.ask("GET", f"/v1/users/{link['user']}/preferences"))[1]["email"] is False

        page = await self.installation.metrics_page()
        (sums,) = (entry["value"] for entry in settled["redis"] if entry["key"] == "bellhop:metrics")
        for standing in ("answered", "declined", "missed", "no_answer"):
            shown = re.search(rf'^bellhop_settled_total{{standing="{standing}"}} ([\d.]+)', page, re.MULTILINE)
            assert float(shown[1]) >= int(sums[json.dumps(["bellhop_settled_total", standing])]), standing

    def did_nothing_twice(self):
        expected, rung = RUN + GOES_ON, self.rung()
        assert rung == expected, f"too much: {rung - expected}; too little: {expected - rung}"
        assert sorted(self.installation.mails()) == LETTERS, self.installation.mails()


STANDINGS = {
    "queued-ring": {"user-ben": "cancelled", "user-jane": "cancelled"},
    "mid-ring": {"user-jane": "declined"},
    "in-flight": {"user-ben": "answered", "user-jane": "ended"},
    "queued-missed": {"user-ben": "missed", "user-jane": "missed"},
    "queued-cancelled": {"user-ben": "cancelled", "user-jane": "cancelled"},
}
"""The final standings of the calls that were not over yet."""


async def reads_everything(root, states, folder, api=None):
    """Let the checkout at `root` continue from `states`, and check everything.

    `api`: the OpenAPI document of the version that wrote them, if it may know more fields.
    """
    async with VersionedInstallation(Path(folder), root) as installation:
        own = (await installation.ask("GET", "/v1/openapi.json"))[1]
        reader = Reader(installation, states, frozenset(fields_in(api) - fields_in(own) if api else ()))
        await reader.explains()
        await reader.shows()
        await reader.runs()
        await reader.goes_on()
        await reader.answers()
        reader.did_nothing_twice()


async def side_by_side(old, new, folder, calls=20):
    """Web processes and workers of both versions share one Redis: every phone rings once, and shows one missed call."""
    async with VersionedInstallation(Path(folder), old) as installation:
        for user, token in (("user-ben", BEN_VOIP), ("user-ben", BEN_ALERT)):
            kind = "voip" if token == BEN_VOIP else "alert"
            phone = {"provider": "apns", "kind": kind, "token": token, "app": "com.example.calls"}
            assert (await installation.ask("POST", f"/v1/users/{user}/devices", phone))[0] == 200
        phone = {"provider": "fcm", "token": JANE, "app": "example-calls"}
        assert (await installation.ask("POST", "/v1/users/user-jane/devices", phone))[0] == 200
        posts = [installation.stream.post, (await installation.second_web("web-new", new)).post]
        installation.start("worker", "worker-old", old)
        installation.start("worker", "worker-new", new)
        await installation.until(
            lambda: len(list(installation.redis_client.scan_iter("bellhop:status:*"))) == 2, "both workers live"
        )
        played = [call(f"both-{number}", "user-ben", "user-jane") for number in range(calls)]
        expected = Counter()
        for number, sample in enumerate(played):
            # The ring by one version's web process, its end by the other's.
            assert (await posts[number % 2](sample.ring())).status == 200
            expected.update((sample.cid, "call.ring", token) for token in (BEN_VOIP, JANE))
        await installation.until(lambda: not expected - Counter(installation.rung()), "every phone rings")
        for number, sample in enumerate(played):
            assert (await posts[(number + 1) % 2](sample.rejected("user-sara", "cancel"))).status == 200
            expected.update((sample.cid, "call.missed", token) for token in (BEN_ALERT, JANE))
        await installation.until(
            lambda: not expected - Counter(installation.rung()), "every phone shows the missed call"
        )
        await asyncio.sleep(1)
        assert Counter(installation.rung()) == expected
        for name in ("worker-old", "worker-new"):
            assert '"event":"pushed"' in installation.log(name).replace(" ", ""), f"{name} did nothing"
