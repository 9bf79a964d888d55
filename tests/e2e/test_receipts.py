"""A phone says that it rang, with the receipt that came in the push."""

import asyncio
import hmac
import json
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode

import jwt
import pytest
import pytest_asyncio
from prometheus_client.parser import text_string_to_metric_families

from bellhop.domain.device import Kind, Provider, device_key
from bellhop.domain.ticket import Ticket, sign_ticket
from bellhop.sandbox.installation import Installation
from bellhop.sandbox.stream_webhooks import SampleCall
from bellhop.store import phones
from bellhop.store.keys import call_key, round_key, trail_key
from bellhop.trail import PhoneRang, PhoneReported
from tests.trails import trail_of
from tests.waiting import come_true

pytestmark = pytest.mark.asyncio(loop_scope="module")

JANE = "jane-morel"
SECRET, TOKEN = "signs-the-receipts", "for-prometheus-alone"
SOON_S = 30


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def installation(tmp_path_factory):
    settings = {"RECEIPT_SECRET": SECRET, "METRICS_TOKEN": TOKEN}
    async with Installation(tmp_path_factory.mktemp("installation"), settings) as installation:
        await installation.register("ben-osei", Provider.APNS, Kind.VOIP, "a1" * 32)
        await installation.register(JANE, Provider.FCM, Kind.ALERT, "jane:pixel")
        yield installation


async def post(installation, document):
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    async with installation.http.post(f"{installation.url}/v1/receipts", data=body) as answer:
        return answer.status


async def rung(installation, call, count=2):
    """The receipts that the phones of a call got, by provider."""
    await installation.stream.post(call.ring())
    give_up = time.monotonic() + SOON_S
    while len(pushes := [a for a in installation.arrivals if a.cid == call.cid]) < count and time.monotonic() < give_up:
        await asyncio.sleep(0.02)
    found = {a.provider: a.payload["bellhop"] if a.provider is Provider.APNS else a.payload for a in pushes}
    return {provider: part["receipt"] for provider, part in found.items()}


async def rang(installation, call):
    lines = await trail_of(installation.store, call.cid)
    return [line for line in lines if isinstance(line, PhoneRang)]


async def test_a_receipt_sent_twice_is_on_the_trail_once(installation):
    call = SampleCall()
    given = await rung(installation, call)
    for receipt in given.values():
        statuses = await asyncio.gather(
            *(post(installation, {"receipt": receipt, "rang_at": 1_800_000_000_000}) for _ in range(10))
        )
        assert set(statuses) == {204}
    lines = await rang(installation, call)
    assert sorted(line.provider for line in lines) == ["apns", "fcm"]
    give_up = time.monotonic() + SOON_S
    while len(attempted := await attempted_devices(installation, call)) < 2 and time.monotonic() < give_up:
        await asyncio.sleep(0.02)  # the worker writes it after the provider has answered
    assert {line.device for line in lines} == attempted


async def attempted_devices(installation, call):
    return {line.device for line in await trail_of(installation.store, call.cid) if line.what == "attempted"}


async def test_metrics_show_delivered_beside_accepted(installation):
    await post(installation, {"receipt": (await rung(installation, SampleCall()))[Provider.FCM]})
    give_up = time.monotonic() + SOON_S
    recorded = rang = 0
    while not (recorded == rang > 0) and time.monotonic() < give_up:
        await asyncio.sleep(0.2)
        async with installation.http.get(
            f"{installation.url}/metrics", headers={"Authorization": f"Bearer {TOKEN}"}
        ) as answer:
            families = text_string_to_metric_families(await answer.text())
        samples = [s for family in families for s in family.samples if s.labels.get("provider") == "fcm"]
        by_verdict = {s.labels["verdict"]: s.value for s in samples if s.name == "bellhop_receipts_total"}
        recorded = by_verdict.get("recorded", 0)
        rang = sum(s.value for s in samples if s.name == "bellhop_rang_seconds_count")
    assert recorded == rang > 0


