"""Jobs that run again go on where they were; phones with several tokens; providers that are down, and who waits."""

import asyncio
import contextlib
import time
from dataclasses import replace

import aiohttp
import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from bellhop.clock import Micros
from bellhop.domain.device import Kind, Provider
from bellhop.domain.outcomes import AttemptResult, Outcome
from bellhop.domain.own_pushes import PushScope, PushTemplate, PushTemplates
from bellhop.domain.push import PushKind
from bellhop.domain.text_template import TextTemplate
from bellhop.explain.explanation import explain
from bellhop.queue.job_payloads import CallRef, Cause, job, started_round
from bellhop.queue.names import MAIL_JOB, NOTICE_JOB, NOTIFY_JOB, RING_JOB, SETTLE_JOB
from bellhop.queue.rq_job import JobError
from bellhop.sandbox.stream_rest import StreamApiStandIn
from bellhop.sandbox.stream_webhooks import SampleCall
from bellhop.store import registry
from bellhop.store.keys import call_key, round_key, trail_key
from bellhop.store.phones import note_receipt
from bellhop.store.steps import run_steps
from bellhop.stream_api import StreamApi
from bellhop.telemetry import metrics
from bellhop.telemetry.metrics import Tally
from bellhop.trail import PushReduced
from tests.factories import a_device, a_queued_round
from tests.trails import trail_of
from worker.delivery.fan_out import DeliveryTools
from worker.delivery.provider_channel import ProviderChannel
from worker.delivery.retry_policy import RetryPolicy
from worker.delivery.token_pruning import TokenPruner
from worker.jobs import Jobs
from worker.queue.queue_worker import QueueWorker
from worker.queue.rq_adapter import unique_worker_name
from worker.queue_limits import JOBS_PER_CONCURRENCY

pytestmark = pytest.mark.usefixtures("live_workers")


class Provided:
    """A provider that gives one answer, and the e-mails that are offered behind the push."""

    def __init__(self, outcome):
        self.outcome, self.asked, self.offers = outcome, 0, []

    async def send(self, push, timeout_s=0, start_s=0):
        self.asked += 1
        return AttemptResult(self.outcome)

    async def close(self): ...

    async def prepare(self, environment, within_s): ...

    async def add_missed_call(self, round_, *, pushed):
        self.offers.append(pushed)


@pytest.mark.parametrize(("outcome", "asked", "pushed"), [(Outcome.ACCEPTED, 1, True), (Outcome.BAD_REQUEST, 2, False)])
async def test_a_repeated_notice_knows_whether_a_push_was_accepted(store, outcome, asked, pushed):
    await phone(store, registered_at=1)
    missed = a_queued_round(ago_s=60, for_s=30)
    provided = Provided(outcome)
    channels = {(Provider.FCM, "calls"): ProviderChannel(provided, "fcm calls")}
    for worker in ("w-1", "w-2"):
        notice = Jobs(DeliveryTools(store, worker, channels, TokenPruner(store)), 1.0, provided).notice
        for command in await notice(missed.model_dump()):
            await store.script(*command)
    assert (provided.asked, provided.offers) == (asked, [pushed, pushed])


