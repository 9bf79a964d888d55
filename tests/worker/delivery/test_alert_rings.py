"""An iPhone that may not use CallKit is rung by an alert, which is repeated until the ring is over."""

import asyncio
import contextlib
import time
from dataclasses import replace

import pytest

from bellhop.clock import Micros, from_nanoseconds
from bellhop.domain.device import Kind, Provider, RingsBy
from bellhop.domain.outcomes import AttemptResult, Outcome
from bellhop.domain.push import PushKind
from bellhop.explain.explanation import explain
from bellhop.explain.repeats import joined
from bellhop.store import registry
from bellhop.store.keys import call_key, round_key
from bellhop.store.redis_clock import LEAD_VALID_S, RedisClock
from bellhop.store.steps import run_steps
from bellhop.trail import WebhookReceived
from tests.clocks import know_difference
from tests.factories import a_browser, a_queued_round, an_iphone
from tests.trails import trail_of
from tests.waiting import come_true
from worker.delivery.fan_out import DeliveryTools
from worker.delivery.provider_channel import ProviderChannel
from worker.delivery.retry_policy import RetryPolicy
from worker.delivery.ring_endings import RingEndings
from worker.delivery.token_pruning import TokenPruner
from worker.jobs import Jobs

pytestmark = pytest.mark.usefixtures("live_workers")

EVERY = Micros(120_000)
POLICY = RetryPolicy(admission_s=20.0)
"""On a busy machine, an admission may come late."""
ALERT = an_iphone(
    kind=Kind.ALERT, token="cd" * 32, hardware_id="phone-1", name="Ben's iPhone", rings=RingsBy.ALERT
)  # fmt: skip
VOIP = an_iphone(hardware_id="phone-1")


class Apple:
    """It answers with `outcomes` first, then accepts every push. It calls `then` before each answer."""

    def __init__(self, *outcomes, then=None):
        self.pushes, self._outcomes, self._then = [], [*outcomes], then

    async def send(self, push, timeout_s=0, start_s=0):
        self.pushes.append(push)
        if self._then is not None:
            await self._then(push)
        return AttemptResult(self._outcomes.pop(0) if self._outcomes else Outcome.ACCEPTED, 200)

    async def close(self): ...

    async def prepare(self, environment, within_s): ...

    @property
    def kinds(self):
        return [str(push.kind) for push in self.pushes]


async def register(store, *devices):
    for device in devices:
        await run_steps(registry.register("default", device), store)


def tools_of(store, apple, worker="w-1", every=EVERY, **changes):
    channels = {(Provider.APNS, "calls"): ProviderChannel(apple, "apns")}
    options = {"policy": POLICY, "alert_ring_every_us": every, **changes}
    return DeliveryTools(store, worker, channels, TokenPruner(store), **options)


def jobs(store, apple, worker="w-1", every=EVERY, **changes):
    return Jobs(tools_of(store, apple, worker, every, **changes), 0.0)


async def ring(store, apple, round_, worker="w-1", every=EVERY, **changes):
    for command in await jobs(store, apple, worker, every, **changes).ring(round_.model_dump()):
        await store.script(*command)


def over_at(store, round_, number, stamp):
    """End the call when Apple gets this push."""

    async def over(push):
        over.pushes += 1
        if over.pushes == number:
            await store.call("HSET", call_key("default", round_.cid), stamp, round_.started_at + 1)

    over.pushes = 0
    return over


