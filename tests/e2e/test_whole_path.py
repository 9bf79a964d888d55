"""From Stream's webhook to the phone, with real processes: web, Redis, worker, and stand-ins for Apple and Google."""

import asyncio
import json
import time
from collections import Counter
from datetime import UTC, datetime

import pytest
import pytest_asyncio

from bellhop.domain.device import Kind, Provider
from bellhop.sandbox.installation import API_KEY, BUNDLE, PROJECT, SECRET, Installation
from bellhop.sandbox.stream_webhooks import SampleCall, StreamStandIn
from bellhop.store.keys import unreadable_key
from tests.trails import trail_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

OTHER_APP = {"tenant": "other", "api_keys": ["other-key"], "api_secrets": ["old-secret", "new-secret"]}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def installation(tmp_path_factory):
    apps = [{"api_keys": [API_KEY], "api_secrets": [SECRET]}, OTHER_APP]
    settings = {"STREAM_API_KEY": "", "STREAM_API_SECRET": "", "STREAM_APPS": json.dumps(apps), "MISSED_GRACE_S": "60"}
    async with Installation(tmp_path_factory.mktemp("installation"), settings) as installation:
        await installation.register("ben-osei", Provider.APNS, Kind.VOIP, "a1" * 32, "Ben's iPhone")
        await installation.register("ben-osei", Provider.APNS, Kind.ALERT, "a2" * 32, "Ben's iPhone")
        await installation.register("jane-morel", Provider.FCM, Kind.VOIP, "jane:pixel", "Jane's Pixel")
        yield installation


