"""`bellhop check` and `bellhop send-test` against the stand-ins."""

import asyncio
import json
import re

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
from bellhop.store.keys import METRICS_KEY, user_key
from tests.e2e.bellhop_command import bellhop

pytestmark = pytest.mark.asyncio(loop_scope="module")

UNKNOWN_TOKEN = "0" * 64


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def installation(tmp_path_factory):
    async with Installation(tmp_path_factory.mktemp("installation")) as installation:
        await installation.register("ben", Provider.APNS, Kind.VOIP, "a1" * 32, "Ben's iPhone")
        await installation.register("ben", Provider.FCM, Kind.ALERT, "ben:pixel", "Ben's Pixel")
        yield installation


async def test_all_is_well(installation):
    installation.apple.script(UNKNOWN_TOKEN, *[AppleReply(400, "BadDeviceToken")] * 2)
    status, output = await bellhop(installation, "check")
    assert status == 0, output
    for subject in (
        "Redis: answers in",
        f"ms: 127.0.0.1:{installation.redis.port}, database 0",
        "workers: 1 alive",
        "clock: the clock of worker",
        "clock: Google's clock is",
        "Stream default: Redis's clock is",
        "Stream default: API key demo-api-key, 1 secret",
        f"Stream default: a test webhook is taken at {installation.url}/webhooks/stream",
    ):
        assert subject in output
    for subject in ("Apple com.example.calls (production)", "(sandbox)", "Firebase example-calls"):
        assert f"{subject}: accepts the credentials" in output
    assert "its own pushes for rings, missed calls and notifications are off (1 call type)" in output
    assert "sends its events to 127.0.0.1" in output


async def test_streams_own_pushes_are_listed_by_call_type(installation, monkeypatch):
    types = {
        "default": call_type("call_ring", "call_missed", "session_started"),
        "meeting": call_type("call_notification"),
        "livestream": call_type("call_live_started", "session_started"),
        "silent": call_type("call_ring", enabled=False),
    }
    monkeypatch.setattr(installation.stream_api, "call_types", types)
    status, output = await bellhop(installation, "check")
    assert status == 0, "this is normal while users move over"
    listed = "call_ring, call_missed of call type default; call_notification of call type meeting"
    assert f"also sends its own pushes: {listed}." in output


@pytest.mark.parametrize(
    ("app", "exit_status", "said"),
    [
        ({}, 1, "has no webhook for Bellhop"),
        ({"event_hooks": [hook("https://bellhop.example.com/")]}, 1, "has no webhook for Bellhop"),
        ({"event_hooks": [hook("https://a.example/webhooks/stream", enabled=False)]}, 1, "has no webhook for Bellhop"),
        ({"event_hooks": None, "webhook_url": "https://old.example/webhooks/stream"}, 1, "its events to old.example"),
        (
            {
                "event_hooks": [
                    hook(
                        "https://a.example/webhooks/stream",
                        *sorted(HANDLED_EVENT_TYPES - {"call.ended", "call.missed"}),
                    )
                ]
            },
            1,
            "add call.ended, call.missed to the webhook",
        ),
        (
            {"event_hooks": [{"enabled": True, "hook_type": "sqs", "sqs_queue_url": "https://sqs.example/queue"}]},
            0,
            "an Amazon queue or topic",
        ),
        ({"event_hooks": [], "sqs_url": "https://sqs.example/queue"}, 0, "an Amazon queue or topic"),
        ({"event_hooks": [{"enabled": True, "sns_topic_arn": "arn:of:a:topic"}]}, 0, "an Amazon queue or topic"),
        ({"event_hooks": [{"enabled": True, "sqs_queue_url": "https://sqs.example/another"}]}, 1, "has no webhook"),
        (
            {"event_hooks": [hook("https://user:secret@b.example/webhooks/stream?key=secret")]},
            1,
            "sends its events to b.example\n",
        ),
    ],
)
async def test_a_missing_or_incomplete_webhook_is_reported(installation, monkeypatch, app, exit_status, said):
    monkeypatch.setattr(installation.stream_api, "app", app)
    status, output = await bellhop(installation, "check", SQS_QUEUE_URL="https://sqs.example/queue")
    assert status == exit_status, output
    assert said in output