async def test_demoted_rings_of_a_phone_raise_one_warning(installation):
    health = {"os": "android", "fcm_priority": "normal", "model": "Nosuch Phone 9"}
    for _ in range(4):
        receipt = (await rung(installation, SampleCall()))[Provider.FCM]
        for _ in range(2):
            assert await post(installation, {"receipt": receipt, "health": health}) == 204
    key = device_key(Provider.FCM, "jane:pixel")
    (record,) = phones.records_of(
        [key], await installation.store.call(*phones.read_some("default", JANE, [key]))
    ).values()
    assert (record.demoted, record.event, record.health.model) == (4, "rang", "Nosuch Phone 9")
    assert 0 < record.first_receipt_ms <= record.last_receipt_ms
    await come_true(lambda: "pushes_demoted" in installation.log("web"))
    assert installation.log("web").count("pushes_demoted") == 1
    for process in ("web", "worker-1"):
        assert not [word for word in ("Nosuch", "fcm_priority") if word in installation.log(process)]


async def test_what_bellhop_did_not_sign_is_refused_and_leaves_nothing(installation):
    call = SampleCall()
    given = (await rung(installation, call))[Provider.APNS]
    body, mac = given.split(".")
    named = json.loads(urlsafe_b64decode(body + "=="))
    other = urlsafe_b64encode(json.dumps([*named[:4], "another-device"]).encode()).rstrip(b"=").decode()
    forged = sign_ticket(b"another secret", Ticket(*named))
    for wrong in (
        body,
        f"{body}.",
        f"{other}.{mac}",
        forged,
        "",
        ".",
        "é.é",
        "\ud800.x",
        f"{body}.{mac}x",
        f"{body}.{mac[:-2]}",
    ):
        assert await post(installation, {"receipt": wrong}) in (403, 422), wrong
    assert await rang(installation, call) == []


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"{",
        b"[]",
        b'"x"',
        {},
        {"receipt": 1},
        {"receipt": "a" * 3000},
        {"receipt": "a", "rang_at": "now"},
        {"receipt": "a", "event": "answered"},
        {"receipt": "a", "event": None},
        {"receipt": "a", "event": ["declined"]},
        {"receipt": "a", "event": "not_shown", "reason": 1},
        {"receipt": "a", "event": "not_shown", "reason": "r" * 201},
        {"receipt": "a", "at": 2**53},
        b'{"receipt": "a", "at": NaN}',
        b'{"receipt": "a", "at": 1e400}',
        b'{"receipt": "\\ud800"}',
        b'{"receipt": "a", "x": ' + b"[" * 4000 + b"}",
        b"\xff",
    ],
    ids=repr,
)
async def test_a_body_that_says_nothing_is_answered_422(installation, document):
    assert await post(installation, document) == 422


async def test_a_receipt_with_any_byte_changed_is_refused(installation):
    call = SampleCall()
    given = (await rung(installation, call))[Provider.FCM]
    changed = [given[:at] + ("A" if letter != "A" else "B") + given[at + 1 :] for at, letter in enumerate(given)]
    for event in ("rang", "declined"):
        statuses = await asyncio.gather(*(post(installation, {"receipt": text, "event": event}) for text in changed))
        assert set(statuses) == {403}
    assert {line.what for line in await trail_of(installation.store, call.cid)} <= {
        "received",
        "picked_up",
        "waited",
        "attempted",
    }


async def test_what_the_secret_signs_for_another_purpose_is_no_receipt(installation):
    call = SampleCall()
    given = (await rung(installation, call))[Provider.FCM]
    body, key = given.partition(".")[0], SECRET.encode()
    for signed in (body.encode(), b"bellhop " + body.encode(), b"receipt " + body.encode()):
        mac = urlsafe_b64encode(hmac.digest(key, signed, "sha256")[:16]).rstrip(b"=").decode()
        assert await post(installation, {"receipt": f"{body}.{mac}", "event": "declined"}) == 403
    token = jwt.encode({"user_id": "jane-morel"}, "demo-secret-of-no-real-app-at-all", "HS256")
    assert await post(installation, {"receipt": token, "event": "declined"}) == 403