OWN_PUSHES = """
[[pushes]]
kind = "ring"
provider = "apns"
call_type = "own"
title = "{{ caller.name }} ({{ caller.custom.tier }}): {{ call.custom.chat_id }}"
data = { picture = "{{ caller.image }}" }

[[pushes]]
kind = "ring"
provider = "fcm"
call_type = "own"
title = "{{ default.title }}"
analytics_label = "ring"
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def kotlin(tmp_path_factory):
    """An installation with a setting that was removed, and with own pushes for one type of call."""
    folder = tmp_path_factory.mktemp("kotlin")
    (folder / "pushes.toml").write_text(OWN_PUSHES)
    settings = {
        "FCM_WITHOUT_VIDEO": PROJECT,
        "MISSED_GRACE_S": "60",
        "PUSHES_FILE": str(folder / "pushes.toml"),
        "PUSH_CALL_FIELDS": "chat_id",
        "PUSH_CALLER_FIELDS": "image,tier",
    }
    async with Installation(folder, settings) as installation:
        await installation.register("ben-osei", Provider.APNS, Kind.VOIP, BEN_RINGS)
        await installation.register("jane-morel", Provider.FCM, Kind.ALERT, JANE)
        yield installation


async def arrived(installation, cid, count):
    """The pushes of a call, once there are `count` of them, and a moment later, so that one too many shows."""
    give_up = time.monotonic() + 15
    while time.monotonic() < give_up and sum(a.cid == cid for a in installation.arrivals) < count:
        await asyncio.sleep(0.02)
    await asyncio.sleep(0.3)
    return Counter((a.token, a.type) for a in installation.arrivals if a.cid == cid)


BEN_RINGS, BEN_ALERT, JANE = "a1" * 32, "a2" * 32, "jane:pixel"


async def test_call_ring_reaches_the_voip_token_and_the_android_phone(installation):
    call = SampleCall()
    assert (await installation.stream.post(call.ring())).body == {"status": "taken"}
    assert await arrived(installation, call.cid, 2) == {(BEN_RINGS, "call.ring"): 1, (JANE, "call.ring"): 1}


@pytest.mark.parametrize("event", ["notification", "missed"])
async def test_pushes_other_than_rings_go_to_alert_tokens_only(installation, event):
    call = SampleCall()
    await installation.stream.post(getattr(call, event)())
    assert await arrived(installation, call.cid, 2) == {(BEN_ALERT, f"call.{event}"): 1, (JANE, f"call.{event}"): 1}


async def test_call_rejected_by_the_caller_tells_who_was_rung(installation):
    call = SampleCall()
    await installation.stream.post(call.ring())
    await arrived(installation, call.cid, 2)
    await installation.stream.post(call.rejected("sara-lind", "cancel"))
    pushes = await arrived(installation, call.cid, 4)
    assert pushes[BEN_ALERT, "call.missed"] == pushes[JANE, "call.missed"] == 1
    assert pushes.total() == 4


async def test_a_compressed_webhook_rings(installation):
    call = SampleCall()
    assert (await installation.stream.post(call.ring("ben-osei"), compress=True)).status == 200
    assert await arrived(installation, call.cid, 1) == {(BEN_RINGS, "call.ring"): 1}


async def test_the_same_webhook_posted_twenty_times_at_once_rings_once(installation):
    call = SampleCall()
    event = call.ring()
    replies = await asyncio.gather(
        *(installation.stream.post(event, webhook_id="twenty", attempt=n) for n in range(20))
    )
    assert Counter(reply.body["status"] for reply in replies) == {"taken": 1, "already": 19}
    assert await arrived(installation, call.cid, 2) == {(BEN_RINGS, "call.ring"): 1, (JANE, "call.ring"): 1}


async def test_the_same_ring_under_two_webhook_ids_rings_once(installation):
    call = SampleCall()
    event = call.ring()
    replies = await asyncio.gather(*(installation.stream.post(event, webhook_id=f"hook-{n}") for n in range(5)))
    assert Counter(reply.body["status"] for reply in replies) == {"taken": 1, "already": 4}
    assert await arrived(installation, call.cid, 2) == {(BEN_RINGS, "call.ring"): 1, (JANE, "call.ring"): 1}


@pytest.mark.parametrize("secret", ["old-secret", "new-secret"])
async def test_each_secret_of_an_app_verifies_and_apps_do_not_mix(installation, secret):
    call = SampleCall()
    stream = StreamStandIn(installation.url, "other-key", secret, installation.http)
    assert (await stream.post(call.ring())).status == 200
    # The other app has a user of the same name, but without a phone.
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        lines = await trail_of(installation.store, call.cid, "other")
        skipped = {line.user: line.outcome for line in lines if line.what == "skipped"}
        if len(skipped) == 2:
            break
        await asyncio.sleep(0.05)
    assert skipped == {"ben-osei": "no_devices", "jane-morel": "no_devices"}
    assert not await arrived(installation, call.cid, 0)


async def test_a_secret_of_another_app_does_not_verify(installation):
    stream = StreamStandIn(installation.url, "other-key", SECRET, installation.http)
    assert (await stream.post(SampleCall().ring())).status == 401


async def test_an_irrelevant_event_is_accepted_and_queues_nothing(installation, samples):
    for name in ("user.updated", "call.updated", "call.created", "call.live_started"):
        event = json.loads((samples / f"{name}.json").read_bytes())
        event["created_at"] = datetime.now(UTC).isoformat()
        assert (await installation.stream.post(event)).body["status"] in {"ignored", "taken"}


async def test_a_signed_unreadable_body_is_kept_and_answered_200(installation):
    reply = await installation.stream.post(b'{"type": "call.ring"')
    assert (reply.status, reply.body["status"]) == (200, "kept")
    key = unreadable_key("default", reply.body["reason"])
    kept = json.loads(await installation.store.call("LINDEX", key, 0))
    assert kept["body"] == '{"type": "call.ring"'


async def test_the_pushes_are_byte_for_byte_what_streams_sdks_parse(installation, samples):
    """Stream's own samples, but for what Bellhop adds; ids and the call's own facts are the samples'."""
    ring = json.loads((samples / "call.ring.json").read_bytes())
    cid = ring["call_cid"]
    for count, name in ((2, "call.ring"), (4, "call.notification"), (6, "call.missed")):
        event = json.loads((samples / f"{name}.json").read_bytes()) | {"members": ring["members"]}
        timeouts = event["call"]["settings"]["ring"]  # short: Google's missed call waits until the ring is over
        timeouts |= dict.fromkeys(
            ("auto_cancel_timeout_ms", "incoming_call_timeout_ms", "missed_call_timeout_ms"), 5_000
        )
        event["created_at"] = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f789Z")
        await installation.stream.post(event)
        await arrived(installation, cid, count)
    pushes = [arrival for arrival in installation.arrivals if arrival.cid == cid]
    assert len(pushes) == len(list((samples / "push").iterdir()))
    for push in pushes:
        provider = (
            "fcm_data" if push.provider is Provider.FCM else ("apns_voip" if push.type == "call.ring" else "apns_alert")
        )
        expected = json.loads((samples / "push" / f"{provider}.{push.type}.json").read_bytes())
        if provider == "fcm_data":
            got = {k: v for k, v in push.payload.items() if k not in {"call_uuid", "sent_at", "expires_at", "id"}}
            expected = expected["data"]
            expected["receiver_id"] = "jane-morel"
            if push.type != "call.ring":  # Stream leaves the texts to the app
                alert = json.loads((samples / "push" / f"apns_alert.{push.type}.json").read_bytes())["aps"]["alert"]
                expected |= alert
        else:
            got = {k: v for k, v in push.payload.items() if k != "bellhop"}
            expected["stream"]["receiver_id"] = "ben-osei"
        assert json.dumps(got, sort_keys=True) == json.dumps(expected, sort_keys=True)