async def test_an_alert_rings_and_is_repeated_until_the_deadline(store):
    await register(store, ALERT, VOIP)
    apple, round_ = Apple(), a_queued_round(for_s=4.0)
    await ring(store, apple, round_, ticket_secret=b"secret")
    assert apple.kinds == ["ring", *["alert_ring"] * (len(apple.kinds) - 1)]
    assert 4 <= len(apple.kinds) <= 34, "a busy machine sends fewer"
    assert {push.device.key for push in apple.pushes} == {ALERT.key}, "the VoIP token of the same phone is not used"
    first, *more = apple.pushes
    assert len({push.id for push in apple.pushes}) == len(apple.pushes)
    assert {push.collapse_id for push in apple.pushes} == {"missed:default:1"}
    assert {push.deadline for push in apple.pushes} == {round_.deadline}
    assert first.payload["aps"]["interruption-level"] == "time-sensitive"
    for push in more:
        assert push.payload["bellhop"].pop("sent_at") > first.payload["bellhop"]["sent_at"]
        assert push.payload["bellhop"] == {k: v for k, v in first.payload["bellhop"].items() if k != "sent_at"}
    trail = await trail_of(store, round_.cid)
    [skip] = [line for line in trail if line.what == "skipped"]
    assert (skip.device, skip.outcome) == (VOIP.key, "same_phone")
    assert [line.kind for line in trail if line.what == "attempted"] == apple.kinds
    opening = WebhookReceived(
        at=round_.started_at, type="call.ring", round=round_.started_at, users=("ben",), callers=("sara",)
    )
    found = explain(round_.cid, [opening, *trail]).rounds[0]
    assert f"Ben's iPhone was rung again by an alert, {len(more)} times, the last " in found.people[0].verdict
    # The last line may be that one more alert came too late.
    assert any(f" {len(more) - 1} more alerts, until " in entry.sentence for entry in joined(found.timeline))


@pytest.mark.parametrize("stamp", ["a:ben", "d:ben", "x:sara", "ended"])
async def test_no_alert_follows_the_end(store, stamp):
    await register(store, ALERT)
    round_ = a_queued_round(callers=("sara",))
    apple = Apple(then=over_at(store, round_, 2, stamp))
    await ring(store, apple, round_)
    assert apple.kinds == ["ring", "alert_ring"]
    ends = [line for line in await trail_of(store, round_.cid) if line.what == "finished"]
    assert not ends, "the trail has the reason already"


async def test_alerts_follow_a_first_one_whose_answers_are_lost(store):
    await register(store, ALERT)
    round_ = a_queued_round(callers=("sara",))
    apple = Apple(
        *[Outcome.UNKNOWN] * POLICY.most_unknown, then=over_at(store, round_, POLICY.most_unknown + 2, "a:ben")
    )
    await ring(store, apple, round_)
    assert apple.kinds == [*["ring"] * POLICY.most_unknown, "alert_ring", "alert_ring"]
    await RingEndings(tools_of(store, apple), round_).send()
    assert apple.kinds[-1] == "ring_over"


async def test_without_the_setting_the_alert_rings_once(store):
    await register(store, ALERT)
    apple = Apple()
    await ring(store, apple, a_queued_round(), every=Micros(0))
    assert apple.kinds == ["ring"]


async def test_a_test_ring_is_not_repeated(store):
    await register(store, ALERT)
    apple = Apple()
    await ring(store, apple, a_queued_round(test=True))
    assert apple.kinds == ["ring"]


@pytest.mark.parametrize(
    ("outcome", "more"), [(Outcome.THROTTLED, ["alert_ring", "alert_ring"]), (Outcome.TOKEN_DEAD, ["alert_ring"])]
)
async def test_a_refused_alert_ends_the_ring_if_the_token_is_dead(store, outcome, more):
    await register(store, ALERT)
    round_ = a_queued_round()
    apple = Apple(Outcome.ACCEPTED, outcome, then=over_at(store, round_, 3, "ended"))
    await ring(store, apple, round_)
    assert apple.kinds == ["ring", *more]


async def test_a_worker_that_takes_over_goes_on_with_the_alerts(store):
    await register(store, ALERT)
    round_ = a_queued_round()
    apple = Apple(then=over_at(store, round_, 4, "ended"))
    first = asyncio.create_task(ring(store, apple, round_))
    await come_true(lambda: len(apple.pushes) == 2)
    first.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await first
    await store.call("DEL", "bellhop:worker:w-1")
    await ring(store, apple, round_, worker="w-2")
    assert apple.kinds == ["ring", *["alert_ring"] * 3]
    fields = await store.call("HKEYS", round_key("default", round_.cid, round_.started_at))
    assert {f"s:alert_ring.{number}:{ALERT.key}".encode() for number in (1, 2, 3)} <= set(fields)