async def test_a_receipt_of_another_tenant_or_round_ends_nothing(installation):
    call = SampleCall()
    given = (await rung(installation, call))[Provider.FCM]
    _, cid, started_at, provider, device = json.loads(urlsafe_b64decode(given.partition(".")[0] + "=="))
    for tenant, start in (("other", started_at), ("default", started_at + 1)):
        receipt = sign_ticket(SECRET.encode(), Ticket(tenant, cid, start, provider, device))
        assert await post(installation, {"receipt": receipt, "event": "declined"}) == 204
        assert not await installation.store.call("EXISTS", round_key(tenant, cid, start))
    assert not await stamps(installation, call)


async def stamps(installation, call):
    fields = [name.decode() for name in await installation.store.call("HKEYS", call_key("default", call.cid))]
    return [name for name in fields if name.startswith(("d:", "b:", "x:", "at:"))]


@pytest.mark.parametrize("event", ["answered_elsewhere", "dismissed", "not_shown"])
async def test_a_report_that_is_no_rejection_stops_nothing(installation, event):
    call = SampleCall()
    given = (await rung(installation, call))[Provider.FCM]
    for _ in range(2):
        report = {"receipt": given, "event": event, "reason": "full_screen_off, by Jane <jane@example.org>", "at": 7}
        assert await post(installation, report) == 204
    [line] = [one for one in await trail_of(installation.store, call.cid) if isinstance(one, PhoneReported)]
    assert (line.outcome, line.provider, line.detail, line.stamp) == (event, "fcm", "7", None)
    assert line.reason == ("full_screen_off_by_Jane_jane_example.org_" if event == "not_shown" else "")
    assert not await stamps(installation, call)


async def test_a_receipt_expires_two_minutes_after_its_ring(installation):
    now_s = time.time()
    for number, (age_s, status) in enumerate([(100, 204), (140, 403)]):
        ticket = Ticket("default", f"default:old-{number}", 1, "apns", "0" * 20)
        key = round_key(*ticket[:3])
        facts = json.dumps({"deadline": round((now_s - age_s) * 1e6)})
        await installation.store.call("HSET", key, "facts", facts, f"to:{ticket.device}", "ben-osei")
        for event in ("rang", "declined"):  # after the ring, a decline is only written down
            report = {"receipt": sign_ticket(SECRET.encode(), ticket), "event": event}
            assert await post(installation, report) == status
        lines = await trail_of(installation.store, ticket.cid)
        assert [line.what for line in lines] == (["rang", "reported"] if status == 204 else [])
        assert await installation.store.call("EXISTS", call_key("default", ticket.cid)) == 0
        await installation.store.call("DEL", key)


async def test_a_body_without_end_is_not_read(installation):
    assert await post(installation, b"x" * 100_000) == 413


async def test_a_receipt_for_a_round_that_is_forgotten_writes_nothing(installation):
    gone = Ticket("default", "default:gone", 1, "apns", "0" * 20)
    assert await post(installation, {"receipt": sign_ticket(SECRET.encode(), gone)}) == 204
    assert await installation.store.call("EXISTS", trail_key("default", "default:gone")) == 0


async def test_a_receipt_after_its_trail_expired_leaves_nothing(installation):
    late = Ticket("default", "default:late", 1, "apns", "0" * 20)
    await installation.store.call("HSET", round_key("default", "default:late", 1), "facts", "{}")
    assert await post(installation, {"receipt": sign_ticket(SECRET.encode(), late)}) == 204
    assert await installation.store.call("TTL", trail_key("default", "default:late")) > 0


async def test_without_a_secret_there_are_no_receipts(tmp_path):
    async with Installation(tmp_path) as plain:
        await plain.register("ben-osei", Provider.APNS, Kind.VOIP, "a1" * 32)
        call = SampleCall(members=("ben-osei",))
        await plain.stream.post(call.ring())
        give_up = time.monotonic() + SOON_S
        while not plain.arrivals and time.monotonic() < give_up:
            await asyncio.sleep(0.02)
        assert set(plain.arrivals[0].payload["bellhop"]) == {"call_uuid", "sent_at", "expires_at"}
        unsigned = sign_ticket(b"", Ticket("default", call.cid, 1, "apns", "0" * 20))
        assert await post(plain, {"receipt": unsigned}) == 403
