"""Two Stream apps on one installation: one floods it, the other rings now and then."""

import asyncio
import json
import signal
import time
from contextlib import contextmanager

import pytest

from bellhop.domain.device import Kind, Provider
from bellhop.explain.explanation import explain
from bellhop.sandbox.installation import API_KEY, SECRET, Installation
from bellhop.sandbox.stream_webhooks import SampleCall, StreamStandIn
from tests.trails import trail_of
from tests.waiting import come_true

FEW, BOUND = 16, 40
"""How many jobs wait in the queue itself; how many rings of one app wait beside it."""
CALLEES = 5
"""More than a few, since one callee has a limit of rings in a minute."""
KEY, OTHER_SECRET, TOKEN = "other-api-key", "another-secret-of-no-real-app", "token-of-the-metrics"
APPS = [
    {"tenant": "default", "api_keys": [API_KEY], "api_secrets": [SECRET]},
    {"tenant": "other", "api_keys": [KEY], "api_secrets": [OTHER_SECRET]},
]
SETTINGS = {
    **{"STREAM_API_KEY": "", "STREAM_API_SECRET": "", "STREAM_APPS": json.dumps(APPS)},
    **{"RINGS_WAITING_PER_APP": str(BOUND), "METRICS_TOKEN": TOKEN, "STREAM_QUESTIONS_PER_S": "0"},
}


@pytest.fixture
async def installation(tmp_path):
    async with Installation(tmp_path, SETTINGS) as installation:
        for tenant, number in [("other", 0), *(("default", number) for number in range(CALLEES))]:
            token = f"token-of-{tenant}-{number}"
            await installation.register(f"ben-{number}", Provider.FCM, Kind.VOIP, token, tenant=tenant)
        yield installation


@contextmanager
def stopped(process):
    """Let a process stand still meanwhile."""
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


async def metrics_of(installation):
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with installation.http.get(f"{installation.url}/metrics", headers=headers) as response:
        return (await response.text()).splitlines()


async def timeline_of(installation, call):
    explanation = explain(call.cid, await trail_of(installation.store, call.cid))
    return [entry for round_ in explanation.rounds for entry in round_.timeline]


async def picked_up_at(installation, call, tenant="default"):
    """Wait until the worker has written when it began with a ring: it does so after the first push."""
    while True:
        for line in await trail_of(installation.store, call.cid, tenant):
            if line.what == "picked_up":
                return line.at
        await asyncio.sleep(0.05)


async def test_a_flood_of_one_app_holds_up_no_other(installation):
    """The rings of the flood wait, and those over the bound come again; the other app's rings overtake them."""
    flood = [
        SampleCall(f"sara-{number}", (f"ben-{number % CALLEES}",), ring_ms=180_000)
        for number in range(FEW + BOUND + 10)
    ]
    events = {call.cid: call.ring() for call in flood}
    stream = StreamStandIn(installation.url, KEY, OTHER_SECRET, installation.http)
    others = [SampleCall("kim", ("ben-0",), ring_ms=180_000) for _ in range(3)]
    with stopped(installation.processes["worker-1"]):
        replies = {cid: await installation.stream.post(event, webhook_id=cid) for cid, event in events.items()}
        put_off = [cid for cid, reply in replies.items() if reply.status == 503]
        assert {reply.status for reply in replies.values()} == {200, 503}
        assert len(put_off) >= 9, "Redis gives at most one job to a worker that waits for one"
        assert put_off == [*events][-len(put_off) :]
        waiting = f'bellhop_jobs_waiting_for_turn{{queue="bellhop-rings",tenant="default"}} {BOUND:.1f}'
        queued = f'bellhop_queue_jobs{{queue="bellhop-rings",state="queued"}} {FEW + BOUND:.1f}'
        assert {waiting, queued} <= {*await metrics_of(installation)}
        for call in others:
            assert (await stream.post(call.ring())).status == 200
    while put_off:
        await asyncio.sleep(0.2)
        again = {cid: await installation.stream.post(events[cid], webhook_id=cid, attempt=2) for cid in put_off}
        put_off = [cid for cid, reply in again.items() if reply.status == 503]
    rung = installation.arrivals
    await come_true(lambda: len({ring.cid for ring in rung}) == len(flood) + len(others), 60)
    assert len(rung) == len(flood) + len(others), "no phone rang twice"
    began = [await picked_up_at(installation, call) for call in flood]
    for call in others:
        at = await picked_up_at(installation, call, "other")
        assert sum(before < at for before in began) < FEW + BOUND / 2, "it waits for a few rings of the flood"

    last = flood[-1].cid
    lines = [line.what for line in await trail_of(installation.store, last)]
    assert lines[0] == "put_off"
    assert {"received", "picked_up"} <= {*lines}
    sentences = [entry.sentence for call in flood[-15:] for entry in await timeline_of(installation, call)]
    assert sum("Bellhop asked Stream to send it again" in sentence for sentence in sentences) >= 9
    assert any("Apps take turns" in sentence for sentence in sentences)
    counted, give_up = 'bellhop_webhooks_total{type="call.ring",verdict="put_off"}', time.monotonic() + 60
    while not any(line.startswith(counted) for line in await metrics_of(installation)):
        assert time.monotonic() < give_up, "processes write their counts each second"
        await asyncio.sleep(0.1)
