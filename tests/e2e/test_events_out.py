"""Events for the team's backend, from real processes to an HTTPS endpoint: order, repeats, a killed worker, replay."""

import asyncio
import base64
import itertools
import json
import os
import signal

import jsonschema
import pytest
import pytest_asyncio
from click.testing import CliRunner

from bellhop.cli import main
from bellhop.clock import Micros, Seconds
from bellhop.dead_letters import DeadLetter, keep_dead_letter
from bellhop.domain.announcement import MOVED, REMOVED, AnnouncementType, about_ring
from bellhop.domain.device import Kind, Provider
from bellhop.domain.event_documents import FORMS, schema
from bellhop.domain.outcomes import Outcome
from bellhop.sandbox.apple_script import AppleReply
from bellhop.sandbox.event_receiver import EventReceiver, EventReply
from bellhop.sandbox.installation import PROJECT, Installation
from bellhop.sandbox.stream_webhooks import SampleCall
from bellhop.sandbox.tls import Authority
from tests.factories import a_round
from tests.waiting import come_true

pytestmark = pytest.mark.asyncio(loop_scope="module")

SECRET = "whsec_" + base64.b64encode(os.urandom(32)).decode()
SCHEMAS = {form.name: schema(form) for form in FORMS}
NUMBERS = itertools.count()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def backend(tmp_path_factory):
    authority = Authority(tmp_path_factory.mktemp("tls"))
    async with EventReceiver([SECRET], authority=authority) as backend:
        yield backend


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def installation(tmp_path_factory, backend):
    endpoints = [
        {"name": "backend", "url": backend.url},
        {"name": "away", "url": "https://localhost:9/", "types": ["ring.reached"]},
    ]
    settings = {
        "EVENT_ENDPOINTS": json.dumps(endpoints),
        "EVENT_SECRETS": json.dumps({"backend": [SECRET], "away": [SECRET]}),
        "EVENT_ALLOWED_NETWORKS": "127.0.0.1",
        "EVENT_CA_FILE": str(backend._authority.ca_file),
        "MISSED_GRACE_S": "0.5",
        "RECEIPT_SECRET": "a-secret-of-no-real-app",
        "METRICS_TOKEN": "for-prometheus-alone",
    }
    async with Installation(tmp_path_factory.mktemp("installation"), settings) as installation:
        yield installation


@pytest_asyncio.fixture(loop_scope="module")
async def person(installation):
    """Register a user with an Android phone; returns the user's id."""

    async def register(provider=Provider.FCM):
        number = next(NUMBERS)
        token = f"phone:{number}" if provider is Provider.FCM else f"{number:064x}"
        device = await installation.register(f"user-{number}", provider, Kind.VOIP, token)
        return device.user_id, token

    return register


def events_of(backend, call):
    return [received.event for received in backend.received if received.event["data"].get("call_cid") == call.cid]


def types_of(backend, call):
    return [event["type"] for event in events_of(backend, call)]


async def test_events_of_a_call_arrive_once_and_in_order(installation, backend, person):
    ben, token = await person()
    call, nobody = SampleCall(members=(ben,)), SampleCall(members=(f"nobody-{next(NUMBERS)}",))
    ring = call.ring()
    await asyncio.gather(*(installation.stream.post(ring, webhook_id=f"{call.id}-{number}") for number in range(50)))
    await come_true(lambda: types_of(backend, call) == ["ring.reached"])
    receipt = {"receipt": next(a.payload["receipt"] for a in installation.arrivals if a.token == token)}
    for _ in range(50):
        async with installation.http.post(f"{installation.url}/v1/receipts", json=receipt) as answer:
            assert answer.status == 204
    await installation.stream.post(nobody.ring())
    await installation.stream.post(call.rejected(call.caller))
    await come_true(lambda: "call.missed_notice" in types_of(backend, call))
    await come_true(lambda: "ring.unreachable" in types_of(backend, nobody))
    assert types_of(backend, call) == ["ring.reached", "ring.ringing", "ring.ended", "call.missed_notice"]
    assert events_of(backend, call)[2]["data"]["standing"] == "cancelled"
    for received in backend.received:
        assert received.problem == ""
        jsonschema.validate(received.event, SCHEMAS[received.event["type"]])


