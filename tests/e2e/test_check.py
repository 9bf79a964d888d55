"""`bellhop check` and `bellhop send-test` against the stand-ins."""

import asyncio
import json
import re
import subprocess
import sys

import pytest
import pytest_asyncio
import redis

from bellhop.domain.device import Kind, Provider
from bellhop.domain.event_types import HANDLED_EVENT_TYPES
from bellhop.sandbox.apple_script import AppleReply
from bellhop.sandbox.installation import SECRET, Installation
from bellhop.sandbox.redis_server import RedisServer
from bellhop.sandbox.smtp_server import SmtpStandIn
from bellhop.sandbox.stream_rest import call_type, hook

pytestmark = pytest.mark.asyncio(loop_scope="module")

NOBODY = "0" * 64


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def here(tmp_path_factory):
    async with Installation(tmp_path_factory.mktemp("installation")) as installation:
        await installation.register("ben", Provider.APNS, Kind.VOIP, "a1" * 32, "Ben's iPhone")
        await installation.register("ben", Provider.FCM, Kind.ALERT, "ben:pixel", "Ben's Pixel")
        yield installation


async def bellhop(here, *args, **settings):
    environment = here.environment() | {f"BELLHOP_{name}": str(value) for name, value in settings.items()}
    command = [sys.executable, "-m", "bellhop", *args]
    done = await asyncio.to_thread(subprocess.run, command, env=environment, capture_output=True, text=True)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout + done.stderr


async def test_all_is_well(here):
    here.apple.script(NOBODY, *[AppleReply(400, "BadDeviceToken")] * 2)
    status, output = await bellhop(here, "check")
    assert status == 0, output
    for subject in ("Redis: answers in", "workers: 1 alive", "Stream default: 1 secret(s)"):
        assert subject in output
    for subject in ("Apple com.example.calls (production)", "(sandbox)", "Firebase example-calls"):
        assert f"{subject}: takes our credentials" in output
    assert "pushes no rings, missed calls or notifications by itself (1 call type)" in output
    assert "sends its events to 127.0.0.1" in output


async def test_what_stream_still_pushes_by_itself_is_named_by_call_type(here, monkeypatch):
    types = {
        "default": call_type("call_ring", "call_missed", "session_started"),
        "meeting": call_type("call_notification"),
        "livestream": call_type("call_live_started", "session_started"),
        "silent": call_type("call_ring", enabled=False),
    }
    monkeypatch.setattr(here.stream_api, "call_types", types)
    status, output = await bellhop(here, "check")
    assert status == 0, "it is so while people move over"
    assert "pushes by itself, too: call_ring, call_missed of default; call_notification of meeting." in output


@pytest.mark.parametrize(
    ("app", "said"),
    [
        ({}, "has no hook that leads here"),
        ({"event_hooks": [hook("https://bellhop.example.com/")]}, "has no hook that leads here"),
        ({"event_hooks": [hook("https://a.example/webhooks/stream", enabled=False)]}, "has no hook that leads here"),
        ({"event_hooks": None, "webhook_url": "https://old.example/webhooks/stream"}, "its events to old.example"),
        (
            {
                "event_hooks": [
                    hook(
                        "https://a.example/webhooks/stream",
                        *sorted(HANDLED_EVENT_TYPES - {"call.ended", "call.missed"}),
                    )
                ]
            },
            "add call.ended, call.missed to the hook's events",
        ),
        (
            {"event_hooks": [{"enabled": True, "hook_type": "sqs", "sqs_queue_url": "https://sqs.example/queue"}]},
            "a queue or topic of Amazon",
        ),
        ({"event_hooks": [], "sqs_url": "https://sqs.example/queue"}, "a queue or topic of Amazon"),
        ({"event_hooks": [{"enabled": True, "sns_topic_arn": "arn:of:a:topic"}]}, "a queue or topic of Amazon"),
        ({"event_hooks": [{"enabled": True, "sqs_queue_url": "https://sqs.example/another"}]}, "has no hook"),
        (
            {"event_hooks": [hook("https://user:secret@b.example/webhooks/stream?key=secret")]},
            "sends its events to b.example\n",
        ),
    ],
)
async def test_a_hook_that_is_missing_or_leaves_something_out_is_named(here, monkeypatch, app, said):
    monkeypatch.setattr(here.stream_api, "app", app)
    status, output = await bellhop(here, "check", SQS_QUEUE_URL="https://sqs.example/queue")
    assert status == 0
    assert said in output