async def test_a_secret_that_stream_refuses_is_a_problem(installation):
    status, output = await bellhop(installation, "check", STREAM_API_SECRET="another-apps-secret-of-enough-length")
    assert status == 1
    assert "Stream default: does not accept this API key and secret (status 401): copy both" in output
    rotating = f"another-apps-secret-of-enough-length,{SECRET}"
    status, output = await bellhop(installation, "check", STREAM_API_SECRET=rotating)
    assert status == 0, output


async def test_stream_that_does_not_answer_is_a_warning(installation, monkeypatch):
    status, output = await bellhop(installation, "check", STREAM_API_URL="http://127.0.0.1:1")
    assert status == 0
    assert "could not be checked (no answer: ClientConnectorError). Check on its dashboard" in output
    monkeypatch.setattr(installation.stream_api, "app", {"event_hooks": "none"})
    _, output = await bellhop(installation, "check")
    assert "could not be checked (the answer cannot be read)" in output


@pytest.mark.parametrize(
    ("reason", "advice"),
    [
        ("InvalidProviderToken", "check the key id and the team id"),
        ("BadEnvironmentKeyIdInToken", "limited to Apple's other environment"),
        ("UnrelatedKeyIdInToken", "limited to other bundle ids"),
    ],
)
async def test_what_apple_refuses_is_named_with_what_to_do(installation, reason, advice):
    installation.apple.script(UNKNOWN_TOKEN, *[AppleReply(403, reason)] * 2)
    status, output = await bellhop(installation, "check")
    assert status == 1
    assert f"403 {reason}" in output
    assert advice in output


async def test_providers_that_cannot_be_reached_are_named(installation):
    status, output = await bellhop(
        installation,
        "check",
        APNS_URL="https://127.0.0.1:1",
        APNS_SANDBOX_URL="https://127.0.0.1:1",
        FCM_URL="https://127.0.0.1:1",
    )
    assert status == 1
    assert output.count("no connection: check the URL, the firewall") == 3, output


async def test_a_ca_that_is_not_trusted_is_named(installation, tmp_path):
    status, output = await bellhop(installation, "check", APNS_CA_FILE="", FCM_CA_FILE="")
    assert status == 1
    assert "is not trusted: check the CA file" in output


