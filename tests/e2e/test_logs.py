"""What processes log at their most talkative: enough to follow a webhook, and nothing about anybody."""

import asyncio
import json
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections import Counter

import jwt
import pytest
import pytest_asyncio

from bellhop.domain.device import Kind, Provider
from bellhop.queue.names import RING_JOB
from bellhop.sandbox.apple_script import AppleReply, Drop, GoAway
from bellhop.sandbox.child_process import free_port
from bellhop.sandbox.google_script import DROP, fcm_error
from bellhop.sandbox.installation import API_KEY, SECRET, Installation
from bellhop.sandbox.stream_webhooks import SampleCall, StreamStandIn
from webhook.intake.apply import webhook_digest

pytestmark = pytest.mark.asyncio(loop_scope="module")

SOON_S = 30
RECEIPT_SECRET, METRICS_TOKEN, NEW_SECRET = (secrets.token_hex(20) for _ in range(3))
CALLER, ZELDA, XAVER = "quixote-caller", "zelda-quixote", "xaver-jabberwock"
TOKENS = {name: secrets.token_hex(32) for name in ("voip", "alert", "dead", "bad", "refused", "flaky", "large")}
ANDROID, ANDROID_DEAD = "APA91b" + secrets.token_hex(20), "APA91b" + secrets.token_hex(20)
EMAIL = "zelda.private@mail.example"
CALL_NAME, PHONE = "Salary negotiation", "Secret lover's phone"
CONFESSION = "a-confession-nobody-may-read"
MAY_TELL_TOO_MUCH = (
    "webhook", "pushed", "webhook_refused", "webhook_unreadable", "token_dead", "circuit_opened", "job_failed",
    "redis_away", "worker_died", "mail", "device_registered",
)  # fmt: skip


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def logged(tmp_path_factory):
    """The text that each process logged under a load of everything that can happen, and what happened."""
    settings = {
        "LOG_LEVEL": "debug",
        "MISSED_GRACE_S": "0",
        "MAIL_WINDOW_S": "0",
        "MAIL_POLICY": "always",
        "MAIL_STREAM_ADDRESSES": "true",
        "STREAM_API_SECRET": f"{SECRET},{NEW_SECRET}",
        "RECEIPT_SECRET": RECEIPT_SECRET,
        "METRICS_TOKEN": METRICS_TOKEN,
        "SHUTDOWN_GRACE_S": "3",
    }
    async with Installation(tmp_path_factory.mktemp("installation"), settings, workers=2) as installation:
        hooks = await load(installation)
        names = [*installation.processes, "worker-2"]
    return {name: installation.log(name) for name in names}, hooks, installation