async def test_a_secret_that_stream_does_not_take_is_a_problem(here):
    status, output = await bellhop(here, "check", STREAM_API_SECRET="another-apps-secret-of-enough-length")
    assert status == 1
    assert "Stream default: does not take this API key and secret (status 401): copy both" in output
    rotating = f"another-apps-secret-of-enough-length,{SECRET}"
    status, output = await bellhop(here, "check", STREAM_API_SECRET=rotating)
    assert status == 0, output


async def test_a_stream_that_cannot_be_asked_is_no_problem_but_is_said(here, monkeypatch):
    status, output = await bellhop(here, "check", STREAM_API_URL="http://127.0.0.1:1")
    assert status == 0
    assert "could not be asked (no answer: ClientConnectorError): see on its dashboard" in output
    monkeypatch.setattr(here.stream_api, "app", {"event_hooks": "none"})
    _, output = await bellhop(here, "check")
    assert "could not be asked (the answer cannot be read)" in output


@pytest.mark.parametrize(
    ("reason", "advice"),
    [
        ("InvalidProviderToken", "check its id, your team id"),
        ("BadEnvironmentKeyIdInToken", "limited to Apple's other environment"),
        ("UnrelatedKeyIdInToken", "limited to other bundle ids"),
    ],
)
async def test_what_apple_refuses_is_named_with_what_to_do(here, reason, advice):
    here.apple.script(NOBODY, *[AppleReply(403, reason)] * 2)
    status, output = await bellhop(here, "check")
    assert status == 1
    assert f"403 {reason}" in output
    assert advice in output


async def test_providers_that_cannot_be_reached_are_named(here):
    status, output = await bellhop(
        here,
        "check",
        APNS_URL="https://127.0.0.1:1",
        APNS_SANDBOX_URL="https://127.0.0.1:1",
        FCM_URL="https://127.0.0.1:1",
    )
    assert status == 1
    assert output.count("no connection: check the URL, the firewall") == 3, output


async def test_a_ca_that_is_not_trusted_is_named(here, tmp_path):
    status, output = await bellhop(here, "check", APNS_CA_FILE="", FCM_CA_FILE="")
    assert status == 1
    assert "is not trusted: check the CA file" in output


