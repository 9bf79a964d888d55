"""A clock that is set wrong loses no ring, and somebody says so. Redis's is right here; the others' are turned."""

import asyncio
import hmac
import json
import os
import re
import time

import aiohttp
import pytest
import redis
from structlog.testing import capture_logs

from bellhop.cli.check import redis as redis_checks
from bellhop.cli.check import stream as stream_checks
from bellhop.domain.clock_offset import ClockOffset
from bellhop.explain.explanation import explain
from bellhop.explain.summary import Flag, summarize
from bellhop.explain.verdict import LATE_US
from bellhop.queue.names import QUEUES, RINGS
from bellhop.ring_question import AskedRing, StreamQuestions
from bellhop.sandbox.apple_script import AppleReply
from bellhop.sandbox.installation import Installation
from bellhop.sandbox.stream_rest import StreamApiStandIn
from bellhop.sandbox.stream_webhooks import SampleCall
from bellhop.settings import Settings
from bellhop.store import clock_differences, queue_scripts
from bellhop.store.blocking_client import run_script
from bellhop.store.homes import ALONE
from bellhop.store.keys import inflight_key, round_key, rq_queue_key, status_key
from bellhop.store.redis_clock import read_time
from bellhop.stream_api import StreamApi
from tests.factories import web_settings
from tests.flows.conftest import Flow
from tests.redis_servers import ON_CLUSTER
from webhook.app import create_app
from webhook.intake.parsing import parse
from worker import status
from worker.queue.job_store import StartedJob

SECRET = "a-secret-of-no-real-app"
about_one_server = pytest.mark.skipif(ON_CLUSTER, reason="it looks into a server, or at its only clock")


@pytest.fixture
def client(redis_url):
    return create_app(web_settings(redis_url, stream_api_secret=[SECRET])).test_client()


@pytest.fixture
def turn(monkeypatch):
    """Turn the clock of this process by some seconds."""
    now, now_ns = time.time, time.time_ns

    def turn(seconds):
        monkeypatch.setattr(time, "time", lambda: now() + seconds)
        monkeypatch.setattr(time, "time_ns", lambda: now_ns() + seconds * 10**9)

    return turn


def post_event(client, event):
    body = json.dumps(event).encode()
    headers = {"X-Api-Key": "key", "X-Signature": hmac.digest(SECRET.encode(), body, "sha256").hex()}
    return client.post("/webhooks/stream", data=body, headers=headers)


@about_one_server
@pytest.mark.parametrize("seconds", [0, -61, -100_000, 100_000])
def test_a_ring_lasts_as_long_with_a_wrong_clock_of_the_web(client, redis_url, turn, seconds):
    call = SampleCall(members=("ben",), ring_ms=30_000)
    event = call.ring()
    stamp = parse(json.dumps(event).encode()).at
    turn(seconds)
    assert post_event(client, event).status_code == 200
    with redis.Redis.from_url(redis_url) as known:
        facts = json.loads(known.hget(round_key("default", call.cid, stamp), "facts"))
    assert facts["deadline"] == stamp + 30_000_000


@about_one_server
@pytest.mark.parametrize("ahead_s", [-600, 600])
def test_rings_are_late_by_streams_clock_when_taken(client, redis_url, ahead_s):
    """A ring that still has time is not put off, and one that is over is."""
    with redis.Redis.from_url(redis_url) as known:
        for command in clock_differences.write("default", ClockOffset(ahead_s * 10**6), *ALONE):
            known.execute_command(*command)
        stream_now = time.time() - ahead_s
        rings = SampleCall(members=("ann",)).ring(at=stream_now - 60), SampleCall(members=("ben",)).ring(at=stream_now)
        for ring in (*rings, SampleCall(members=("eve",)).ring(at=stream_now)):
            assert post_event(client, ring).status_code == 200
        known.lmove(rq_queue_key(RINGS), inflight_key(RINGS, "w-1"), "LEFT", "RIGHT")
        begun = [StartedJob.read(answer) for answer in run_script(known, queue_scripts.take_jobs(RINGS, "w-1", 2))]
    assert [job.late for job in begun] == [False, False]
    assert all(name.encode() in job.data for name, job in zip(("ben", "eve"), begun, strict=True))


@about_one_server
async def test_a_wrong_worker_clock_is_logged_once_and_shown_by_readyz(client, store, turn):
    await store.call("SET", "bellhop:worker:w-1", "1")
    for queue in QUEUES:
        await store.call("SADD", f"rq:workers:{queue}", "rq:worker:w-1")
    with capture_logs() as logged:
        turn(40)
        await publish(store, times=2)
    said = [line["reason"] for line in logged if line["event"] == "clocks_apart"]
    assert said == ["this worker's clock is 40 s ahead of Redis's: set both right (NTP)"]
    turn(-61)
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json["status"]) == (200, "ready")
    assert answer.json["warnings"] == [
        "The clock of this web process is 61 s behind Redis's: set both right (NTP).",
        "The clock of a worker is 40 s ahead of Redis's: set both right (NTP).",
    ]


