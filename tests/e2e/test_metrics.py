"""What Prometheus sees of a whole installation: two web processes and two workers behind one address."""

import asyncio
import re
import signal
import sys
import time

import pytest
import pytest_asyncio
from prometheus_client.parser import text_string_to_metric_families

from bellhop import __version__
from bellhop.domain.device import Kind, Provider
from bellhop.sandbox.apple_script import AppleReply
from bellhop.sandbox.installation import BUNDLE, PROJECT, Installation
from bellhop.sandbox.stream_webhooks import SampleCall, StreamStandIn

pytestmark = pytest.mark.asyncio(loop_scope="module")

TOKEN = "for-prometheus-alone"
SOON_S = 30
BEN, JANE, DEAD = "a1" * 32, "jane:pixel", "de" * 32
LONG_MS = 300_000
"""A ring of this length does not end, and causes no notice, while the tests run."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def installation(tmp_path_factory):
    settings = {"METRICS_TOKEN": TOKEN, "WEB_PROCESSES": "2", "MISSED_GRACE_S": "0"}
    settings |= {"MAIL_POLICY": "always", "MAIL_WINDOW_S": "0", "MAIL_STREAM_ADDRESSES": "true"}
    async with Installation(tmp_path_factory.mktemp("installation"), settings, workers=2) as installation:
        await installation.register("ben-osei", Provider.APNS, Kind.VOIP, BEN)
        await installation.register("jane-morel", Provider.FCM, Kind.ALERT, JANE)
        yield installation


async def get(installation, path="/metrics", **headers):
    # A connection of its own each time, so that any of the web processes may answer.
    async with installation.http.get(installation.url + path, headers={"Connection": "close", **headers}) as answer:
        return answer.status, await answer.text()


async def scrape(installation):
    status, text = await get(installation, Authorization=f"Bearer {TOKEN}")
    assert status == 200
    return Samples(text)


class Samples:
    def __init__(self, text):
        self.all = [sample for family in text_string_to_metric_families(text) for sample in family.samples]

    def __call__(self, name, **labels):
        """The sum of the samples of a name that have these labels."""
        return sum(
            sample.value
            for sample in self.all
            if sample.name == name and labels.items() <= sample.labels.items()
        )  # fmt: skip


async def until(installation, holds):
    give_up = time.monotonic() + SOON_S
    while not holds(samples := await scrape(installation)) and time.monotonic() < give_up:
        await asyncio.sleep(0.1)
    assert holds(samples), "\n".join(f"{s.name} {s.labels} {s.value}" for s in samples.all if s.value)
    return samples


async def test_without_the_token_there_is_nothing_to_see(installation):
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": TOKEN}, {"Authorization": "Bearer é"}):
        status, text = await get(installation, **headers)
        assert (status, "bellhop_" in text) == (401, False)


async def test_every_ring_is_counted_and_timed_once_by_all_processes(installation):
    before = await scrape(installation)
    for _ in range(20):
        await installation.stream.post(SampleCall(ring_ms=LONG_MS).ring())
    expected = [
        (20, "bellhop_webhooks_total", {"type": "call.ring", "verdict": "taken"}),
        (20, "bellhop_webhook_age_seconds_count", {"type": "call.ring"}),
        (20, "bellhop_intake_seconds_count", {}),
        (20, "bellhop_queue_wait_seconds_count", {"queue": "bellhop-rings"}),
        (20, "bellhop_pushes_total", {"outcome": "accepted", "provider": "apns", "app": BUNDLE}),
        (20, "bellhop_pushes_total", {"outcome": "accepted", "provider": "fcm", "app": PROJECT}),
        (20, "bellhop_provider_seconds_count", {"provider": "apns", "app": BUNDLE}),
        (40, "bellhop_delivery_seconds_count", {"kind": "ring"}),
        (40, "bellhop_delivery_seconds_bucket", {"le": "+Inf", "kind": "ring"}),
    ]
    # Each process tells what it counted once a second, in its own second.
    after = await until(
        installation,
        lambda now: (
            all(now(name, **labels) - before(name, **labels) >= count for count, name, labels in expected)
            and now("bellhop_fence_seconds_count") - before("bellhop_fence_seconds_count") >= 20
        ),
    )

    def grown(name, **labels):
        return after(name, **labels) - before(name, **labels)

    for count, name, labels in expected:
        assert grown(name, **labels) == count, (name, labels)
    # A ring takes milliseconds here, and cannot take longer than the test.
    total = grown("bellhop_delivery_seconds_sum", kind="ring")
    assert 0 < grown("bellhop_provider_seconds_sum") < total < 40 * SOON_S


async def test_every_web_process_shows_the_same_growing_counts(installation):
    await installation.stream.post(SampleCall(ring_ms=LONG_MS).ring())
    seen = [(await scrape(installation))("bellhop_webhooks_total") for _ in range(20)]
    assert seen == sorted(seen)


async def test_answers_of_providers_and_token_removals_are_counted(installation):
    await installation.register("dead-user", Provider.APNS, Kind.VOIP, DEAD)
    installation.apple.script(DEAD, AppleReply(410, "Unregistered", timestamp_ms=int(time.time() * 1000) + 60_000))
    await installation.stream.post(SampleCall(members=("dead-user", "phoneless"), ring_ms=LONG_MS).ring())
    labels = {"provider": "apns", "app": BUNDLE, "kind": "ring", "outcome": "token_dead"}
    expected = [
        ("bellhop_dead_tokens_total", {"done": "removed"}),
        ("bellhop_attempts_total", {"reason": "Unregistered"} | labels),
        ("bellhop_pushes_total", labels),
        ("bellhop_pushes_total", {"kind": "ring", "outcome": "no_devices", "provider": ""}),
    ]
    now = await until(installation, lambda now: all(now(name, **labels) for name, labels in expected))
    assert [now(name, **labels) for name, labels in expected] == [1] * len(expected)


async def test_refused_and_repeated_webhooks_are_counted_by_result(installation):
    event = SampleCall(ring_ms=LONG_MS).ring("nobody")
    for _ in range(3):
        await installation.stream.post(event, webhook_id="thrice")
    await StreamStandIn(installation.url, "demo-api-key", "wrong", installation.http).post(event)
    now = await until(
        installation,
        lambda now: (
            now("bellhop_webhooks_refused_total", reason="bad_signature")
            and now("bellhop_webhooks_total", verdict="already") >= 2
        ),
    )
    assert now("bellhop_webhooks_total", verdict="already") == 2


async def test_a_miss_seen_only_by_the_watchdog_counts_as_no_answer(installation):
    before = await scrape(installation)
    await installation.stream.post(SampleCall(ring_ms=5_000).ring("nobody", at=time.time() - 60))
    await until(
        installation,
        lambda now: (
            now("bellhop_settled_total", standing="no_answer") - before("bellhop_settled_total", standing="no_answer")
            == 1
        ),
    )


async def test_an_email_is_counted(installation):
    event = SampleCall(members=("mail-user",)).missed()
    event["members"][0]["user"]["custom"] = {"email": "mail-user@example.com"}
    await installation.stream.post(event)
    now = await until(installation, lambda now: now("bellhop_mail_total", outcome="mail_accepted"))
    assert now("bellhop_mail_total", outcome="mail_accepted") == 1


async def test_the_state_of_queues_workers_and_lanes_is_shown(installation):
    now = await until(installation, lambda now: now("bellhop_workers", queue="bellhop-rings") == 2)
    assert now("bellhop_workers", queue="bellhop-notices") == 2
    lanes = {s.labels["app"]: s.value for s in now.all if s.name == "bellhop_circuit_open"}
    assert lanes == {BUNDLE: 0, PROJECT: 0}
    assert {s.labels["state"] for s in now.all if s.name == "bellhop_queue_jobs"} == {
        "queued",
        "started",
        "scheduled",
        "failed",
    }


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells of processes")
async def test_the_processes_of_workers_are_shown(installation):
    now = await until(
        installation,
        lambda now: len({s.labels["worker"] for s in now.all if s.name == "process_resident_memory_bytes"}) == 2,
    )
    memory = [s.value for s in now.all if s.name == "process_resident_memory_bytes"]
    assert all(10e6 < rss < 1e9 for rss in memory)
    started = [s.value for s in now.all if s.name == "process_start_time_seconds"]
    assert all(0 <= time.time() - at < 3600 for at in started)
    assert [s.labels["version"] for s in now.all if s.name == "bellhop_build_info"] == [__version__]


async def test_counts_survive_the_restart_of_every_process(installation):
    before = await scrape(installation)
    await installation.stream.post(SampleCall(ring_ms=LONG_MS).ring())
    await until(installation, lambda now: now("bellhop_pushes_total", outcome="accepted") >= before("bellhop_pushes_total", outcome="accepted") + 2)  # fmt: skip # noqa: E501
    before = await scrape(installation)
    for name in ("worker-1", "worker-2", "web"):
        installation.stop(name)
    installation.start("web")
    installation.start("worker", "worker-1")
    installation.start("worker", "worker-2")
    await installation.ready()
    after = await scrape(installation)
    for name in ("bellhop_webhooks_total", "bellhop_pushes_total", "bellhop_delivery_seconds_count"):
        assert after(name) >= before(name) > 0


async def test_readyz_names_what_is_missing_in_sentences(installation):
    assert (await get(installation, "/readyz"))[0] == 200
    for name in ("worker-1", "worker-2"):
        installation.stop(name, signal.SIGKILL)
    queues = ("bellhop-rings", "bellhop-notices")
    missing = [f"No live worker serves the queue {queue}: start `bellhop worker`." for queue in queues]
    give_up = time.monotonic() + SOON_S
    status, text = await get(installation, "/readyz")
    while not all(sentence in text for sentence in missing):
        assert time.monotonic() < give_up, text
        await asyncio.sleep(0.1)
        status, text = await get(installation, "/readyz")
    assert status == 503
    assert (await get(installation, "/healthz"))[0] == 200
    now = await scrape(installation)
    workers = {s.labels["queue"]: s.value for s in now.all if s.name == "bellhop_workers"}
    assert (workers["bellhop-rings"], workers["bellhop-notices"]) == (0, 0)


async def test_readyz_warns_of_broken_credentials_named_in_the_log(installation):
    # Runs after the workers of the test before are gone.
    (installation.folder / "apns-key.p8").write_text(
        "-----BEGIN PRIVATE KEY-----\nnot a key\n-----END PRIVATE KEY-----\n"
    )
    installation.start("worker", "worker-3")
    assert await asyncio.to_thread(installation.processes.pop("worker-3").wait, 60) == 1
    status, text = await get(installation, "/readyz")
    assert status == 503
    assert "The last worker could not start: credentials do not load. See its log" in text
    assert str(installation.folder) not in text
    assert "ABC123DEFG" not in text
    assert re.search(r"the APNs key \w+ is not an ES256 private key", installation.log("worker-3"))
    assert "Traceback" not in installation.log("worker-3")
