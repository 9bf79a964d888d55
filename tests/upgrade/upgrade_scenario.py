"""Makes a version of Bellhop write four states of Redis, and keeps how that version explains the calls in them.

All input is as in production: signed webhooks, the app's HTTP requests, workers that are stopped or killed. Calls,
users and tokens have the same ids in every run, so the formats of two versions can be compared.
"""

import asyncio
import json
import re
import signal
import socket
import time
import uuid
from contextlib import asynccontextmanager
from pathlib import Path

import redis
from redis_state import UNMOVED, dump
from two_versions import BUNDLE, PROJECT, SampleCall, VersionedInstallation

BEN_VOIP, BEN_ALERT, JANE = "a1" * 32, "b2" * 32, "fcm:jane-pixel"
NORA_VOIP, NORA_ALERT = "c3" * 32, "c4" * 32
TWO = ("fcm:old", "fcm:new")
GUS, RITA, XENA, MIA, QUINN, STAN = "d5" * 32, "fcm:rita", "e6" * 32, "fcm:mia", "fcm:quinn", "fcm:stan"
APPLE, GOOGLE = {"provider": "apns", "app": BUNDLE}, {"provider": "fcm", "app": PROJECT}
PHONES = {
    "user-ben": [
        {**APPLE, "kind": "voip", "token": BEN_VOIP, "hardware_id": "ben-phone", "name": "Ben's iPhone"},
        {**APPLE, "kind": "alert", "token": BEN_ALERT, "hardware_id": "ben-phone", "name": "Ben's iPhone"},
    ],
    "user-jane": [{**GOOGLE, "token": JANE, "name": "Jane's Pixel"}],
    "user-nora": [{**APPLE, "kind": "voip", "token": NORA_VOIP}, {**APPLE, "kind": "alert", "token": NORA_ALERT}],
    "user-gus": [{**APPLE, "kind": "voip", "token": GUS}],
    "user-rita": [{**GOOGLE, "token": RITA}],
    "user-xena": [{**APPLE, "kind": "voip", "token": XENA}],
    "user-mia": [{**GOOGLE, "token": MIA}],
    "user-quinn": [{**GOOGLE, "token": QUINN}],
    "user-two": [{**GOOGLE, "token": token, "hardware_id": "one-phone"} for token in TWO],
}
CONTACTS = {
    "user-lee": {"email": "lee@example.com", "language": "en", "time_zone": "Europe/Amsterdam"},
    "user-max": {"email": "max@example.com"},
    "user-nora": {"email": "nora@example.com"},
}
PREFERENCES = {
    "user-mia": {"mute_until": "2100-01-01T00:00:00Z"},
    "user-quinn": {"quiet_hours": {"from": "00:00", "to": "00:00", "let_second_call_through": False}},
}
AT_STREAM = {
    "user-stan": [
        {
            "push_provider": "firebase",
            "push_provider_name": "firebase",
            "id": STAN,
            "created_at": 1794989200000000000,
            "user_id": "user-stan",
        }
    ]
}
NO_PLACE = "00000000-0000-4000-8000-000000000000:4026531836"
WORDED = {"sentence", "verdict", "headline", "summary", "next"}
"""Fields of an explanation that hold sentences. Sentences may change; all other fields keep their name and meaning."""


def meaning(explained):
    """An explanation without its wording."""
    if isinstance(explained, dict):
        return {name: meaning(value) for name, value in explained.items() if name not in WORDED}
    return [meaning(value) for value in explained] if isinstance(explained, list) else explained


def call(name, *members, session=1, **options):
    """A call whose id and session tell its name."""
    session_id = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{name} {session}"))
    options = {"caller": "user-sara", "ring_ms": 180_000} | options
    return SampleCall(members=members, id=f"call-{name}", session_id=session_id, **options)


def names_of(queue):
    """The names of a queue: of older versions, and now."""
    return queue, f"bellhop-{queue}"


