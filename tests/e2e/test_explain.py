"""What a support person reads about a call, for a dozen stories played with real processes."""

import asyncio
import base64
import hmac
import json
import re
import subprocess
import sys
import time
import uuid
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
import redis

import bellhop.sandbox
from bellhop.domain.device import Device, Environment, Kind, Provider
from bellhop.explain.summary import Flag
from bellhop.sandbox.apple_script import AppleReply
from bellhop.sandbox.google_script import GoogleReply
from bellhop.sandbox.installation import API_KEY, SECRET, Installation
from bellhop.sandbox.stream_webhooks import SampleCall
from bellhop.store.keys import told_key
from bellhop.store.registry import register
from bellhop.store.steps import run_steps
from tests.webhook.console.played_calls import PASSWORD
from webhook.console.call_search import search_calls

pytestmark = pytest.mark.asyncio(loop_scope="module")

SAMPLES = Path(bellhop.sandbox.__file__).parent / "samples"
TIME = r"\d+(?:\.\d)? m?s"
PATIENCE = aiohttp.ClientTimeout(total=60)
"""A busy machine needs long to explain a call with a thousand members."""


def signed(claims):
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in ({"alg": "HS256"}, claims)]
    mac = hmac.digest(SECRET.encode(), b".".join(parts), "sha256")
    token = b".".join([*parts, base64.urlsafe_b64encode(mac).rstrip(b"=")]).decode()
    return {"Authorization": f"Bearer {token}", "X-Api-Key": API_KEY}


SERVER = signed({"server": True})


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def installation(tmp_path_factory):
    async with Installation(
        tmp_path_factory.mktemp("installation"), {"MISSED_GRACE_S": "0.5", "CONSOLE_PASSWORD": PASSWORD}
    ) as installation:
        yield installation


async def iphone(installation, name="Jane's iPhone", user=""):
    user, token = user or f"jane-{uuid.uuid4().hex[:6]}", uuid.uuid4().hex * 2
    await installation.register(user, Provider.APNS, Kind.VOIP, token, name)
    return user, token


async def android(installation, name="Jane's Pixel", user=""):
    user, token = user or f"jane-{uuid.uuid4().hex[:6]}", uuid.uuid4().hex
    await installation.register(user, Provider.FCM, Kind.ALERT, token, name)
    return user, token


async def ask(installation, cid, user="", headers=SERVER):
    async with installation.http.get(
        f"{installation.url}/v1/calls/{cid}", params={"user": user}, headers=headers, timeout=PATIENCE
    ) as response:
        return response.status, await response.json()


async def person(installation, call, user, verdict, *, final=False):
    """What is said of a user in the last round of a call, once the verdict is like `verdict` (and for good)."""
    give_up = time.monotonic() + 60
    while True:
        _, found = await ask(installation, call.cid, user)
        people = found["rounds"][-1]["people"] if found["rounds"] else []
        if people and re.fullmatch(verdict, people[0]["verdict"]) and people[0]["final"] >= final:
            return people[0] | {"timeline": [one["sentence"] for one in found["rounds"][-1]["timeline"]]}
        assert time.monotonic() < give_up, json.dumps(found, indent=1)
        await asyncio.sleep(0.05)


async def test_answered(installation):
    jane, _ = await iphone(installation)
    call = SampleCall(members=(jane,))
    await installation.stream.post(call.ring())
    await person(installation, call, jane, rf"Jane's iPhone was rung {TIME} after the call began\.")
    await installation.stream.post(call.accepted(jane))
    told = await person(
        installation,
        call,
        jane,
        rf"Jane's iPhone was rung {TIME} after the call began\. {jane} answered {TIME} after .* began\.",
    )
    assert (told["tone"], told["reached"], told["next"]) == ("good", True, [])


async def test_declined(installation):
    jane, _ = await android(installation)
    call, now = SampleCall(members=(jane,)), time.time() - 2.6
    await installation.stream.post(call.ring(at=now))
    await person(installation, call, jane, r"Jane's Pixel was rung .*")
    await installation.stream.post(call.rejected(jane, "decline", at=now + 2.5))
    verdict = rf"Jane's Pixel was rung {TIME} after the call began\. {jane} declined 2\.5 s after the call began\."
    told = await person(installation, call, jane, verdict, final=True)
    assert (told["tone"], told["next"]) == ("good", [])