async def test_two_runs_of_a_job_send_each_alert_once(store):
    await register(store, ALERT)
    round_ = a_queued_round(for_s=0.7)
    apple = Apple()
    await asyncio.gather(*(ring(store, apple, round_, worker) for worker in ("w-1", "w-2")))
    assert len(apple.pushes) <= 6, "one rhythm, not two"
    assert len({push.id for push in apple.pushes}) == len(apple.pushes)


async def test_the_last_text_waits_for_the_alert_that_is_being_sent(store):
    """The call ends while Apple has not answered yet. The notice must not overtake the alert: it would be replaced."""
    await register(store, ALERT)
    round_ = a_queued_round(callers=("sara",))
    answer = asyncio.Event()

    async def end(push):
        if push.kind is PushKind.ALERT_RING:
            await store.call("HSET", call_key("default", round_.cid), "x:sara", round_.started_at + 1)
            await answer.wait()

    apple = Apple(then=end)
    ringing = asyncio.create_task(ring(store, apple, round_))
    await come_true(lambda: len(apple.pushes) == 2)
    notice = asyncio.create_task(jobs(store, apple).notice(round_.model_dump()))
    fenced = round_key("default", round_.cid, round_.started_at)
    await asyncio.sleep(0.15)
    assert apple.kinds == ["ring", "alert_ring"]
    assert not await store.call("HGET", fenced, f"s:missed:{ALERT.key}")
    answer.set()
    await asyncio.gather(ringing, notice)
    assert apple.kinds == ["ring", "alert_ring", "missed"]
    assert len({push.collapse_id for push in apple.pushes}) == 1


@pytest.mark.parametrize("ahead_s", [-65, 65])
async def test_clocks_apart_change_neither_alerts_nor_their_end(store, ahead_s):
    """Apple needs longer for its answers than a worker trusts the difference between the clocks that it has read."""
    await know_difference(store, ahead_s)
    await register(store, ALERT)
    round_ = a_queued_round(ago_s=ahead_s)

    async def slow(push):
        await asyncio.sleep(LEAD_VALID_S + 0.1)
        if push.kind is PushKind.ALERT_RING:
            await store.call("HSET", call_key("default", round_.cid), "a:ben", round_.started_at + 1)

    apple = Apple(then=slow)
    await ring(store, apple, round_)
    assert apple.kinds == ["ring", "alert_ring"]
    await RingEndings(tools_of(store, apple), round_).send()
    assert apple.kinds == ["ring", "alert_ring", "ring_over"]


async def test_a_browser_whose_time_is_over_keeps_no_alert_up(store):
    """The ring has reached its deadline. The browser needs no push any more, and the iPhone does."""
    browser = a_browser()
    await register(store, ALERT, browser)
    round_, apple = a_queued_round(for_s=30, ago_s=31), Apple()
    sent = [part for device in (ALERT, browser) for part in (f"s:ring:{device.key}", "sent")]
    await store.call("HSET", round_key("default", round_.cid, round_.started_at), *sent)
    await store.call("HSET", call_key("default", round_.cid), "a:ben", round_.started_at + 1)
    channels = {(device.provider, "calls"): ProviderChannel(apple, device.provider) for device in (ALERT, browser)}
    await RingEndings(replace(tools_of(store, apple), channels=channels), round_).send()
    assert [(str(push.kind), push.device.key) for push in apple.pushes] == [("ring_over", ALERT.key)]


@pytest.mark.parametrize("ahead_s", [-60, 60])
async def test_alerts_keep_their_rhythm_by_the_clock_of_their_server(store, ahead_s):
    """The worker's clock is that of another node of a cluster, or of the Redis before a failover."""
    await register(store, ALERT)
    clock, now_s = RedisClock(), time.monotonic()
    clock.note(now_s, now_s, Micros(from_nanoseconds(time.time_ns()) + ahead_s * 1_000_000))
    round_ = a_queued_round()
    apple = Apple(then=over_at(store, round_, 2, "ended"))
    async with asyncio.timeout(20):
        await ring(store, apple, round_, clock=clock)
    assert apple.kinds == ["ring", "alert_ring"]
    patient = Apple()
    ringing = asyncio.create_task(
        ring(store, patient, a_queued_round(cid="default:2"), every=Micros(20_000_000), clock=clock)
    )
    await asyncio.sleep(0.5)
    assert patient.kinds == ["ring"]
    ringing.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await ringing