async def test_redis_that_is_away_or_unsafe_is_named(here):
    status, output = await bellhop(here, "check", REDIS_URL="redis://127.0.0.1:1/0")
    assert status == 1
    assert "Redis: does not answer" in output
    await here.store.call("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    status, output = await bellhop(here, "check")
    await here.store.call("CONFIG", "SET", "maxmemory-policy", "noeviction")
    assert status == 1
    assert "maxmemory-policy is allkeys-lru" in output
    status, output = await bellhop(here, "check", REDIS_WAIT_REPLICAS=1)
    assert status == 1
    assert "0 replicas" in output


async def test_what_it_says_of_persistence_keeps_the_data(here, tmp_path):
    with RedisServer(tmp_path, "--appendonly", "no", "--save", "60 1") as server:
        _, output = await bellhop(here, "check", REDIS_URL=server.url)
        (command,) = re.findall(r"warning +Redis: append-only persistence is off.* redis-cli (.*?), then", output)
        with redis.Redis.from_url(server.url) as client:
            client.set("a device", "registered")
            client.execute_command(*command.split())
            while client.info("persistence")["aof_rewrite_in_progress"]:
                await asyncio.sleep(0.02)
    with RedisServer(tmp_path) as server, redis.Redis.from_url(server.url) as client:
        assert client.get("a device") == b"registered"
        _, output = await bellhop(here, "check", REDIS_URL=server.url)
        assert "append-only" not in output


async def test_the_api_key_in_the_secrets_place_and_a_foreign_key_file_are_named(here, tmp_path):
    key_file = tmp_path / "key.p8"
    key_file.write_text("-----BEGIN CERTIFICATE-----\n")
    status, output = await bellhop(here, "check", STREAM_API_SECRET="demo-api-key", APNS_KEY_FILE=key_file)
    assert status == 1
    assert "an API key stands where its secret should" in output
    assert "the key file is no .p8 signing key" in output


async def test_a_certificate_is_read_for_its_expiry(here):
    pem = here.apple.authority.client_certificate("com.example.calls")
    _, output = await bellhop(
        here, "check", APNS_KEY_FILE="", APNS_KEY_ID="", APNS_TEAM_ID="", APNS_CERTIFICATE_FILE=pem
    )
    assert "the certificate expires in" in output


async def test_nothing_in_the_output_is_secret(here):
    _, output = await bellhop(here, "check")
    assert here.environment()["BELLHOP_STREAM_API_SECRET"] not in output


async def test_send_test_sends_one_push_and_prints_the_answer(here):
    before = len(here.arrivals)
    status, output = await bellhop(here, "send-test", "ben", "--kind", "ring")
    assert status == 0, output
    assert "Ben's iPhone (com.example.calls, production)" in output
    assert "Ben's Pixel (example-calls)" in output, "Apple's environment says nothing of a Pixel"
    assert [output.count(f"accepted: {provider} accepted the push") for provider in ("Apple", "Google")] == [1, 1]
    assert {arrival.type for arrival in here.arrivals[before:]} == {"call.ring"}


async def test_send_test_prints_a_phones_name_as_text(here):
    await here.register("odd", Provider.FCM, Kind.VOIP, "odd:phone", name="x\x1b[2J\x9b31m\nforged")
    status, output = await bellhop(here, "send-test", "odd", "--kind", "ring")
    assert status == 0, output
    assert "forged" in output
    assert not [line for line in output.splitlines() if line.startswith("forged") or not line.isprintable()]


async def test_send_test_says_what_was_wrong(here):
    here.apple.script("a1" * 32, AppleReply(410, "Unregistered", timestamp_ms=1))
    status, output = await bellhop(here, "send-test", "ben", "--kind", "ring")
    assert status == 1
    assert "token_dead" in output
    assert "410 Unregistered" in output
    status, output = await bellhop(here, "send-test", "nobody")
    assert status == 1
    assert "see `bellhop devices list nobody`" in output
    status, output = await bellhop(here, "send-test", "ben", "--device", "nope")
    assert (status, output) == (1, "ben has no device nope: see `bellhop devices list ben`\n")
    await here.register("vera", Provider.APNS, Kind.VOIP, "a2" * 32)
    status, output = await bellhop(here, "send-test", "vera")
    assert (status, output.partition(":")[0]) == (1, "vera has devices for calls only (1)")


async def test_send_test_says_what_to_do_when_there_is_no_way_to_anybody(here):
    status, output = await bellhop(here, "send-test", "ben", "--kind", "ring", APNS_URL="https://nowhere.invalid")
    assert status == 1
    assert "→ this machine knows no host of that name" in output
    status, output = await bellhop(here, "send-test", "ben", REDIS_URL="redis://:hunter2@127.0.0.1:1/0")
    assert (status, output.count("\n")) == (1, 1)
    assert "Redis does not answer at 127.0.0.1:1" in output
    assert "hunter2" not in output
    assert json.dumps(NOBODY) not in output


async def test_the_mail_server_is_tried_and_its_usual_mistakes_are_named(here):
    context = here.apple.authority.server_context()
    login = {"SMTP_HOST": "localhost", "SMTP_SECURITY": "starttls", "SMTP_USER": "bellhop", "SMTP_PASSWORD": "right"}
    trusted = {"SMTP_CA_FILE": here.apple.ca_file}
    async with SmtpStandIn(starttls=context, login=("bellhop", "right")) as server:
        for settings, said in (
            (login | trusted, "takes our login"),
            (login | trusted | {"SMTP_PASSWORD": "wrong"}, "check BELLHOP_SMTP_USER and BELLHOP_SMTP_PASSWORD"),
            (login, "is not trusted: check the CA file"),
            (login | trusted | {"SMTP_SECURITY": "tls"}, "set BELLHOP_SMTP_SECURITY to starttls"),
            (login | trusted | {"SMTP_PORT": 1}, "nothing listens there"),
        ):
            status, output = await bellhop(here, "check", **{"SMTP_PORT": server.port} | settings)
            assert said in output
            assert status == (0 if settings == login | trusted else 1)
            assert "wrong" not in output
        assert server.received == []