async def test_cancelled_before_the_first_attempt(installation):
    jane, _ = await iphone(installation)
    call, now = SampleCall(members=(jane,)), time.time() - 0.9
    await installation.stream.post(call.rejected(call.caller, "cancel", at=now + 0.8))
    await installation.stream.post(call.ring(at=now))
    told = await person(
        installation,
        call,
        jane,
        r"Jane's iPhone was not rung: the call was cancelled 0\.8 s after it began, before the first attempt\.",
    )
    assert (told["tone"], told["reached"], told["standing"]) == ("quiet", False, "cancelled")


async def test_cancelled_between_two_attempts(installation):
    jane, token = await iphone(installation)
    installation.apple.script(token, AppleReply(503, "ServiceUnavailable", retry_after="5"))
    call, now = SampleCall(members=(jane,)), time.time() - 1.1
    await installation.stream.post(call.ring(at=now))
    while not any(request.token == token for request in installation.apple.requests):
        await asyncio.sleep(0.01)
    await installation.stream.post(call.rejected(call.caller, "cancel", at=now + 1))
    told = await person(
        installation,
        call,
        jane,
        r"Jane's iPhone was not rung: the call was cancelled 1 s after it began, after 1 failed attempt: Apple had an "
        r"internal problem \(503 ServiceUnavailable\)\.",
    )
    assert told["tone"] == "bad"
    assert told["next"] == ["Check Apple's status page for the time of the call."]


async def test_no_devices(installation):
    call = SampleCall(members=("kim",))
    await installation.stream.post(call.ring())
    told = await person(installation, call, "kim", r"kim was not rung: no device of kim was registered\.")
    assert "`bellhop devices list kim`" in told["next"][0]


async def test_no_credentials(installation):
    device = Device(
        user_id="lee",
        provider=Provider.APNS,
        kind=Kind.VOIP,
        token="ab" * 32,
        app="com.example.other",
        environment=Environment.PRODUCTION,
        registered_at=1,
        name="Lee's iPhone",
    )
    await run_steps(register("default", device), installation.store)
    call = SampleCall(members=("lee",))
    await installation.stream.post(call.ring())
    told = await person(
        installation, call, "lee", r"Lee's iPhone was not rung: Bellhop has no credentials for com\.example\.other\."
    )
    assert told["next"][0].startswith("Add the credentials for com.example.other")


async def test_wrong_app(installation):
    jane, token = await iphone(installation)
    installation.apple.script(token, AppleReply(400, "DeviceTokenNotForTopic"))
    call = SampleCall(members=(jane,))
    await installation.stream.post(call.ring())
    told = await person(
        installation,
        call,
        jane,
        r"Jane's iPhone was not rung: Apple says that this phone's push token belongs to another app than "
        r"com\.example\.calls \(400 DeviceTokenNotForTopic\)\.",
    )
    assert told["next"][0].startswith("Check which app the phone registers its token with")


async def test_a_dead_token(installation):
    jane, token = await iphone(installation)
    installation.apple.script(token, AppleReply(410, "Unregistered", timestamp_ms=int((time.time() + 5) * 1000)))
    call = SampleCall(members=(jane,))
    await installation.stream.post(call.ring())
    removed = "Bellhop removed the push token of Jane's iPhone: Apple says that the token is dead."
    told = {"timeline": []}
    while removed not in told["timeline"]:
        told = await person(
            installation,
            call,
            jane,
            r"Jane's iPhone was not rung: Apple says that the app was removed from this phone, or that its push token "
            r"was replaced \(410 Unregistered\)\.",
        )
    assert told["next"] == [f"Ask {jane} to open the app once, so that it registers its current token."]


async def test_throttled(installation):
    jane, token = await android(installation)
    installation.google.script(token, GoogleReply(429, headers={"Retry-After": "120"}))
    call = SampleCall(members=(jane,))
    await installation.stream.post(call.ring())
    told = await person(
        installation,
        call,
        jane,
        r"Jane's Pixel was not rung: no attempt succeeded in the available time \(next attempt 120 s later, the ring "
        r"ends sooner\), after 1 failed attempt: Google asked Bellhop to slow down \(429.*\)\.",
    )
    assert any("Google limits" in advice for advice in told["next"])


