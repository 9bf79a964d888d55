"""Users whose devices only Stream knows are rung, also if a worker dies, or Stream or Redis fails."""

import asyncio

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from bellhop.domain.device import Provider
from bellhop.domain.outcomes import AttemptResult, Outcome
from bellhop.queue.job_payloads import job
from bellhop.queue.names import RING_JOB
from bellhop.store import registry
from bellhop.store.keys import LOOKUP_BUDGET, lookup_key
from bellhop.store.steps import run_steps
from bellhop.stream_api import DeviceApps, Listing, StreamRefused
from tests.factories import a_device
from tests.trails import trail_of
from tests.worker.delivery.test_fence import ringing
from worker.delivery.device_lookup import LookupPolicy, StreamDeviceLookup
from worker.delivery.fan_out import DeliveryTools
from worker.delivery.provider_channel import ProviderChannel
from worker.delivery.token_pruning import TokenPruner
from worker.jobs import Jobs
from worker.queue.queue_worker import QueueWorker
from worker.queue_limits import JOBS_PER_CONCURRENCY

APPS = DeviceApps({}, {Provider.FCM: "calls"})


pytestmark = pytest.mark.usefixtures("live_workers")


class Stream:
    """Lists a phone for every user, after the errors that it was given. It answers while `answers` is set."""

    def __init__(self, *errors):
        self.errors, self.asked, self.answers = list(errors), asyncio.Event(), asyncio.Event()
        self.answers.set()

    async def devices(self, user_id):
        self.asked.set()
        await self.answers.wait()
        if self.errors:
            raise self.errors.pop(0)
        device = {"id": f"phone-of-{user_id}", "push_provider": "firebase", "created_at": 1, "user_id": user_id}
        return Listing([device], 0.0)


class Google:
    def __init__(self):
        self.rung, self.asked, self.answers = [], asyncio.Event(), asyncio.Event()
        self.answers.set()

    async def send(self, push, timeout_s=0, start_s=0):
        self.asked.set()
        await self.answers.wait()
        self.rung.append(push.device.token)
        return AttemptResult(Outcome.ACCEPTED)

    async def close(self): ...

    async def prepare(self, environment, within_s): ...


def worker(store, stream, google, name="w-1", per_s=100, policy=LookupPolicy()):  # noqa: B008
    channels = {(Provider.FCM, "calls"): ProviderChannel(google, "fcm calls")}
    lookup = StreamDeviceLookup(store, {"default": stream}, APPS, per_s, policy)
    return Jobs(DeliveryTools(store, name, channels, TokenPruner(store), lookup), 1.0)


async def test_two_rings_of_an_unknown_user_share_a_lookup(store, redis_url):
    stream, google = Stream(), Google()
    stream.answers.clear()
    one = ringing(redis_url, ["ben"])
    two = one.model_copy(update={"cid": "default:2", "caller_id": "tom"})
    rings = [asyncio.create_task(worker(store, stream, google).ring(ring.model_dump())) for ring in (one, two)]
    await stream.asked.wait()
    await asyncio.sleep(0.3)  # both have tried to claim the lookup
    stream.answers.set()
    await asyncio.gather(*rings)
    assert google.rung == ["phone-of-ben"] * 2


async def test_another_worker_takes_over_a_lookup(store, redis_url):
    policy = LookupPolicy(request_s=1)
    stream, google, ring = Stream(), Google(), ringing(redis_url, ["ben"])
    stream.answers.clear()
    dies = asyncio.create_task(worker(store, stream, google, policy=policy).ring(ring.model_dump()))
    await stream.asked.wait()
    dies.cancel()
    await asyncio.wait([dies])
    stream.answers.set()
    await worker(store, stream, google, "w-2", policy=policy).ring(ring.model_dump())
    assert google.rung == ["phone-of-ben"]


async def test_a_user_looked_up_a_moment_ago_is_known_now(store, redis_url):
    """Another ring's lookup ends after this one has read the registry, and before its claim."""
    stream = Stream()
    lookup = StreamDeviceLookup(store, {"default": stream}, APPS, 100)
    before = await lookup.devices_of("default", "ben", 5)
    assert [device.token for device in before] == ["phone-of-ben"]
    stream.answers.clear()  # Stream is not asked again
    assert await lookup.devices_of("default", "ben", 5) == before