async def test_failures_keep_the_order_and_the_ids_of_each_call(installation, backend, person):
    calls = {call.cid: call for call in [SampleCall(members=((await person())[0],)) for _ in range(8)]}
    for number, cid in enumerate(calls):
        backend.replies[cid] = [EventReply(status) for status in (503, 302)[: number % 3]]
    await asyncio.gather(*(installation.stream.post(call.ring()) for call in calls.values()))
    await come_true(lambda: all(types_of(backend, call) for call in calls.values()))
    for call in calls.values():
        await installation.stream.post(call.accepted(call.members[0]))
        await installation.stream.post(call.ended())
    await come_true(lambda: all(types_of(backend, call)[-1:] == ["ring.ended"] for call in calls.values()), within_s=60)
    for number, call in enumerate(calls.values()):
        assert types_of(backend, call) == [*["ring.reached"] * (number % 3 + 1), "ring.ended"]
        assert len({event["id"] for event in events_of(backend, call)}) == 2


async def test_a_killed_worker_loses_no_event(installation, backend, person):
    ben, _ = await person()
    call = SampleCall(members=(ben,))
    backend.replies[call.cid] = [EventReply(delay_s=Seconds(30))]
    await installation.stream.post(call.ring())
    await come_true(lambda: types_of(backend, call) == ["ring.reached"])
    installation.stop("worker-1", signal.SIGKILL)
    installation.start("worker", "worker-1")
    await installation.stream.post(call.accepted(ben))
    await installation.stream.post(call.ended())
    await come_true(lambda: types_of(backend, call)[-1:] == ["ring.ended"], within_s=60)
    assert set(types_of(backend, call)[:-1]) == {"ring.reached"}


async def test_a_removed_device_is_announced(installation, backend, person):
    (ben, token), (jane, _) = await person(Provider.APNS), await person()
    call = SampleCall(members=(ben,))
    installation.apple.script(token, AppleReply(410, "Unregistered"))
    await installation.stream.post(call.ring())

    def removed():
        return {
            received.event["data"]["user_id"]: received.event["data"]["reason"]
            for received in backend.received
            if received.event["type"] == "device.removed"
        }

    await come_true(lambda: removed().get(ben) == "Unregistered")
    await come_true(lambda: types_of(backend, call)[:1] == ["ring.unreachable"])
    listed = await bellhop(installation, "devices", "list", jane, "--json")
    await bellhop(installation, "devices", "remove", jane, json.loads(listed.output)[0]["key"])
    await come_true(lambda: removed().get(jane) == REMOVED)
    former, token = await person()
    phone = ("--provider", "fcm", "--app", PROJECT, "--token", token)
    assert (await bellhop(installation, "devices", "add", jane, *phone)).exit_code == 0
    await come_true(lambda: removed().get(former) == MOVED)


async def test_a_dead_letter_is_listed_and_sent_again(installation, backend):
    event = about_ring(AnnouncementType.UNREACHABLE, a_round(cid="default:old"), "ben", Micros(1), reason=Outcome.MUTED)
    for command in keep_dead_letter(
        DeadLetter("backend", "default", "default:old", event.document(), "HTTP 500", Micros(2)), 86_400
    ):
        await installation.store.call(*command)
    assert event.id in (await bellhop(installation, "events", "dead")).output
    metrics = {"Authorization": "Bearer for-prometheus-alone"}
    async with installation.http.get(f"{installation.url}/metrics", headers=metrics) as page:
        assert 'bellhop_event_dead_letters{endpoint="backend"} 1.0' in await page.text()
    await bellhop(installation, "events", "replay", event.id)
    again = {}
    await come_true(lambda: again.update({r.event["id"]: r for r in backend.received}) or event.id in again)
    assert again[event.id].problem == "" and again[event.id].body == event.document()
    assert "no such event" in (await bellhop(installation, "events", "replay", event.id)).output


async def test_no_log_has_a_secret_or_a_url(installation, backend):
    await come_true(lambda: "announcing_fails" in installation.log("worker-1"))
    logs = installation.log("web") + installation.log("worker-1")
    assert '"destination":"away"' in logs
    assert SECRET not in logs and SECRET[6:] not in logs and backend.url not in logs


async def bellhop(installation, *words):
    return await asyncio.to_thread(CliRunner().invoke, main, words, env=installation.environment())