async def test_the_same_webhook_twice(installation):
    jane, _ = await iphone(installation)
    call = SampleCall(members=(jane,))
    ring = call.ring()
    await installation.stream.post(ring, webhook_id="twice", attempt=1)
    await installation.stream.post(ring, webhook_id="twice", attempt=2)
    told = await person(installation, call, jane, rf"Jane's iPhone was rung {TIME} after the call began\.")
    assert "Stream sent the same call.ring again, at attempt 2. Bellhop ignored it." in told["timeline"]
    assert len(told["deliveries"]) == len(told["deliveries"][0]["attempts"]) == 1


async def test_a_missed_call_notice(installation):
    jane, _ = await android(installation)
    call, now = SampleCall(members=(jane,), ring_ms=12_000), time.time() - 1.1
    await installation.stream.post(call.ring(at=now))
    await person(installation, call, jane, r"Jane's Pixel was rung .*")
    await installation.stream.post(call.missed(at=now + 1))
    await person(installation, call, jane, r".* was not sent a missed-call notice: the phone may still ring, .*")
    told = await person(
        installation,
        call,
        jane,
        rf"Jane's Pixel was rung .* {jane} missed the call\. Jane's Pixel was sent a missed-call notice\.",
    )
    assert {delivery["kind"]: delivery["outcome"] for delivery in told["deliveries"]} == {
        "ring": "accepted",
        "missed": "accepted",
    }
    assert told["next"][0].startswith("If a phone stayed silent although Google accepted the push")


async def test_answered_on_another_phone_while_one_is_being_retried(installation):
    jane, token = await iphone(installation)
    await android(installation, user=jane)
    installation.apple.script(token, AppleReply(503, "ServiceUnavailable", retry_after="5"))
    call, now = SampleCall(members=(jane,)), time.time() - 0.6
    await installation.stream.post(call.ring(at=now))
    await person(installation, call, jane, r".*Jane's Pixel was rung .*")
    while not any(request.token == token for request in installation.apple.requests):
        await asyncio.sleep(0.01)
    await installation.stream.post(call.accepted(jane, at=now + 0.5))
    told = await person(
        installation, call, jane, rf"Jane's Pixel was rung {TIME} after the call began\. {jane} answered .*\."
    )
    assert (told["tone"], told["next"]) == ("good", [])
    [quiet] = [delivery for delivery in told["deliveries"] if delivery["label"] == "Jane's iPhone"]
    assert quiet["sentence"].startswith(
        f"Jane's iPhone was not rung: {jane} had already answered 0.5 s after the call began, after"
    )


async def test_a_ring_too_late_without_a_worker_is_explained(installation):
    jane, _ = await iphone(installation)
    installation.stop("worker-1")
    call, now = SampleCall(members=(jane,), ring_ms=5_000), time.time()
    await installation.stream.post(call.ring(at=now))
    _, found = await ask(installation, call.cid)
    assert found["rounds"][0]["next"][0].startswith("No worker has started the ring")
    await asyncio.sleep(5.1)  # the ring is over then, and has waited for a worker
    told = await person(installation, call, jane, rf"{jane} was not rung: no worker took it up in time\.")
    assert (told["tone"], told["standing"]) == ("bad", "")
    with redis.Redis.from_url(installation.redis.url) as client:
        [listed] = search_calls(client, "default", text=call.cid, flag=Flag.NOT_REACHED).calls
        assert (listed.cid, listed.tone, listed.reached) == (call.cid, "bad", 0)
    installation.start("worker", "worker-1")
    told = await person(
        installation,
        call,
        jane,
        r"Jane's iPhone was not rung: there was no time left to ring, before the first attempt\. The time to ring was "
        rf"over, and Bellhop had rung no phone of {jane}\.",
    )
    assert told["tone"] == "bad"
    _, found = await ask(installation, call.cid)
    assert re.match(r"The ring waited \d", found["rounds"][0]["next"][0])

    command = [sys.executable, "-m", "bellhop", "explain", call.cid, "--json"]
    printed = await asyncio.to_thread(
        subprocess.run, command, env=installation.environment(), capture_output=True, check=True
    )
    assert json.loads(printed.stdout)["rounds"][0]["headline"] == found["rounds"][0]["headline"]