class LosesAnAnswer:
    """A Redis whose answers to one script are lost once."""

    def __init__(self, store, script):
        self._store, self._lost = store, script

    def __getattr__(self, name):
        return getattr(self._store, name)

    async def together(self, *commands, in_order=True):
        answers = await self._store.together(*commands)
        if self._lost in {command[0] for command in commands}:
            self._lost = ""
            raise RedisConnectionError("the answer was lost")
        return answers


@pytest.mark.parametrize(
    "lost",
    ["registry/claim_device_lookup", "limits/spend_budget", "registry/take_token", "registry/store_device"],
)
async def test_a_lost_answer_of_redis_does_not_stop_a_lookup(store, redis_url, lost):
    google, ring = Google(), ringing(redis_url, ["ben"])
    lookup = StreamDeviceLookup(LosesAnAnswer(store, lost), {"default": Stream()}, APPS, 100)
    channels = {(Provider.FCM, "calls"): ProviderChannel(google, "fcm calls")}
    await Jobs(DeliveryTools(store, "w-1", channels, TokenPruner(store), lookup), 1.0).ring(ring.model_dump())
    assert google.rung == ["phone-of-ben"]


async def test_a_claim_that_the_budget_refuses_is_given_back(store):
    """Also if the worker dies in between: the claim then ends by itself, as after a death during the request."""

    def claim(run):
        return registry.claim_device_lookup("default", "ben", per_s=0.001, request_s=4, run=run)

    await run_steps(registry.claim_device_lookup("default", "sara", per_s=0.001, request_s=4, run="1"), store)
    assert await run_steps(claim("2"), store) == "over"
    assert await store.call("EXISTS", lookup_key("default", "ben")) == 0
    await store.together(*next(claim("dies")))
    assert await run_steps(claim("3"), store) == "under_way"
    assert 0 < await store.call("TTL", lookup_key("default", "ben")) <= 4
    await store.together(*next(claim("dies")), ("DEL", LOOKUP_BUDGET))
    assert await run_steps(claim("dies"), store) == "go"


@pytest.mark.parametrize("per_s", [1, 100])
async def test_a_lookup_is_repeated_when_stream_fails(store, redis_url, per_s):
    stream, google = Stream(StreamRefused("status 500"), TimeoutError()), Google()
    policy = LookupPolicy(pauses_s=(0.01, 0.02))
    await worker(store, stream, google, per_s=per_s, policy=policy).ring(ringing(redis_url, ["ben"]).model_dump())
    assert google.rung == ["phone-of-ben"]


@pytest.mark.parametrize(
    "errors",
    [[StreamRefused("status 403", permanent=True)], [StreamRefused("status 500")] * 999],
    ids=["refused permanently", "failing for as long as it rings"],
)
async def test_a_user_whose_lookup_fails_has_no_devices(store, redis_url, errors):
    stream, google, ring = Stream(*errors), Google(), ringing(redis_url, ["ben"], for_s=3)
    await worker(store, stream, google, policy=LookupPolicy(pauses_s=(0.2, 0.2))).ring(ring.model_dump())
    skipped = [line for line in await trail_of(store, ring.cid) if line.what == "skipped"]
    assert [(line.user, line.outcome) for line in skipped] == [("ben", "no_devices")]
    assert google.rung == []


async def enqueue(store, ring):
    fields = job(ring.cid, RING_JOB, ring)
    known = {"status": "queued", "origin": "rings", "data": fields["data"], "timeout": "300"}
    await store.call("HSET", f"rq:job:{ring.cid}", *(part for pair in known.items() for part in pair))
    await store.call("RPUSH", "rq:queue:rings", ring.cid)


async def test_rings_that_wait_for_stream_or_google_delay_no_other(store, redis_url):
    stream, google = Stream(), Google()
    stream.answers.clear()
    google.answers.clear()
    worker_ = QueueWorker(redis_url, {"rings": JOBS_PER_CONCURRENCY}, worker(store, stream, google).handlers)
    working = asyncio.create_task(worker_.run())
    jane = a_device("jane", token="phone-of-jane", registered_at=1)
    await run_steps(registry.register("default", jane), store)
    for number in range(JOBS_PER_CONCURRENCY - 1):
        await enqueue(store, ringing(redis_url, ["ben"]).model_copy(update={"cid": f"default:ben-{number}"}))
    await asyncio.wait_for(stream.asked.wait(), 20)
    await enqueue(store, ringing(redis_url, ["jane"]))
    await asyncio.wait_for(google.asked.wait(), 20)
    stream.answers.set()
    google.answers.set()
    worker_.stop()
    await working
    assert google.rung.count("phone-of-jane") == 1