async def load(installation):
    for name, token in TOKENS.items():
        user = ZELDA if name in ("voip", "alert") else f"{name}-user"
        await installation.register(user, Provider.APNS, Kind.ALERT if name == "alert" else Kind.VOIP, token, PHONE)
    await installation.register(XAVER, Provider.FCM, Kind.ALERT, ANDROID, PHONE)
    await installation.register("dead-user", Provider.FCM, Kind.ALERT, ANDROID_DEAD, PHONE)
    far = int(time.time() * 1000) + 60_000
    installation.apple.script(TOKENS["dead"], AppleReply(410, "Unregistered", timestamp_ms=far))
    installation.apple.script(TOKENS["bad"], AppleReply(400, "BadDeviceToken"), AppleReply(400, "BadDeviceToken"))
    installation.apple.script(TOKENS["refused"], *[AppleReply(403, "InvalidProviderToken")] * 9)
    installation.apple.script(
        TOKENS["flaky"], AppleReply(503, "ServiceUnavailable"), Drop(), GoAway(drain=False), AppleReply(500, "x")
    )
    installation.apple.script(TOKENS["large"], AppleReply(413, "PayloadTooLarge"))
    installation.google.script(
        ANDROID_DEAD, fcm_error(404, "NOT_FOUND", code="UNREGISTERED", message=f"no {ANDROID_DEAD}")
    )
    installation.google.script(ANDROID, DROP)

    hooks = {}

    async def post(event, **options):
        hook = secrets.token_hex(8)
        hooks[hook] = event["type"]
        assert (await installation.stream.post(with_address(event), webhook_id=hook, **options)).status == 200

    everybody = (ZELDA, XAVER, "dead-user", "bad-user", "flaky-user", "large-user", "phoneless")
    first = SampleCall(CALLER, everybody, name=CALL_NAME)
    await post(first.ring())
    await until(lambda: any(a.cid == first.cid and a.token == TOKENS["voip"] for a in installation.arrivals))
    await until(lambda: any(request.token == TOKENS["dead"] for request in installation.apple.requests))
    await until(lambda: installation.google.requests[ANDROID_DEAD])
    await post(first.rejected(CALLER, "cancel"))
    second = SampleCall(CALLER, (ZELDA, XAVER), name=CALL_NAME)
    for event in (second.ring(), second.accepted(ZELDA), second.rejected(XAVER, "decline"), second.ended()):
        await post(event, compress=True)
    await post(SampleCall(CALLER, (ZELDA,), name=CALL_NAME).notification())
    await post(SampleCall(CALLER, (ZELDA,), name=CALL_NAME).missed())
    await post(SampleCall(CALLER, (ZELDA,), name=CALL_NAME).ring(at=time.time() - 300))
    await until(lambda: installation.mail.mails(EMAIL))

    # What is refused, unreadable or not ours.
    await installation.stream.post(json.dumps({"type": "call.ring", "call_cid": CONFESSION}).encode())
    await installation.stream.post(f'{{"type": "call.ring", "x": "{CONFESSION}'.encode())
    await StreamStandIn(installation.url, API_KEY, CONFESSION, installation.http).post(first.ring())
    api = {"Authorization": jwt.encode({"server": True}, NEW_SECRET, "HS256"), "X-Api-Key": API_KEY}
    for path, body in (
        (f"users/{ZELDA}/devices", {"provider": "apns", "kind": "voip", "token": CONFESSION, "app": CONFESSION}),
        (f"users/{ZELDA}/devices", {"provider": "fcm", "token": ANDROID + "2", "app": "example-calls", "name": PHONE}),
        ("receipts", {"receipt": CONFESSION}),
    ):
        async with installation.http.post(f"{installation.url}/v1/{path}", json=body, headers=api) as answer:
            assert answer.status < 500
    async with installation.http.put(
        f"{installation.url}/v1/users/{ZELDA}/contact", json={"email": EMAIL}, headers=api
    ) as answer:
        assert answer.status < 500
    async with installation.http.get(f"{installation.url}/{CONFESSION}?token={CONFESSION}", headers=api) as answer:
        assert answer.status == 404
    async with installation.http.get(
        f"{installation.url}/metrics", headers={"Authorization": f"Bearer {METRICS_TOKEN}"}
    ) as answer:
        assert ZELDA not in await answer.text()
    for garbage in (f"GET /{CONFESSION} HTTP/9\r\n\r\n", f"{CONFESSION}\r\n\r\n", "POST /webhooks/stream HTTP/1.1\r\n"):
        await asyncio.to_thread(send, installation.port, garbage.encode())

    # Jobs that nobody of ours wrote, and data that nobody of ours stored.
    for number, data in enumerate((f'["{RING_JOB}", null, [{{"v": 1, "cid": "{CONFESSION}"}}], {{}}]', CONFESSION)):
        await installation.store.call(
            "HSET", f"rq:job:strange-{number}", "status", "queued", "origin", "bellhop-rings", "data", data
        )
        await installation.store.call("RPUSH", "rq:queue:bellhop-rings", f"strange-{number}")
    await installation.store.call("HSET", "bellhop:devices:default:odd-user", "k", json.dumps({"token": CONFESSION}))
    await post(SampleCall(CALLER, ("odd-user",), name=CALL_NAME).ring())
    await installation.store.call("SET", "bellhop:devices:default:wrong-user", CONFESSION)
    await post(SampleCall(CALLER, ("wrong-user",), name=CALL_NAME).ring())

    # Refused credentials open the circuit; a worker dies with jobs in hand, and Redis goes away.
    await post(SampleCall(CALLER, ("refused-user",), name=CALL_NAME, ring_ms=15_000).ring())
    await until(lambda: any("circuit_opened" in installation.log(worker) for worker in ("worker-1", "worker-2")))
    await post(SampleCall(CALLER, (ZELDA,), name=CALL_NAME).ring())
    await asyncio.to_thread(installation.stop, "worker-2", signal.SIGKILL)
    await asyncio.to_thread(installation.redis.stop)
    with pytest.raises(AssertionError):
        await post(SampleCall(CALLER, (ZELDA,), name=CALL_NAME).ring())
    installation.redis.start()
    give_up = time.monotonic() + SOON_S
    while (
        await installation.stream.post(SampleCall(CALLER, (ZELDA,)).ring())
    ).status != 200 and time.monotonic() < give_up:
        await asyncio.sleep(0.1)

    def logged_events():
        return "".join(installation.log(name) for name in ("web", "worker-1", "worker-2"))

    await until(lambda: all(f'"event":"{event}"' in logged_events() for event in MAY_TELL_TOO_MUCH))
    return hooks


def with_address(event):
    for member in event.get("members", ()):
        member["user"]["custom"] = {"email": EMAIL}
    return event


def send(port, data):
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        connection.recv(1024)


async def until(holds):
    give_up = time.monotonic() + SOON_S
    while not holds() and time.monotonic() < give_up:
        await asyncio.sleep(0.05)
    assert holds()


def lines(text):
    return [json.loads(line) for line in text.splitlines()]