async def test_redis_that_is_away_or_unsafe_is_named(installation):
    status, output = await bellhop(installation, "check", REDIS_URL="redis://127.0.0.1:1/0")
    assert status == 1
    assert "Redis: does not answer: connection refused: start Redis" in output
    await installation.store.call("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    status, output = await bellhop(installation, "check")
    await installation.store.call("CONFIG", "SET", "maxmemory-policy", "noeviction")
    assert status == 1
    assert "maxmemory-policy is allkeys-lru" in output
    status, output = await bellhop(installation, "check", REDIS_WAIT_REPLICAS=1)
    assert status == 1
    assert "0 replicas" in output


async def test_tls_to_a_port_without_tls_is_named(installation):
    without_tls = installation.redis.url.replace("redis://", "rediss://:hunter2@")
    status, output = await bellhop(installation, "check", REDIS_URL=without_tls)
    assert status == 1
    assert "Redis: does not answer: the server speaks no TLS on this port: use redis:// in BELLHOP_REDIS_URL" in output
    status, output = await bellhop(installation, "devices", "list", "ben", REDIS_URL=without_tls)
    assert (status, output.count("\n")) == (1, 1)
    assert "the server speaks no TLS on this port" in output
    assert "hunter2" not in output


async def test_it_says_where_each_setting_comes_from(installation, tmp_path, monkeypatch):
    (tmp_path / "bellhop.toml").write_text("missed_grace_s = 6")
    monkeypatch.setenv("REDIS_URL", installation.redis.url)
    _, output = await bellhop(installation, "check", CONFIG=tmp_path / "bellhop.toml", REDIS_URL="")
    assert "Redis: answers in" in output
    assert "Settings: from REDIS_URL: redis_url\n" in output
    assert f"Settings: from {tmp_path}/bellhop.toml: missed_grace_s\n" in output
    assert "Settings: from variables: BELLHOP_STREAM_API_KEY, BELLHOP_STREAM_API_SECRET, " in output


async def test_what_it_says_of_persistence_keeps_the_data(installation, tmp_path):
    with RedisServer(tmp_path, "--appendonly", "no", "--save", "60 1") as server:
        _, output = await bellhop(installation, "check", REDIS_URL=server.url)
        (command,) = re.findall(r"warning +Redis: append-only persistence is off.* redis-cli (.*?), then", output)
        with redis.Redis.from_url(server.url) as client:
            client.set("a device", "registered")
            client.execute_command(*command.split())
            while client.info("persistence")["aof_rewrite_in_progress"]:
                await asyncio.sleep(0.02)
    with RedisServer(tmp_path) as server, redis.Redis.from_url(server.url) as client:
        assert client.get("a device") == b"registered"
        _, output = await bellhop(installation, "check", REDIS_URL=server.url)
        assert "append-only" not in output


async def test_a_key_as_secret_and_a_foreign_key_file_are_reported(installation, tmp_path):
    key_file = tmp_path / "key.p8"
    key_file.write_text("-----BEGIN CERTIFICATE-----\n")
    status, output = await bellhop(installation, "check", STREAM_API_SECRET="demo-api-key", APNS_KEY_FILE=key_file)
    assert status == 1
    assert "the API secret is the same as the API key" in output
    assert "the key file is not a .p8 signing key" in output


async def test_a_certificate_is_read_for_its_expiry(installation):
    pem = installation.apple.authority.client_certificate("com.example.calls")
    _, output = await bellhop(
        installation, "check", APNS_KEY_FILE="", APNS_KEY_ID="", APNS_TEAM_ID="", APNS_CERTIFICATE_FILE=pem
    )
    assert "the certificate expires in" in output


async def test_nothing_in_the_output_is_secret(installation):
    _, output = await bellhop(installation, "check")
    assert installation.environment()["BELLHOP_STREAM_API_SECRET"] not in output


async def test_send_test_sends_one_push_and_prints_the_answer(installation):
    before = len(installation.arrivals)
    status, output = await bellhop(installation, "send-test", "ben", "--kind", "ring")
    assert status == 0, output
    assert "Ben's iPhone (com.example.calls, production)" in output
    assert "Ben's Pixel (example-calls)" in output, "a Pixel has no Apple environment"
    assert [output.count(f"accepted: {provider} accepted the push") for provider in ("Apple", "Google")] == [1, 1]
    assert {arrival.type for arrival in installation.arrivals[before:]} == {"call.ring"}


async def test_send_test_prints_a_phones_name_as_text(installation):
    await installation.register("odd", Provider.FCM, Kind.VOIP, "odd:phone", name="x\x1b[2J\x9b31m\nforged")
    status, output = await bellhop(installation, "send-test", "odd", "--kind", "ring")
    assert status == 0, output
    assert "forged" in output
    assert not [line for line in output.splitlines() if line.startswith("forged") or not line.isprintable()]


async def test_send_test_says_what_was_wrong(installation):
    installation.apple.script("a1" * 32, AppleReply(410, "Unregistered", timestamp_ms=1))
    status, output = await bellhop(installation, "send-test", "ben", "--kind", "ring")
    assert status == 1
    assert "token_dead" in output
    assert "410 Unregistered" in output
    status, output = await bellhop(installation, "send-test", "nobody")
    assert status == 1
    assert "nobody has no devices: run `bellhop devices import-stream nobody`" in output
    status, output = await bellhop(installation, "send-test", "ben", "--device", "nope")
    assert (status, output) == (1, "ben has no device nope: see `bellhop devices list ben`\n")
    await installation.register("vera", Provider.APNS, Kind.VOIP, "a2" * 32)
    status, output = await bellhop(installation, "send-test", "vera")
    assert (status, output.partition(":")[0]) == (1, "vera has only devices for calls")


async def test_send_test_finds_apples_other_environment(installation):
    await installation.register("xena", Provider.APNS, Kind.VOIP, "a3" * 32)
    installation.apple.script("a3" * 32, AppleReply(400, "BadDeviceToken"))
    status, output = await bellhop(installation, "send-test", "xena", "--kind", "ring")
    assert (status, output.count("accepted")) == (0, 2), output
    assert "was registered as production, and its token is of sandbox: corrected in the registry." in output
    assert "com.example.calls (sandbox)" in (await bellhop(installation, "devices", "list", "xena"))[1]
    installation.apple.script("a3" * 32, *[AppleReply(400, "BadDeviceToken")] * 2)
    status, output = await bellhop(installation, "send-test", "xena", "--kind", "ring")
    assert (status, "registered as" in output) == (1, False), "no environment knows the token"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"preferences": {"mute_until": "2099-01-01T09:00:00+01:00"}}, "has muted calls until 2099-01-01 08:00 UTC"),
        (
            {"preferences": {"quiet_hours": {"from": "00:00", "to": "00:00"}}},
            "has quiet hours (00:00 to 00:00, UTC, since no time zone is known)",
        ),
        (
            {
                "preferences": {"quiet_hours": {"from": "00:00", "to": "00:00"}},
                "contact": {"time_zone": "Europe/Berlin"},
            },
            "has quiet hours (00:00 to 00:00, in the user's time zone Europe/Berlin)",
        ),
    ],
)
async def test_send_test_to_a_muted_user_says_so(installation, fields, words):
    await installation.register("mute", Provider.FCM, Kind.ALERT, "mute:phone")
    stored = [part for name, value in fields.items() for part in (name, json.dumps(value))]
    await installation.store.call("DEL", user_key("default", "mute"))
    await installation.store.call("HSET", user_key("default", "mute"), *stored)
    status, output = await bellhop(installation, "send-test", "mute")
    assert status == 0, output
    assert output.startswith(f"mute {words}: a call sends no push now. The test is sent all the same.\n")


