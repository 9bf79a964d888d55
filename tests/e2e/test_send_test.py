"""`bellhop send-test` against the stand-ins."""

import json

import pytest

from bellhop.domain.device import Kind, Provider
from bellhop.sandbox.apple_script import AppleReply
from bellhop.store.keys import user_key
from tests.e2e.bellhop_command import bellhop

pytestmark = pytest.mark.asyncio(loop_scope="module")

UNKNOWN_TOKEN = "0" * 64


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
    for kind in ("alert_ring", "ring_over"):
        status, output = await bellhop(installation, "send-test", "vera", "--kind", kind)
        assert (status, f"no device that gets a push of the kind {kind}: only " in output) == (1, True), output


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
            "has quiet hours (00:00 to 00:00 UTC, since no time zone is known)",
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
