"""`bellhop check` against the stand-ins. What it says of Redis is in test_redis_check.py."""

import json

import pytest

from bellhop.domain.event_types import HANDLED_EVENT_TYPES
from bellhop.sandbox.apple_script import AppleReply
from bellhop.sandbox.installation import SECRET
from bellhop.sandbox.smtp_server import SmtpStandIn
from bellhop.sandbox.stream_rest import call_type, hook
from bellhop.store.keys import METRICS_KEY
from tests.e2e.bellhop_command import bellhop

pytestmark = pytest.mark.asyncio(loop_scope="module")

UNKNOWN_TOKEN = "0" * 64


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