async def test_send_test_advises_when_nothing_can_be_reached(installation):
    status, output = await bellhop(
        installation, "send-test", "ben", "--kind", "ring", APNS_URL="https://nowhere.invalid"
    )
    assert status == 1
    assert "→ unknown host name" in output
    status, output = await bellhop(installation, "send-test", "ben", REDIS_URL="redis://:hunter2@127.0.0.1:1/0")
    assert (status, output.count("\n")) == (1, 1)
    assert "Redis does not answer at 127.0.0.1:1" in output
    assert "hunter2" not in output
    assert json.dumps(UNKNOWN_TOKEN) not in output


async def test_addresses_that_are_not_used_any_more_are_named(installation):
    sample = json.dumps(["bellhop_mail_total", "stream_address"])
    await installation.store.call("HINCRBY", METRICS_KEY, sample, 3)
    try:
        _, output = await bellhop(installation, "check")
        assert "3 missed calls led to no e-mail" in output
        assert "BELLHOP_MAIL_STREAM_ADDRESSES=true" in output
        _, output = await bellhop(installation, "check", MAIL_STREAM_ADDRESSES="false")
        assert "led to no e-mail" not in output
    finally:
        await installation.store.call("HDEL", METRICS_KEY, sample)


async def test_the_mail_server_is_tested_and_mistakes_are_reported(installation):
    context = installation.apple.authority.server_context()
    login = {"SMTP_HOST": "localhost", "SMTP_SECURITY": "starttls", "SMTP_USER": "bellhop", "SMTP_PASSWORD": "right"}
    trusted = {"SMTP_CA_FILE": installation.apple.ca_file}
    async with SmtpStandIn(starttls=context, login=("bellhop", "right")) as server:
        for settings, said in (
            (login | trusted, "accepts the login"),
            (login | trusted | {"SMTP_PASSWORD": "wrong"}, "check BELLHOP_SMTP_USER and BELLHOP_SMTP_PASSWORD"),
            (login, "is not trusted: check the CA file"),
            (login | trusted | {"SMTP_SECURITY": "tls"}, "set BELLHOP_SMTP_SECURITY to starttls"),
            (login | trusted | {"SMTP_PORT": 1}, "connection refused: check BELLHOP_SMTP_HOST and BELLHOP_SMTP_PORT"),
        ):
            status, output = await bellhop(installation, "check", **{"SMTP_PORT": server.port} | settings)
            assert said in output
            assert status == (0 if settings == login | trusted else 1)
            assert "wrong" not in output
        assert server.received == []