async def test_a_call_that_nobody_knows_and_a_user_who_was_not_called(installation):
    status, found = await ask(installation, "default:nothing")
    assert (status, found["found"], len(found["next"])) == (404, False, 4)
    call = SampleCall(members=("kim",))
    await installation.stream.post(call.ring())
    status, found = await ask(installation, call.cid, "Kim")
    assert (status, found["summary"]) == (404, "Kim was not called. This call was for kim.")


async def test_a_call_created_without_ring_true(installation):
    call = SampleCall(members=("kim",))
    for kind in ("call.created", "call.session_started", "call.created"):
        event = json.loads((SAMPLES / f"{kind}.json").read_text())
        event |= {"call_cid": call.cid, "created_at": call.updated()["created_at"]}
        event["call"] |= {"cid": call.cid, "id": call.id, "session": None}
        assert (await installation.stream.post(event)).status == 200
    asks = "but never asked to ring it: was it created with ring: true?"
    for user in ("", "kim"):
        status, found = await ask(installation, call.cid, user)
        assert (status, found["found"]) == (404, False)
        assert found["summary"] == f"Stream told Bellhop of this call (created, started) {asks}"
        assert "create the call with ring: true" in found["next"][0]
    command = [sys.executable, "-m", "bellhop", "explain", call.cid]
    printed = await asyncio.to_thread(subprocess.run, command, env=installation.environment(), capture_output=True)
    assert printed.returncode == 1
    assert f"(created, started) {asks}" in " ".join(printed.stdout.decode().split())
    with redis.Redis.from_url(installation.redis.url) as client:
        assert client.hlen(told_key("default", call.cid)) == 2
        assert 0 < client.ttl(told_key("default", call.cid)) <= 86_400
    while f'"cid":"{call.cid}"' not in installation.log("web"):  # a thread writes the log
        await asyncio.sleep(0.05)

    assert (await installation.stream.post(call.joined("kim"))).status == 200
    status, found = await ask(installation, call.cid)
    assert (status, found["summary"]) == (200, f"Stream told Bellhop of this call (created, started, joined) {asks}")
    await installation.stream.post(call.ring())
    status, found = await ask(installation, call.cid)
    assert (status, [round_["kind"] for round_ in found["rounds"]][:1]) == (200, ["ring"])
    assert asks not in found["summary"]


async def test_a_hook_that_sends_call_ring_only(tmp_path):
    settings = {"MISSED_GRACE_S": "0.5", "STREAM_QUESTIONS_PER_S": "0"}
    async with Installation(tmp_path, settings) as installation:
        jane, _ = await iphone(installation)
        call = SampleCall(members=(jane,), ring_ms=15_000)
        await installation.stream.post(call.ring())
        verdict = (
            rf"Jane's iPhone was rung {TIME} after the call began\. Stream has told Bellhop nothing of this call but "
            rf"the ring, so it is not known whether {jane} answered\..*"
        )
        told = await person(installation, call, jane, verdict, final=True)
        assert not any("did not answer" in sentence for sentence in told["timeline"])
        _, found = await ask(installation, call.cid)
        assert any("sends call.ring and no other event" in advice for advice in found["rounds"][0]["next"])


async def test_members_beyond_the_first_thousand_are_mentioned(installation):
    call = SampleCall(members=tuple(f"user-{number}" for number in range(1_100)))
    assert (await installation.stream.post(call.ring(), compress=True)).status == 200
    status, found = await ask(installation, call.cid, "user-1050")
    assert status == 404
    assert "Bellhop ignored 100 of them" in found["next"][1]
    said = [one["sentence"] for one in found["rounds"][0]["timeline"]]
    assert any("Bellhop ignored 100 more members" in sentence for sentence in said), said
    while '"event":"members_left_out"' not in installation.log("web"):  # a thread writes the log
        await asyncio.sleep(0.05)


async def test_only_a_server_token_may_ask(installation):
    for headers, expected in ((signed({"user_id": "kim"}), 403), ({}, 401), ({"Authorization": "Bearer x"}, 401)):
        status, answer = await ask(installation, "default:any", headers=headers)
        assert (status, answer["status"]) == (expected, expected)
