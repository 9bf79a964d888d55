"""Bellhop rings a phone a second time if it sends no receipt for this ring, but has sent receipts for earlier rings."""

import asyncio
import contextlib

import pytest

from bellhop.clock import Micros, Seconds, micros
from bellhop.domain.device import Kind, Provider
from bellhop.domain.outcomes import AttemptResult, Outcome
from bellhop.domain.phone_report import PhoneEvent
from bellhop.domain.ticket import Ticket
from bellhop.explain.explanation import explain
from bellhop.store import registry
from bellhop.store.call_scripts import record_receipt
from bellhop.store.keys import call_key, round_key, trail_key
from bellhop.store.phones import note_receipt
from bellhop.store.redis_clock import LEAD_VALID_S
from bellhop.store.steps import run_steps
from bellhop.trail import PhoneRang, SecondRingDue, WebhookReceived, encode
from tests.clocks import know_difference
from tests.factories import a_device, a_queued_round, an_iphone
from tests.trails import trail_of
from tests.waiting import come_true
from worker.delivery.fan_out import DeliveryTools
from worker.delivery.provider_channel import ProviderChannel
from worker.delivery.token_pruning import TokenPruner
from worker.jobs import Jobs

pytestmark = pytest.mark.usefixtures("live_workers")

SOON = Micros(60_000)
VOIP = an_iphone(hardware_id="phone-1", name="Ben's iPhone")
ALERT = an_iphone(kind=Kind.ALERT, token="cd" * 32, hardware_id="phone-1", name="Ben's iPhone")
ANDROID = a_device(name="Ben's Pixel")


class Phones:
    """Both providers: they accept every push, and do what `then` says."""

    def __init__(self, then=None):
        self.pushes, self._then = [], then

    async def send(self, push, timeout_s=0, start_s=0):
        self.pushes.append(push)
        if self._then is not None:
            await self._then(push)
        return AttemptResult(Outcome.ACCEPTED, 200)

    async def close(self): ...

    async def prepare(self, environment, within_s): ...

    @property
    def rung(self):
        return [(str(push.kind), push.device.key) for push in self.pushes]


async def known(store, *devices, reporting=True):
    for device in devices:
        await run_steps(registry.register("default", device), store)
        if reporting:
            await store.script(*note_receipt("default", "ben", device.key, 5_000, round_started_at=1, event="rang"))


async def ring(store, phones, round_, worker="w-1", after_us=SOON, **changes):
    channels = {(provider, "calls"): ProviderChannel(phones, provider) for provider in Provider}
    tools = DeliveryTools(
        store, worker, channels, TokenPruner(store), ticket_secret=b"secret", second_way_after_us=after_us, **changes
    )
    for command in await Jobs(tools, 0.0).ring(round_.model_dump()):
        await store.script(*command)


async def receipt(store, round_, device, event=PhoneEvent.RANG):
    ticket = Ticket("default", round_.cid, round_.started_at, device.provider, device.key)
    await store.script(*record_receipt(ticket, event, "[2]", round_.started_at))


async def test_a_silent_iphone_gets_an_alert_on_its_other_token(store):
    await known(store, VOIP, ALERT)
    phones, round_ = Phones(), a_queued_round()
    await ring(store, phones, round_)
    assert phones.rung == [("ring", VOIP.key), ("second_ring", ALERT.key)]
    first, second = phones.pushes
    assert second.payload["aps"]["interruption-level"] == "time-sensitive"
    assert second.payload["bellhop"]["receipt"] != first.payload["bellhop"]["receipt"]
    assert {**second.payload["stream"]} == {**first.payload["stream"]}


async def test_a_silent_android_phone_gets_the_ring_again(store):
    await known(store, ANDROID)
    phones = Phones()
    await ring(store, phones, a_queued_round())
    first, second = phones.pushes
    assert phones.rung == [("ring", ANDROID.key), ("second_ring", ANDROID.key)]
    assert second.payload | {"sent_at": ""} == first.payload | {"sent_at": ""}
    assert second.id != first.id


@pytest.mark.parametrize("reported_by", [VOIP, ALERT])
async def test_a_phone_that_reports_is_not_rung_again(store, reported_by):
    await known(store, VOIP, ALERT)
    round_ = a_queued_round()

    async def report(push):
        await receipt(store, round_, reported_by)

    phones = Phones(report)
    await ring(store, phones, round_)
    assert phones.rung == [("ring", VOIP.key)]


async def test_a_phone_that_never_sent_a_receipt_is_not_waited_for(store):
    await known(store, VOIP, ALERT, ANDROID, reporting=False)
    phones = Phones()
    async with asyncio.timeout(20):
        await ring(store, phones, a_queued_round(), after_us=Micros(25_000_000))
    assert sorted(phones.rung) == sorted([("ring", VOIP.key), ("ring", ANDROID.key)])


@pytest.mark.parametrize("stamp", ["a:ben", "d:ben", "x:sara", "ended"])
async def test_a_call_that_is_over_rings_no_phone_again(store, stamp):
    await known(store, VOIP, ALERT)
    round_ = a_queued_round(callers=("sara",))

    async def over(push):
        await store.call("HSET", call_key("default", round_.cid), stamp, round_.started_at + 1)

    phones = Phones(over)
    await ring(store, phones, round_)
    assert phones.rung == [("ring", VOIP.key)]
    assert not [line for line in await trail_of(store, round_.cid) if getattr(line, "kind", "") == "second_ring"]