@about_one_server
async def test_of_clocks_that_are_right_nobody_speaks(client, store):
    await store.call("SET", "bellhop:worker:w-1", "1")
    for queue in QUEUES:
        await store.call("SADD", f"rq:workers:{queue}", "rq:worker:w-1")
    with capture_logs() as logged:
        await publish(store, times=1)
    assert logged == []
    assert client.get("/readyz").json == {"status": "ready"}


@about_one_server
@pytest.mark.parametrize(
    ("seconds", "said"), [(0, []), (-7, ["this machine's clock is 7 s behind Redis's: set both right (NTP)"])]
)
async def test_check_compares_the_clocks(store, turn, seconds, said):
    turn(seconds)
    findings = [finding async for finding in redis_checks.findings(store, Settings())]
    clocks = [finding for finding in findings if finding.subject == "clock"]
    assert [clock.sentence for clock in clocks if clock.level is redis_checks.Level.PROBLEM] == said
    assert len(clocks) == 1, "a clock that is right is listed too"


@pytest.fixture
async def apart(request, tmp_path):
    """A Bellhop whose Redis is so many seconds ahead of Stream, which it knows from one event."""
    settings = {"MISSED_GRACE_S": "0.5", "STREAM_QUESTIONS_PER_S": "100"}
    async with Installation(tmp_path, settings) as installation:
        flow = Flow(installation)
        installation.stream_api.clock_ahead_s = -request.param
        await flow.post(SampleCall().updated(at=time.time() - request.param))
        if abs(request.param) < 120:
            await asyncio.sleep(5)
        yield flow, lambda: time.time() - request.param


@pytest.mark.parametrize("apart", [-600, -65, 65, 600], indirect=True)
async def test_clocks_that_differ_ring_and_stop_rightly(apart):
    flow, stream_time = apart
    ana, ben, jane = await flow.iphone("ana"), await flow.iphone("ben"), await flow.android("jane")
    call = flow.call(ana, jane)
    flow.installation.apple.script(ana.tokens[0], *[AppleReply(503, "ServiceUnavailable", retry_after="1")] * 20)
    began = time.monotonic()
    await flow.post(call.ring(at=stream_time()))
    await flow.rings(jane)
    took_s = time.monotonic() - began
    messages = [sent.message for sent in flow.installation.google.received if sent.token in jane.tokens]
    assert 30 - took_s - 1 <= int(messages[0]["android"]["ttl"].removesuffix("s")) <= 30
    await flow.post(call.rejected(jane.user, "decline", at=stream_time()))
    await flow.post(call.rejected(call.caller, "cancel", at=stream_time()))
    assert await flow.outcomes(call) == {"ana": ["cancelled"], "jane": ["declined"]}
    assert flow.seen(ana) == ["call.missed"]
    assert flow.seen(jane) == ["call.ring"]
    await told_times(flow, call)
    await ring_again(flow, stream_time, ben, jane)


async def ring_again(flow, stream_time, *phones):
    """A second ring, which is answered; and a third, which runs out."""
    second = flow.call(*phones)
    await ring_once_more(flow, second.ring(at=stream_time()), *phones)
    await flow.post(*(second.accepted(phone.user, at=stream_time()) for phone in phones))
    await flow.post(second.ended(at=stream_time()))
    third = flow.call(*phones, ring_ms=5000)
    began = time.monotonic()
    await ring_once_more(flow, third.ring(at=stream_time()), *phones)
    outcomes = await flow.outcomes(third)
    assert outcomes == {"ben": ["no_answer"], "jane": ["no_answer"]}
    assert time.monotonic() - began > 5


async def ring_once_more(flow, ring, *phones):
    """Post a ring, and wait until each phone has rung."""
    before = [flow.seen(phone).count("call.ring") for phone in phones]
    await flow.post(ring)
    for phone, times in zip(phones, before, strict=True):
        await flow.rings(phone, times=times + 1)


@pytest.mark.parametrize("apart", [-600, 600], indirect=True)
async def test_a_late_event_beside_fresh_ones_never_rings(apart):
    flow, stream_time = apart
    ben = await flow.iphone("ben")
    late = flow.call(ben, ring_ms=20_000)
    await flow.post(
        flow.call(ben).updated(at=stream_time()),
        late.ring(at=stream_time() - 25),
        flow.call(ben).updated(at=stream_time()),
        late.again().ring(at=stream_time() - 600),
        late.again().ring(at=stream_time() - 600),
    )
    await flow.quiet(late)
    assert "call.ring" not in flow.seen(ben)