def failed_emails(client):
    """The number of failed e-mail jobs."""
    return sum(client.zcard(f"rq:failed:{name}") for name in names_of("mail"))


class Writer:
    """Runs the scenario with one version and keeps what it wrote."""

    def __init__(self, installation):
        self.installation, self.states, self.calls, self.posted, self.webhooks = installation, {}, [], set(), 0
        self.extra, self.answers = {}, {}

    async def write(self):
        """Write the four states."""
        for name in ("queued", "handed_back", "dead_worker", "settled"):
            self.installation.redis_client.flushall()
            self.calls, self.extra = [], {}
            await self.register_everybody()
            await getattr(self, name)()
            await self.keep(name)
        return self.states

    async def register_everybody(self):
        """Register all devices, contacts and preferences, as the app does."""
        for user, phones in PHONES.items():
            for phone in phones:
                status, answer = await self.installation.ask("POST", f"/v1/users/{user}/devices", phone)
                assert status == 200, answer
        for field, of_users in (("contact", CONTACTS), ("preferences", PREFERENCES)):
            for user, value in of_users.items():
                status, answer = await self.installation.ask("PUT", f"/v1/users/{user}/{field}", value)
                assert status == 200, answer
        self.installation.stream_api.devices = AT_STREAM

    async def post(self, *events, **options):
        """Post webhooks; each must be taken in."""
        for event in events:
            self.webhooks += 1
            given = {"webhook_id": f"webhook-{self.webhooks}"} | options
            reply = await self.installation.stream.post(event, **given)
            assert reply.status == 200, reply
            if isinstance(event, dict) and event["call_cid"] not in self.calls:
                self.calls.append(event["call_cid"])

    async def keep(self, name):
        """Keep the contents of Redis, and the explanations of the calls."""
        with redis.Redis.from_url(self.installation.redis.url) as client:
            state = {"made_at_s": int(time.time()), "redis": dump(client, self.hides_this_machine())}
        explained = {cid: meaning(await self.installation.explained(cid)) for cid in self.calls}
        self.states[name] = state | {"explained": explained} | self.extra

    def hides_this_machine(self):
        """Make a function that replaces the names of this machine in a text: host name, boot id and namespace."""
        client, host = self.installation.redis_client, socket.gethostname()
        host_of_worker = re.compile(rf"{re.escape(host)}(?=-[0-9a-f]{{8}}\b)")
        places = {place for key in client.scan_iter("rq:worker:*") if (place := client.hget(key, "place"))}

        def hide(text):
            if text == host or text in places:
                return "old-host" if text == host else NO_PLACE
            return host_of_worker.sub("old-host", text)

        return hide

    async def started(self, queue, job_name, count=1):
        """Wait until so many jobs of this name are being run."""
        client = self.installation.redis_client

        def running():
            keys = [f"rq:wip:{name}" for name in names_of(queue)]
            ids = [entry.split(":")[0] for key in keys for entry in client.zrange(key, 0, -1)]
            return sum(client.hget(f"rq:job:{job}", "description") == job_name for job in ids) >= count

        await self.installation.until(running, f"{job_name} is being run")

    async def trail_has(self, sample, milestone, outcome=None):
        """Wait until the call's trail has such a line."""

        def written():
            lines = map(json.loads, self.installation.redis_client.lrange(f"bellhop:trail:default:{sample.cid}", 0, -1))
            return any(line[1] == milestone and outcome in (None, line[3].get("o")) for line in lines)

        await self.installation.until(written, f"{sample.cid} has {milestone} {outcome or ''}")

    async def quiet(self, *open_calls):
        """Wait until nothing is left to do, but for calls that go on ringing."""
        client = self.installation.redis_client

        def over():
            jobs = sum(client.llen(key) for key in client.scan_iter("rq:queue:*"))
            jobs += sum(client.llen(key) for key in client.scan_iter("bellhop:inflight:*"))
            jobs += sum(client.zcard(key) for key in client.scan_iter("rq:scheduled:*"))
            for name in names_of("notices"):
                for job_id in client.zrange(f"rq:scheduled:{name}", 0, -1):
                    # A notice that waits until no phone rings any more: that time is now.
                    if '"left_over":true' in (client.hget(f"rq:job:{job_id}", "data") or ""):
                        client.zadd(f"rq:scheduled:{name}", {job_id: 0})
            return not jobs and client.zcard("bellhop:agenda") == len(open_calls)

        await self.installation.until(over, "nothing is left to do")

    # The states.

    async def queued(self):
        """Only the web process runs. Its jobs stay in the queues: ring, notify and settle."""
        ring, notify, missed, cancelled = (
            call(f"queued-{what}", "user-ben", "user-jane") for what in ("ring", "notify", "missed", "cancelled")
        )
        await self.post(ring.ring(), notify.notification(), missed.missed())
        await self.post(cancelled.ring(), cancelled.rejected("user-sara", "cancel"))

    async def handed_back(self):
        """One e-mail job failed. Then a worker stopped while it ran a notice and an e-mail: both were queued again."""
        installation = self.installation
        fails = call("mail-fails", "user-max")
        installation.start("worker", "worker-before", MAIL_WINDOW_S="1")
        await self.post(fails.missed())
        await self.trail_has(fails, "mailed", "mail_waiting")
        await installation.end("worker-before")
        installation.start_worker_that_knows_no_emails("worker-without-mail")
        await installation.until(lambda: failed_emails(installation.redis_client), "the e-mail fails")
        await installation.end("worker-without-mail")

        notice, mail = call("notice-queued", "user-nora"), call("mail-queued", "user-lee", caller="user-tom")
        installation.apple_is_silent(NORA_ALERT)
        installation.mail_server_is_silent()
        installation.start("worker", "worker-stopped", MAIL_WINDOW_S="0", SHUTDOWN_GRACE_S="0")
        await self.post(notice.missed(), mail.missed())
        await self.started("notices", "worker.jobs.notice")
        await self.started("mail", "worker.jobs.mail")
        await installation.until(
            lambda: any(request.token == NORA_ALERT for request in installation.apple.requests), "Apple is asked"
        )
        await installation.end("worker-stopped")

    async def dead_worker(self):
        """A worker was killed while a ring was in flight. Two calls still ring, and an e-mail waits for its time."""
        installation = self.installation
        flight, ringing = call("in-flight", "user-ben", "user-jane"), call("mid-ring", "user-jane")
        waits = call("letter-waits", "user-lee")
        installation.apple_is_silent(BEN_VOIP)
        installation.start("worker", "worker-killed", MAIL_WINDOW_S="30")
        await self.post(waits.missed())
        await self.trail_has(waits, "mailed", "mail_waiting")
        await self.post(ringing.ring())
        await self.trail_has(ringing, "attempted", "accepted")
        await self.post(flight.ring())
        await self.trail_has(flight, "attempted", "accepted")
        await installation.until(
            lambda: any(request.token == BEN_VOIP for request in installation.apple.requests), "Apple is asked"
        )
        await installation.until(
            lambda: any(installation.redis_client.scan_iter("rq:executions:*")), "RQ's records of the run are written"
        )
        await installation.end("worker-killed", signal.SIGKILL)

    async def settled(self):
        """A worker runs and all calls are over: one call for each possible result."""
        installation = self.installation
        installation.apple_refuses(GUS, 410, "Unregistered", timestamp_ms=int((time.time() + 3600) * 1000))
        installation.apple_refuses(XENA, 400, "BadDeviceToken")
        installation.google_is_unavailable(RITA)
        overtaken = call("overtaken", "user-ben")
        await self.post(overtaken.ring(), overtaken.rejected("user-sara", "cancel"))
        installation.start("worker", "worker-settling")
        await installation.until(self.lives, "the worker says what it is")
        ends_itself = call("no-answer", "user-ben", ring_ms=5_000)
        slow = call("retried", "user-rita")  # Google asks for ten seconds
        await self.post(ends_itself.ring(at=time.time() - 3), slow.ring())
        for name, members, end in CALLS:
            sample = call(name, *members)
            await self.post(sample.ring())
            await self.rung(sample, members)
            await self.post(*end(sample))
        invited = call("invited", "user-ben", "user-jane")
        await self.post(invited.notification())
        await self.rung(invited, ["user-ben", "user-jane"])
        await self.odd_ones()
        await self.rung(slow, ["user-rita"])
        await self.post(slow.missed())
        await self.trail_has(call("missed-mail", "user-lee"), "mailed", "mail_accepted")
        await self.quiet()
        await self.look_around()
        await self.everything_is_counted()
        self.answers["GET /metrics"] = 200, await installation.metrics_page()
        await self.keep("settled")
        await installation.end("worker-settling")

    async def everything_is_counted(self):
        """Wait until every process has added its counts to Redis: each does so once a second."""
        before, now = None, {}
        while before != now:
            before = now
            await asyncio.sleep(3)
            now = self.installation.redis_client.hgetall("bellhop:metrics")

    def lives(self):
        return list(self.installation.redis_client.scan_iter("bellhop:status:*"))

    async def rung(self, sample, members):
        """Wait until the ring's job has ended, for each member."""
        client = self.installation.redis_client

        def over():
            lines = map(json.loads, client.lrange(f"bellhop:trail:default:{sample.cid}", 0, -1))
            ended = {
                line[3].get("u")
                for line in lines
                if line[1] in ("skipped", "finished") or (line[1] == "attempted" and line[3]["o"] in ENDS)
            }
            return ended >= set(members)

        await self.installation.until(over, f"{sample.cid} has rung")

    async def odd_ones(self):
        """Post a repeated and an unreadable webhook, ring one call twice, and send a receipt."""
        installation = self.installation
        repeated = call("repeated", "user-jane")
        event = repeated.ring()
        await self.post(event, webhook_id="webhook-repeated")
        await self.post(event, webhook_id="webhook-repeated", attempt=2)
        await self.rung(repeated, ["user-jane"])
        await self.post(repeated.accepted("user-jane"), repeated.session_ended())
        await self.post(b'{"type":"call.ring","created_at":"2026-01-01T00:00:00Z"}')
        status, _ = await installation.ask(
            "POST", "/webhooks/stream", {"type": "call.ring"}, {"X-Signature": "no"}, token=False
        )
        assert status == 401, status

        first, second = call("twice", "user-ben"), call("twice", "user-ben", session=2)
        await self.post(first.ring())
        await self.rung(first, ["user-ben"])
        await self.post(first.missed())
        await installation.until(
            lambda: (first.cid, "call.missed", BEN_ALERT) in installation.rung(), "the missed call shows"
        )
        await self.post(second.ring())
        await installation.until(
            lambda: installation.rung().count((first.cid, "call.ring", BEN_VOIP)) == 2, "it rings again"
        )
        await self.post(second.accepted("user-ben"), second.session_ended())

        for name in ("receipt", f"receipt-{UNMOVED}"):
            sample = call(name, "user-jane")
            await self.post(sample.ring())
            push = await installation.until(lambda cid=sample.cid: self.arrived(cid), "the phone rings")
            await self.rung(sample, ["user-jane"])
            if name == "receipt":
                status, _ = await installation.ask(
                    "POST", "/v1/receipts", {"receipt": push.payload["receipt"], "rang_at": int(time.time() * 1000)}
                )
                assert status == 204, status
            else:
                self.extra["receipt"] = {"cid": sample.cid, "receipt": push.payload["receipt"]}
            await self.post(sample.accepted("user-jane"), sample.session_ended())

    def arrived(self, cid):
        return next((arrival for arrival in self.installation.arrivals if arrival.cid == cid), None)

    async def look_around(self):
        """Keep the unsubscribe link of an e-mail, and the answers of every kind of HTTP request."""
        (mail,) = self.installation.mail.mails("lee@example.com")
        link = re.fullmatch(r"<(.*)>", mail.message["List-Unsubscribe"])[1]
        users = [*PHONES, *AT_STREAM]
        self.extra["devices"] = {
            user: (await self.installation.ask("GET", f"/v1/users/{user}/devices"))[1] for user in users
        }
        self.extra["unsubscribe"] = {"user": "user-lee", "path": link.removeprefix(self.installation.url)}
        paths = ("/healthz", "/readyz", "/v1/openapi.json", "/v1/users/user-ben/devices", "/v1/users/user-lee/contact")
        paths += ("/v1/users/user-quinn/preferences", "/v1/calls/default:call-answered", "/v1/calls/default:nothing")
        paths += ("/v1/users/me/devices", "/v1/nothing", self.extra["unsubscribe"]["path"], "/unsubscribe/forged")
        for path in paths:
            self.answers[f"GET {path}"] = await self.installation.ask("GET", path)
        for path in ("/", "/call?id=default:call-answered", "/person?id=user-ben", "/service", "/failed", "/nothing"):
            self.answers[f"GET /console{path}"] = await self.installation.console(path)
        self.answers["GET /v1/users/user-ben/devices without a token"] = await self.installation.ask(
            "GET", "/v1/users/user-ben/devices", token=False
        )
        self.answers["POST /v1/receipts forged"] = await self.installation.ask(
            "POST", "/v1/receipts", {"receipt": "forged.x"}
        )
        self.answers["POST /v1/users/user-ben/devices wrong"] = await self.installation.ask(
            "POST", "/v1/users/user-ben/devices", {"provider": "apns"}
        )