async def test_a_phone_is_not_rung_again_when_the_time_is_over(store):
    await known(store, VOIP, ALERT)
    phones = Phones()
    async with asyncio.timeout(20):
        await ring(store, phones, a_queued_round(for_s=3), after_us=Micros(3_500_000))
    assert phones.rung == [("ring", VOIP.key)]


async def test_a_phone_that_left_its_user_is_not_rung_again(store):
    await known(store, ANDROID)

    async def sign_out(push):
        await run_steps(registry.remove("default", ANDROID), store)

    phones = Phones(sign_out)
    await ring(store, phones, a_queued_round())
    assert phones.rung == [("ring", ANDROID.key)]


async def test_a_job_that_runs_again_rings_a_second_time_once(store):
    """A worker dies while it waits; another one takes the job over. A third run comes when all is done."""
    await known(store, VOIP, ALERT)
    phones, round_ = Phones(), a_queued_round()
    first = asyncio.create_task(ring(store, phones, round_, after_us=Micros(20_000_000)))
    await come_true(lambda: phones.pushes)
    first.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await first
    await store.call("DEL", "bellhop:worker:w-1")
    for _ in range(2):
        await ring(store, phones, round_, worker="w-2")
    assert phones.rung == [("ring", VOIP.key), ("second_ring", ALERT.key)]


async def test_two_runs_of_a_job_ring_a_phone_again_once(store):
    await known(store, ANDROID)
    phones, round_ = Phones(), a_queued_round()
    await asyncio.gather(*(ring(store, phones, round_, worker) for worker in ("w-1", "w-2")))
    assert phones.rung == [("ring", ANDROID.key), ("second_ring", ANDROID.key)]


async def test_the_explanation_says_why_a_phone_was_rung_again(store):
    await known(store, VOIP, ALERT)
    round_ = a_queued_round()

    async def report(push):
        if push.kind == "second_ring":
            await receipt(store, round_, ALERT)
            line = PhoneRang(at=Micros(round_.started_at + 9), round=round_.started_at, device=ALERT.key)
            await store.call("RPUSH", trail_key("default", round_.cid), encode(line))

    await ring(store, Phones(report), round_)
    opening = WebhookReceived(
        at=round_.started_at, type="call.ring", round=round_.started_at, users=("ben",), callers=("sara",)
    )
    trail = await trail_of(store, round_.cid)
    [waited_s] = [line.detail for line in trail if isinstance(line, SecondRingDue)]
    found = explain(round_.cid, [opening, *trail]).rounds[0]
    sentences = [entry.sentence for entry in found.timeline]
    assert f"Ben's iPhone sent no receipt within {waited_s} s, so Bellhop rings it again by an alert." in sentences
    [ben] = found.people
    second = ben.verdict.partition(". ")[2]
    assert second.startswith("Ben's iPhone was rung again by an alert ")
    assert second.endswith(f", because the phone did not report within {waited_s} s, and it reported that it rang.")


async def test_a_receipt_between_two_attempts_ends_the_second_ring(store):
    """The provider fails the first attempt of the second ring; the fence is asked again before the next one."""
    await known(store, ANDROID)
    round_ = a_queued_round()

    class Failing(Phones):
        async def send(self, push, timeout_s=0, start_s=0):
            await super().send(push)
            if push.kind == "ring":
                return AttemptResult(Outcome.ACCEPTED, 200)
            await receipt(store, round_, ANDROID)
            return AttemptResult(Outcome.UNSENT)

    phones = Failing()
    await ring(store, phones, round_)
    assert phones.rung == [("ring", ANDROID.key), ("second_ring", ANDROID.key)]
    ends = [line.outcome for line in await trail_of(store, round_.cid) if line.what == "finished"]
    assert ends == ["reported"]


@pytest.mark.parametrize("event", [PhoneEvent.NOT_SHOWN, PhoneEvent.DISMISSED, PhoneEvent.ANSWERED_ELSEWHERE])
async def test_any_report_of_a_phone_counts_as_its_receipt(store, event):
    await known(store, ANDROID)
    round_ = a_queued_round()
    opened = round_.as_json(recipients=())
    await store.call("HSET", round_key("default", round_.cid, round_.started_at), "facts", opened)

    async def report(push):
        await receipt(store, round_, ANDROID, event)

    phones = Phones(report)
    await ring(store, phones, round_)
    assert phones.rung == [("ring", ANDROID.key)]


@pytest.mark.parametrize("ahead_s", [-65, 65])
async def test_clocks_apart_change_nothing_for_a_silent_phone(store, ahead_s):
    await know_difference(store, ahead_s)
    await known(store, ANDROID)
    phones = Phones()
    await ring(store, phones, a_queued_round(ago_s=ahead_s), after_us=micros(Seconds(LEAD_VALID_S + 0.1)))
    assert phones.rung == [("ring", ANDROID.key), ("second_ring", ANDROID.key)]


async def test_a_provider_that_hangs_holds_up_no_other_phone(store):
    """Google does not answer the second push to one phone. Meanwhile another phone is due."""
    await known(store, VOIP, ALERT, ANDROID)
    hangs, is_over = asyncio.Event(), asyncio.Event()

    async def answer_in_turn(push):
        if push.kind == "ring" and push.device == VOIP:
            await hangs.wait()  # so this phone is due later than the other one
        elif push.kind == "second_ring" and push.device == ANDROID:
            hangs.set()
            await is_over.wait()
        elif push.kind == "second_ring":
            is_over.set()

    phones = Phones(answer_in_turn)
    async with asyncio.timeout(25):
        await ring(store, phones, a_queued_round())
    assert phones.rung[-1] == ("second_ring", ALERT.key)