@pytest.mark.parametrize(
    ("phones", "unpushed", "answer", "first", "then"),
    [
        ("android", True, Outcome.ACCEPTED, [], [True]),
        ("android", True, Outcome.BAD_REQUEST, [], [False]),
        ("android", False, Outcome.ACCEPTED, [False], []),
        ("both", True, Outcome.ACCEPTED, [True], []),
        ("both", False, Outcome.ACCEPTED, [True], []),
        ("iphone", True, Outcome.ACCEPTED, [True], []),
        ("none", True, Outcome.ACCEPTED, [False], []),
    ],
)
async def test_one_of_a_notices_two_jobs_decides_about_the_e_mail(store, phones, unpushed, answer, first, then):
    """The first job must not end a ring that goes on; the second one sends what the first had to leave."""
    if phones in ("android", "both"):
        await phone(store, token="pixel")
    if phones in ("iphone", "both"):
        iphone = a_device("ben", provider=Provider.APNS, kind=Kind.ALERT, token="ab" * 32, app="calls")
        await run_steps(registry.register("default", iphone), store)
    provided = Provided(answer)
    provided.depends_on_pushes = unpushed
    channels = {(provider, "calls"): ProviderChannel(provided, f"{provider} calls") for provider in Provider}
    tools = DeliveryTools(store, "w-1", channels, TokenPruner(store))
    missed = a_queued_round(ago_s=20, for_s=30)
    for flag, expected in (("still_rings", first), ("left_over", then)):
        provided.offers, provided.asked = [], 0
        for command in await Jobs(tools, 1.0, provided).notice(missed.model_dump() | {flag: True}):
            await store.script(*command)
        assert provided.offers == expected
        assert provided.asked == int(phones in (("iphone", "both") if flag == "still_rings" else ("android", "both")))


DOWN = AttemptResult(Outcome.UNAVAILABLE, 503, retry_after_s=10)


class Fixed:
    """A provider that gives these answers, one after the other; then the last."""

    def __init__(self, *answers):
        self.answers, self.sent = [AttemptResult(one) if isinstance(one, Outcome) else one for one in answers], []

    async def send(self, push, timeout_s=0, start_s=0):
        self.sent.append(push.device.token)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    async def close(self): ...

    async def prepare(self, environment, within_s): ...


class Hanging(Fixed):
    """A provider that takes pushes and says nothing."""

    async def send(self, push, timeout_s=0, start_s=0):
        self.sent.append(push.device.token)
        await asyncio.Event().wait()


async def phone(store, user="ben", token="token", app="calls", provider=Provider.FCM, **facts):
    device = a_device(user, provider=provider, kind=Kind.VOIP, token=token, app=app, **facts)
    await run_steps(registry.register("default", device), store)
    return device


DEFAULT_POLICY = RetryPolicy(admission_s=20.0)
"""On a busy machine, an admission may come late."""


def jobs(store, policy=DEFAULT_POLICY, **senders):
    channels = {(Provider.FCM, app): ProviderChannel(sender, app) for app, sender in senders.items()}
    return Jobs(DeliveryTools(store, "w-1", channels, TokenPruner(store), policy=policy), 1.0)


@pytest.mark.parametrize("first", [Outcome.TOKEN_DEAD, Outcome.BAD_TOKEN, Outcome.WRONG_APP, Outcome.NO_APNS_KEY, None])
async def test_an_older_token_of_the_phone_is_used_if_the_newest_fails(store, first):
    good, beta = Fixed(Outcome.ACCEPTED), Fixed(first or Outcome.ACCEPTED)
    await phone(store, token="old", hardware_id="the phone", registered_at=1)
    await phone(store, token="new", hardware_id="the phone", registered_at=2, app="beta")
    await jobs(store, calls=good, **({"beta": beta} if first else {})).ring(a_queued_round().model_dump())
    assert good.sent == ["old"]


async def test_the_trail_says_what_of_the_teams_a_push_lacks(store):
    await phone(store)
    data = {key: TextTemplate("{{ call.name }}" * 4, ["call.name"]) for key in "abcdef"}
    failing = {"title": {"": TextTemplate("{{ 'x' in 7 }}", [])}}
    templates = PushTemplates({PushScope(PushKind.RING, Provider.FCM): PushTemplate(failing, data)})
    channels = {(Provider.FCM, "calls"): ProviderChannel(Fixed(Outcome.ACCEPTED), "fcm calls")}
    tools = DeliveryTools(store, "w-1", channels, TokenPruner(store), templates=templates)
    round_ = a_queued_round(call_name="n" * 255)
    for command in await Jobs(tools, 1.0).ring(round_.model_dump()):
        await store.script(*command)
    trail = await trail_of(store, "default:1")
    [reduced] = [line for line in trail if isinstance(line, PushReduced)]
    assert (reduced.user, reduced.kind, reduced.detail) == ("ben", "ring", "title, f, e, d")
    assert (
        "went without a part of your own: title, f, e, d" in explain("default:1", trail).rounds[0].timeline[-1].sentence
    )