async def test_pushes_have_the_headers_to_ring_now_or_not_at_all(installation):
    call = SampleCall(ring_ms=20_000)
    began = time.time()
    await installation.stream.post(call.ring(at=began))
    await arrived(installation, call.cid, 2)
    apple = next(r for r in installation.apple.received if r.payload["stream"]["call_cid"] == call.cid)
    assert apple.headers["apns-topic"] == f"{BUNDLE}.voip"
    assert apple.headers["apns-push-type"] == "voip"
    assert apple.headers["apns-priority"] == "10"
    assert apple.headers["apns-expiration"] == str(int(began + 20))
    google = next(r for r in installation.google.received if r.message["data"]["call_cid"] == call.cid)
    assert set(google.message) == {"android", "data", "token"}, "a notification block would keep the app asleep"
    assert google.message["android"]["priority"] == "HIGH"
    assert 1 <= int(google.message["android"]["ttl"].rstrip("s")) <= 20


@pytest.mark.parametrize("video", [True, False])
async def test_a_removed_setting_changes_nothing_and_is_named(kotlin, video):
    call = SampleCall()
    await kotlin.stream.post(call.ring(video=video))
    await arrived(kotlin, call.cid, 2)
    rings = {arrival.provider: arrival.payload for arrival in kotlin.arrivals if arrival.cid == call.cid}
    assert rings[Provider.APNS]["stream"]["video"] == str(video).lower()
    assert rings[Provider.FCM]["video"] == str(video).lower()
    assert rings[Provider.FCM]["created_by_display_name"] == rings[Provider.APNS]["stream"]["created_by_display_name"]


async def test_a_team_says_its_own_words(kotlin):
    call = SampleCall()
    event = call.ring()
    cid = event["call_cid"] = event["call"]["cid"] = f"own:{call.id}"
    event["call"]["custom"]["chat_id"] = "room-42"
    event["user"] |= {"image": "https://cdn.example/s.png", "custom": {"tier": "pro"}}
    await kotlin.stream.post(event)
    await arrived(kotlin, cid, 2)
    [iphone] = [push.payload for push in kotlin.apple.received if push.payload["stream"]["call_cid"] == cid]
    [android] = [push.message for push in kotlin.google.received if push.message["data"]["call_cid"] == cid]
    assert iphone["aps"]["alert"]["title"] == f"{event['user']['name']} (pro): room-42"
    assert iphone["picture"] == "https://cdn.example/s.png"
    assert android["data"]["title"] == f"{event['user']['name']} is calling you"
    assert android["fcm_options"] == {"analytics_label": "ring"}