ENDS = {"accepted", "token_dead", "cancelled"}
"""Outcomes after which a push is not tried again."""
CALLS = (
    ("answered", ["user-ben", "user-jane"], lambda sample: [sample.accepted("user-ben"), sample.session_ended()]),
    ("declined", ["user-jane"], lambda sample: [sample.rejected("user-jane", "decline")]),
    ("busy", ["user-jane"], lambda sample: [sample.rejected("user-jane", "busy")]),
    ("timed-out", ["user-jane"], lambda sample: [sample.rejected("user-jane", "timeout")]),
    ("cancelled", ["user-ben", "user-jane"], lambda sample: [sample.rejected("user-sara", "cancel")]),
    ("ended", ["user-ben"], lambda sample: [sample.ended("user-sara")]),
    ("missed", ["user-nora"], lambda sample: [sample.missed()]),
    ("same-phone", ["user-two"], lambda sample: [sample.missed()]),
    ("missed-quietly", ["user-jane"], lambda sample: [sample.missed(notify_user=False)]),
    ("missed-mail", ["user-lee"], lambda sample: [sample.missed()]),
    ("no-device", ["user-nobody"], lambda sample: [sample.missed()]),
    ("dead-token", ["user-gus"], lambda sample: [sample.missed()]),
    ("moved", ["user-xena"], lambda sample: [sample.missed()]),
    ("muted", ["user-mia"], lambda sample: [sample.missed()]),
    ("quiet-hours", ["user-quinn"], lambda sample: [sample.missed()]),
    ("found-at-stream", ["user-stan"], lambda sample: [sample.missed()]),
)
"""Each call's name, the users it rings, and the webhooks that end it."""


@asynccontextmanager
async def written_by(root, folder):
    """Run the scenario with the checkout at `root`. The writer has the states, the logs and the answers."""
    async with VersionedInstallation(Path(folder), root) as installation:
        writer = Writer(installation)
        await writer.write()
        yield writer