async def test_a_phone_whose_newest_token_takes_the_push_rings_once(store):
    sender = Fixed(Outcome.ACCEPTED)
    await phone(store, token="old", hardware_id="the phone", registered_at=1)
    await phone(store, token="new", hardware_id="the phone", registered_at=2)
    await jobs(store, calls=sender).ring(a_queued_round().model_dump())
    assert sender.sent == ["new"]


async def test_a_worker_whose_clock_is_ahead_rings_all_the_same(store, monkeypatch):
    sender, round_ = Fixed(Outcome.ACCEPTED), a_queued_round()
    await phone(store)
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 40)
    for command in await jobs(store, calls=sender).ring(round_.model_dump()):
        await store.script(*command)
    assert sender.sent == ["token"]
    told = [(line.what, getattr(line, "outcome", None)) for line in await trail_of(store, "default:1")]
    assert ("attempted", "accepted") in told


async def test_a_ring_that_is_handed_back_remembers_whom_it_rang(store):
    """Cancelled while one phone is still being tried: the other has been rung, and is not again."""
    sender = Fixed(Outcome.ACCEPTED, DOWN)
    for number in (1, 2):
        await phone(store, token=f"token-{number}", registered_at=number)
    round_ = a_queued_round()
    ring = asyncio.create_task(jobs(store, calls=sender).ring(round_.model_dump()))
    while len(sender.sent) < 2:
        await asyncio.sleep(0.01)
    ring.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await ring
    first, again = sender.sent[0], Fixed(Outcome.ACCEPTED)
    await jobs(store, calls=again).ring(round_.model_dump())
    assert again.sent == [token for token in ("token-1", "token-2") if token != first]


async def test_a_failed_notice_is_retried_only_for_devices_without_it(store):
    policy = replace(DEFAULT_POLICY, notice_window_s=5.0)
    sender = Fixed(Outcome.ACCEPTED, DOWN)
    for number in (1, 2):
        await phone(store, token=f"token-{number}", registered_at=number)
    round_ = a_queued_round(ago_s=60)
    with pytest.raises(JobError, match="tried again"):
        await jobs(store, policy, calls=sender).notice(round_.model_dump())
    first, again = sender.sent[0], Fixed(Outcome.ACCEPTED)
    await jobs(store, calls=again).notice(round_.model_dump())
    assert again.sent == [token for token in ("token-1", "token-2") if token != first]


async def test_a_notice_that_may_have_arrived_is_not_retried(store):
    sender = Fixed(Outcome.UNKNOWN, DOWN)
    await phone(store)
    await jobs(store, replace(DEFAULT_POLICY, notice_window_s=8.0), calls=sender).notice(
        a_queued_round(ago_s=60).model_dump()
    )
    assert sender.sent == ["token", "token"]


async def test_the_trail_has_a_push_before_its_e_mail_is_considered(store):
    """Otherwise a worker that dies in between would push a second time."""
    await phone(store)
    on_trail = []

    class Digest(Provided):
        async def add_missed_call(self, round_, *, pushed):
            on_trail.extend(milestone.what for milestone in await trail_of(store, round_.cid))

    sender = Digest(Outcome.ACCEPTED)
    channels = {(Provider.FCM, "calls"): ProviderChannel(sender, "fcm calls")}
    tools = DeliveryTools(store, "w-1", channels, TokenPruner(store), policy=DEFAULT_POLICY)
    await Jobs(tools, 1.0, sender).notice(a_queued_round(ago_s=60).model_dump())
    assert on_trail == ["attempted"]