@about_one_server
@pytest.mark.parametrize("ahead_s", [-600, -65, 65, 600])
async def test_an_answer_of_streams_teaches_the_difference(store, ahead_s):
    async with StreamApiStandIn("key", SECRET) as stream, aiohttp.ClientSession() as session:
        stream.clock_ahead_s = ahead_s
        questions = StreamQuestions(store, {"default": StreamApi(session, stream.url, "key", SECRET)}, 100)
        await questions.ask(AskedRing("default", SampleCall().cid))
        known = clock_differences.read_answer(await store.call(*clock_differences.read("default", *ALONE)))
        assert abs(known.applied_us + ahead_s * 1e6) < 5e6
        settings = web_settings("redis://", stream_api_secret=[SECRET], stream_api_url=stream.url)
        words = [found.sentence for found in [one async for one in stream_checks.findings(settings, store)]]
    side = "behind" if ahead_s > 0 else "ahead of"
    assert any(re.match(rf"Redis's clock is [56]\d+ s {side} Stream's: set both right", sentence) for sentence in words)


@about_one_server
async def test_a_difference_that_events_taught_is_reported(store):
    """Stream cannot be asked."""
    for command in clock_differences.write("default", ClockOffset(-600_000_000), *ALONE):
        await store.call(*command)
    settings = web_settings("redis://", stream_api_secret=[SECRET], stream_api_url="http://127.0.0.1:9")
    words = [found.sentence for found in [one async for one in stream_checks.findings(settings, store)]]
    assert any(sentence.startswith("Redis's clock is 600 s behind Stream's: set both right") for sentence in words)


@pytest.fixture
async def turned_worker(request, tmp_path, monkeypatch):
    """A Bellhop whose worker runs on a machine with a clock that is so many seconds ahead."""
    (tmp_path / "sitecustomize.py").write_text(TURNED_WORKER.format(seconds=request.param))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    async with Installation(tmp_path, {"MISSED_GRACE_S": "0.5", "STREAM_QUESTIONS_PER_S": "100"}) as installation:
        yield Flow(installation)


TURNED_WORKER = """
import sys, time
if sys.orig_argv[-1] == "worker":
    now, now_ns = time.time, time.time_ns
    time.time, time.time_ns = lambda: now() + {seconds}, lambda: now_ns() + {seconds} * 10**9
"""


@pytest.mark.parametrize("turned_worker", [-600, 600], indirect=True)
async def test_a_wrong_worker_clock_changes_nothing_on_the_trail(turned_worker):
    flow = turned_worker
    ben, jane = await flow.iphone("ben"), await flow.iphone("jane")  # Google accepts no credentials from the future
    call = flow.call(ben, jane)
    await flow.post(call.ring())
    await flow.rings(ben, jane)
    await flow.post(call.rejected(call.caller, "cancel"))
    assert await flow.outcomes(call) == {"ben": ["cancelled"], "jane": ["cancelled"]}
    await told_times(flow, call)
    await flow.until(lambda: '"clocks_apart"' in flow.installation.log("worker-1"), "a line about the clocks")


async def told_times(flow, call):
    """Check the times in the explanation of a call that began less than a minute ago, and is not told as late."""
    trail = await flow.trail(call)
    explanation = explain(call.cid, trail)
    (round_,) = explanation.rounds
    waits_s = {entry.sentence: entry.after_us / 1e6 for entry in round_.timeline}
    assert not {sentence: wait_s for sentence, wait_s in waits_s.items() if not -5 < wait_s < 60}
    told = [explanation.summary, *(verdict.verdict for verdict in round_.people), *waits_s]
    assert not [sentence for sentence in told if re.search(r"\d (min|h)\b", sentence)]
    redis_now = read_time(await flow.installation.store.call("TIME"))
    assert not [line for line in trail if not -60 < (line.at - redis_now) / 1e6 < 5], "Redis's clock stamps every line"
    rang_s = [attempt.after_us / 1e6 for user in round_.people for ring in user.deliveries for attempt in ring.attempts]
    if max(rang_s) < LATE_US / 1e6:  # not on a machine that is too busy
        assert Flag.LATE not in summarize(explanation).flags
        assert not [line for line in trail if line.what == "asked" and line.kind == "ring"], "no attempt was late"


async def publish(store, times):
    """Let a worker say how it is, so many times."""
    worker = asyncio.create_task(status.keep_publishing(store, "w-1", {}, []))
    for _ in range(times):
        await store.call("DEL", status_key("w-1"))
        async with asyncio.timeout(20):
            while not await store.call("EXISTS", status_key("w-1")):
                await asyncio.sleep(0.02)
    worker.cancel()
    await asyncio.wait([worker])