async def test_every_line_is_one_json_object_with_a_level_and_a_time(logged):
    logs, _, _ = logged
    for name, text in logs.items():
        assert text, name
        for line in text.splitlines():
            found = json.loads(line)
            assert {"event", "level", "timestamp"} <= found.keys(), line


async def test_nothing_personal_and_nothing_secret_is_in_any_line(logged):
    logs, _, installation = logged
    everything = "".join(logs.values())
    account = json.loads((installation.folder / "service-account.json").read_text())
    jwts = re.findall(r"eyJ[\w-]+\.[\w-]+", everything)
    secret = {
        "device tokens": [*TOKENS.values(), ANDROID, ANDROID_DEAD],
        "device tokens, upper case": [token.upper() for token in TOKENS.values()],
        "addresses": [EMAIL, "private@", "@mail.example"],
        "names": ["Quixote Caller", "Zelda", "Jabberwock", PHONE, CALL_NAME],
        "users": [ZELDA, XAVER, CALLER, "odd-user", "wrong-user"],
        "secrets": [SECRET, NEW_SECRET, RECEIPT_SECRET, METRICS_TOKEN, account["private_key"][30:80], "PRIVATE KEY"],
        "configured secrets": [
            value for name, value in installation.environment().items() if "SECRET" in name and value
        ],
        "what somebody sent": [CONFESSION],
        "payload": ["is calling you", "call_display_name", '"aps"', "created_by_display_name"],
        "authorization": ["bearer ", "Bearer ", "authorization", "Authorization"],
        "provider tokens": jwts,
    }
    leaks = {kind: text for kind, texts in secret.items() for text in texts if text in everything}
    shown = [line for line in everything.splitlines() if any(text in line for text in leaks.values())]
    assert not leaks, (leaks, shown[:3])


async def test_the_load_reached_the_lines_that_might_tell_too_much(logged):
    logs, _, _ = logged
    events = Counter(line["event"] for text in logs.values() for line in lines(text))
    for event in MAY_TELL_TOO_MUCH:
        assert events[event], (event, events)


async def test_a_webhooks_id_is_in_every_log_line_up_to_the_provider(logged):
    logs, hooks, _ = logged
    followed = {}
    for hook, kind in hooks.items():
        key = webhook_digest("default", hook)
        followed[kind, key] = {
            (name.partition("-")[0], line["event"])
            for name, text in logs.items()
            for line in lines(text)
            if line.get("webhook") == key
        }
    assert all(("web", "webhook") in found for (kind, _), found in followed.items() if found)
    rings = [found for (kind, _), found in followed.items() if kind == "call.ring" and ("worker", "pushed") in found]
    assert len(rings) >= 3
    assert any(("worker", "token_dead") in found for found in rings)


async def test_a_ring_is_one_worker_line_with_counts_of_its_outcomes(logged):
    logs, _, _ = logged
    pushed = [line for text in logs.values() for line in lines(text) if line["event"] == "pushed"]
    [ring] = [line for line in pushed if line["kind"] == "ring" and line.get("token_dead")]
    counts = {name: count for name, count in ring.items() if isinstance(count, int)}
    assert sum(counts.values()) == 8, "seven phones, and one user who has none"
    assert (counts["token_dead"], counts["no_devices"]) == (2, 1)


MISTAKE = f"""
import asyncio, logging, structlog
from bellhop.telemetry import logs
logs.configure(FORMAT, "debug")

def mistake(token):
    raise ValueError(f"cannot read {{token}}")

try:
    mistake("{CONFESSION}")
except ValueError:
    structlog.get_logger().exception("unexpected_error")
    logging.getLogger("library").exception("a library's mistake")

async def main():
    async def task(token):
        mistake(token)
    asyncio.ensure_future(task("{CONFESSION}"))
    await asyncio.sleep(0.1)

asyncio.run(main())
import gc; gc.collect()
logging.getLogger("hpack").debug("Decoded ('authorization', '{CONFESSION}')")
"""


@pytest.mark.parametrize("form", ["json", "console"])
async def test_a_mistake_is_told_by_its_kind_and_place_without_a_value(form):
    code = MISTAKE.replace("FORMAT", repr(form))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert CONFESSION not in done.stdout + done.stderr
    for said in ("unexpected_error", "a library's mistake", "Task exception was never retrieved"):
        assert said in done.stderr
    assert done.stderr.count("ValueError") == 3
    assert "in mistake" in done.stderr


async def test_a_worker_started_without_apple_warns_and_ends_cleanly(tmp_path):
    nowhere = f"https://127.0.0.1:{free_port()}"
    async with Installation(tmp_path, {"APNS_URL": nowhere, "APNS_SANDBOX_URL": nowhere}) as installation:
        await until(lambda: "apns_connect_failed" in installation.log("worker-1"))
        assert await asyncio.to_thread(installation.stop, "worker-1") == 0
        assert {line["level"] for line in lines(installation.log("worker-1"))} == {"info", "warning"}, installation.log(
            "worker-1"
        )