async def test_a_notice_that_fails_has_its_end_on_the_trail(store):
    await phone(store)
    round_ = a_queued_round(ago_s=60)
    with pytest.raises(JobError):
        await jobs(store, replace(DEFAULT_POLICY, notice_window_s=5.0), calls=Fixed(DOWN)).notice(round_.model_dump())
    assert [milestone.what for milestone in await trail_of(store, round_.cid)] == ["attempted", "finished"]


async def test_a_job_that_waits_for_redis_counts_as_picked_up_once(store, monkeypatch):
    monkeypatch.setattr(metrics, "TALLY", Tally())
    away = [RedisConnectionError(), RedisConnectionError()]

    together = store.together

    async def away_at_first(*commands, in_order=True):
        if away:
            raise away.pop()
        return await together(*commands, in_order=in_order)

    monkeypatch.setattr(store, "together", away_at_first)
    ring = jobs(store, calls=Fixed(Outcome.ACCEPTED)).handlers[RING_JOB]
    payload = a_queued_round(queued_at=time.time_ns() // 1000).model_dump()
    await ring(payload)
    _, _, args = metrics.TALLY.flush()
    counted = {
        sample: int(count) for sample, count in zip(args[3::2], args[4::2], strict=True) if "queue_wait" in sample
    }
    assert not away
    assert sum(count for sample, count in counted.items() if '"sum"' not in sample) == 1


@pytest.mark.parametrize("name", [NOTICE_JOB, NOTIFY_JOB, MAIL_JOB])
async def test_jobs_that_are_retried_carry_their_retries_for_rq(name):
    assert job("1", name, a_queued_round())["retries_left"] == "3"
    assert "retries_left" not in job("1", RING_JOB, a_queued_round())


@contextlib.asynccontextmanager
async def working(store, redis_url, queue, after_us=Micros(0), **senders):
    """A worker with a concurrency of 1, as worker/queue_limits.py counts it; yields what queues a job.

    `after_us`: when it rings a silent phone again.
    """
    name = unique_worker_name("w")
    channels = {
        (Provider.FCM if app == "google" else Provider.APNS, "calls"): ProviderChannel(sender, app)
        for app, sender in senders.items()
    }
    tools = DeliveryTools(store, name, channels, TokenPruner(store), second_way_after_us=after_us)
    handlers = Jobs(tools, 0.0).handlers
    worker = QueueWorker(redis_url, {queue: JOBS_PER_CONCURRENCY}, handlers, name=name)
    running = asyncio.create_task(worker.run())

    async def enqueue(name, payload):
        fields = job(f"{name.rpartition('.')[2]}-{time.time_ns()}", name, payload)
        known = {"status": "queued", "origin": queue, "data": fields["data"], "timeout": "300"}
        await store.call("HSET", f"rq:job:{fields['id']}", *(part for pair in known.items() for part in pair))
        await store.call("RPUSH", f"rq:queue:{queue}", fields["id"])

    try:
        yield enqueue
    finally:
        worker.stop()
        worker.stop()
        await running


async def eventually(look, seconds=20):
    async with asyncio.timeout(seconds):
        while not await look():
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("google", [Fixed(DOWN), Hanging(DOWN)], ids=["down", "hanging"])
async def test_rings_for_iphones_do_not_wait_while_google_fails(store, redis_url, google):
    apple = Fixed(Outcome.ACCEPTED)
    await phone(store, "ben")
    await phone(store, "jane", "ab" * 32, provider=Provider.APNS)
    async with working(store, redis_url, "rings", apple=apple, google=google) as enqueue:
        for number in range(JOBS_PER_CONCURRENCY - 1):
            await enqueue(RING_JOB, a_queued_round("ben", cid=f"default:{number}", for_s=170))

        async def all_tried():
            return len(google.sent) >= JOBS_PER_CONCURRENCY - 1

        await eventually(all_tried)
        await enqueue(RING_JOB, a_queued_round("jane", cid="default:jane", for_s=170))

        async def rang():
            return apple.sent

        await eventually(rang)


async def test_a_hanging_provider_fills_memory_only_to_the_limit(store, redis_url):
    google = Hanging(DOWN)
    await phone(store, "ben")
    async with working(store, redis_url, "rings", google=google) as enqueue:
        for number in range(JOBS_PER_CONCURRENCY + 1):
            await enqueue(RING_JOB, a_queued_round("ben", cid=f"default:{number}", for_s=170))

        async def full():
            return len(google.sent) == JOBS_PER_CONCURRENCY

        await eventually(full)
        await asyncio.sleep(0.3)
        assert len(google.sent) == JOBS_PER_CONCURRENCY
        assert await store.call("LLEN", "rq:queue:rings") == 1


async def test_settling_does_not_wait_behind_notices_that_fail(store, redis_url):
    google, settled = Fixed(DOWN), a_queued_round("ben", cid="default:settled", for_s=5, ago_s=60)
    await phone(store, "ben")
    key = round_key("default", settled.cid, settled.started_at)
    await store.call("HSET", call_key("default", settled.cid), f"r:{settled.started_at}", "s-1")
    await store.call("HSET", key, "facts", settled.model_dump_json(), "u:ben", settled.recipients[0].model_dump_json())
    async with working(store, redis_url, "notices", google=google) as enqueue:
        for number in range(4):
            await enqueue(NOTICE_JOB, a_queued_round("ben", cid=f"default:{number}"))

        async def all_tried():
            return len(google.sent) == 4

        await eventually(all_tried)
        await enqueue(SETTLE_JOB, CallRef(tenant="default", cid=settled.cid))

        async def has_outcome():
            return await store.call("HGET", key, "o:ben") == b"no_answer"

        await eventually(has_outcome)


async def test_a_call_that_began_is_told_to_the_members_at_stream(store):
    call = SampleCall(caller="sara", members=("sara", "ben", "jane", "eva"))
    call.joined("ben")
    for user in ("sara", "ben", "jane"):
        await phone(store, user, token=f"token-{user}")
    sender = Fixed(Outcome.ACCEPTED)
    round_ = a_queued_round(cid=call.cid, recipients=(), for_s=3600)
    payload = started_round(round_, Cause(), PushKind.LIVE_STARTED).model_dump()
    async with StreamApiStandIn("key", "secret") as stream, aiohttp.ClientSession() as session:
        stream.add_call(call)
        channels = {(Provider.FCM, "calls"): ProviderChannel(sender, "calls")}
        apps = {"default": StreamApi(session, stream.url, "key", "secret")}
        notify = Jobs(DeliveryTools(store, "w-1", channels, TokenPruner(store), stream_apis=apps), 1.0).notify
        stream.question_status = 500
        with pytest.raises(JobError, match="who the call's members are"):
            await notify(payload)
        assert not await store.call("EXISTS", trail_key("default", call.cid)), "it writes to no trail that is gone"
        stream.question_status = 0
        for _ in range(2):
            for command in await notify(payload):
                await store.script(*command)
    assert sender.sent == ["token-jane"]
    [round_log] = explain(call.cid, await trail_of(store, call.cid)).rounds
    assert (round_log.kind, {person.user for person in round_log.people}) == ("live_started", {"jane", "eva"})


async def test_rings_that_wait_for_receipts_hold_up_no_other(store, redis_url):
    """More rings wait than the worker has places, and each phone rings at once."""
    google = Fixed(Outcome.ACCEPTED)
    pixel = await phone(store, "ben")
    await store.script(*note_receipt("default", "ben", pixel.key, 5_000, round_started_at=1, event="rang"))
    rings = JOBS_PER_CONCURRENCY + 3
    async with working(store, redis_url, "rings", Micros(100_000_000), google=google) as enqueue:
        for number in range(rings):
            await enqueue(RING_JOB, a_queued_round("ben", cid=f"default:{number}", for_s=170))

        async def all_rang():
            return len(google.sent) == rings

        await eventually(all_rang)
    assert await store.call("LLEN", "rq:queue:rings") == rings, "a worker that stops gives them back"
