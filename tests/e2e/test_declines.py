"""A phone declines with the ticket of its push: it counts at once, stops the user's phones, and reaches Stream once."""

import asyncio
import signal

import pytest
import pytest_asyncio

from bellhop.clock import Seconds
from bellhop.domain.device import Kind, Provider
from bellhop.sandbox.apple_script import AppleReply
from bellhop.sandbox.installation import Installation
from bellhop.sandbox.stream_webhooks import SampleCall
from bellhop.trail import PhoneReported, PushAttempted, PushFinished, RejectionCarried, UserSettled
from tests.trails import trail_of
from tests.waiting import come_true

pytestmark = pytest.mark.asyncio(loop_scope="module")

USER, TABLET, PHONE = "ben-osei", "a1" * 32, "ben:pixel"
LONG_MS = 120_000
"""A ring of this length does not end while a worker starts."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def installation(tmp_path_factory):
    async with Installation(tmp_path_factory.mktemp("declines"), {"RECEIPT_SECRET": "signs-the-receipts"}) as one:
        await one.register(USER, Provider.FCM, Kind.ALERT, PHONE)
        yield one


async def rung(installation, call):
    """The receipt that the Android phone got."""
    await installation.stream.post(call.ring())
    found = []

    def arrived():
        found[:] = [a for a in installation.arrivals if (a.cid, a.provider) == (call.cid, Provider.FCM)]
        return found

    await come_true(arrived)
    return found[0].payload["receipt"]


async def post(installation, receipt, event):
    document = {"receipt": receipt, "event": event}
    async with installation.http.post(f"{installation.url}/v1/receipts", json=document) as answer:
        return answer.status


async def lines(installation, call, kind):
    return [line for line in await trail_of(installation.store, call.cid) if isinstance(line, kind)]


async def until_line(installation, call, kind, count=1):
    for _ in range(1_200):
        if len(found := await lines(installation, call, kind)) >= count:
            return found
        await asyncio.sleep(0.05)
    raise AssertionError(f"no {kind.__name__}")


def rejects(installation, call):
    return [(one.user, one.reason, one.status) for one in installation.stream_api.rejects if one.cid == call.cid]


async def test_50_declines_at_once_reach_stream_once(installation):
    call = SampleCall(members=(USER,))
    receipt = await rung(installation, call)
    statuses = await asyncio.gather(*(post(installation, receipt, "declined") for _ in range(50)))
    assert set(statuses) == {204}
    [carried] = await until_line(installation, call, RejectionCarried)
    assert (carried.user, carried.outcome, carried.times) == (USER, "told", None)
    [reported] = await lines(installation, call, PhoneReported)
    assert (reported.user, reported.outcome, reported.provider) == (USER, "declined", "fcm")
    [settled] = await until_line(installation, call, UserSettled)
    assert settled.outcome == "declined"
    assert rejects(installation, call) == [(USER, "decline", 200)]
    statuses = [await post(installation, receipt, "declined") for _ in range(20)]
    assert statuses == [204] * 10 + [429] * 10  # 60 reports for each receipt


async def test_a_decline_stops_the_attempts_to_other_phones(installation):
    await installation.register(USER, Provider.APNS, Kind.VOIP, TABLET)
    installation.apple.script(TABLET, *[AppleReply(503, "ServiceUnavailable")] * 50)
    call = SampleCall(members=(USER,))
    receipt = await rung(installation, call)
    await until_line(installation, call, PushAttempted)
    assert await post(installation, receipt, "busy") == 204
    assert [line.outcome for line in await lines(installation, call, PhoneReported)] == ["busy"]
    assert [line.outcome for line in await until_line(installation, call, PushFinished)] == ["busy"]
    await until_line(installation, call, RejectionCarried)
    assert rejects(installation, call) == [(USER, "busy", 200)]


async def test_a_worker_that_dies_before_the_record_tells_stream_again(installation):
    call = SampleCall(members=(USER,), ring_ms=LONG_MS)
    receipt = await rung(installation, call)
    installation.stream_api.reject_pause_s = Seconds(30)
    assert await post(installation, receipt, "declined") == 204
    await come_true(lambda: rejects(installation, call))
    installation.stop("worker-1", signal.SIGKILL)
    installation.stream_api.reject_pause_s = Seconds(0.0)
    installation.start("worker", "worker-1")
    carried = await until_line(installation, call, RejectionCarried, 2)
    assert [line.outcome for line in carried] == ["again", "told"]
    assert rejects(installation, call) == [(USER, "decline", 200)] * 2


async def test_a_worker_with_other_settings_carries_declines(installation):
    """A setting is changed: workers that have the new one and workers that do not serve the same queue for a while."""
    installation.stop("worker-1")
    installation.settings |= {"DECLINES": "false", "TELL_CALLER": "true"}
    installation.start("worker", "worker-1")
    call = SampleCall(members=(USER,), ring_ms=LONG_MS)
    receipt = await rung(installation, call)
    assert await post(installation, receipt, "declined") == 204
    [carried] = await until_line(installation, call, RejectionCarried)
    assert carried.outcome == "told"
