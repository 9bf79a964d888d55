"""A webhook that somebody captured, with its signature, and posts again: under another id, now or much later."""

import asyncio
import time

import pytest
import pytest_asyncio

from bellhop.domain.device import Kind, Provider
from bellhop.sandbox.installation import Installation
from bellhop.sandbox.stream_webhooks import SampleCall

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def installation(tmp_path_factory):
    async with Installation(tmp_path_factory.mktemp("installation"), {"MISSED_GRACE_S": "0"}) as installation:
        await installation.register("ben-osei", Provider.APNS, Kind.VOIP, "a1" * 32)
        await installation.register("ben-osei", Provider.APNS, Kind.ALERT, "a2" * 32)
        yield installation


async def arrived(installation, cid, count):
    """The pushes of a call, once there are `count` of them, and a moment later, so that one too many shows."""
    give_up = time.monotonic() + 15
    while time.monotonic() < give_up and sum(a.cid == cid for a in installation.arrivals) < count:
        await asyncio.sleep(0.02)
    await asyncio.sleep(1)
    return [a.type for a in installation.arrivals if a.cid == cid]


@pytest.mark.parametrize("kind", ["ring", "notification", "missed"])
async def test_a_captured_webhook_under_other_ids_does_nothing_more(installation, kind):
    call = SampleCall()
    event = getattr(call, kind)("ben-osei")
    for webhook_id in ("its-own", "another", "a-third"):
        assert (await installation.stream.post(event, webhook_id=f"{kind}-{webhook_id}")).status == 200
        await arrived(installation, call.cid, 1)
    assert await arrived(installation, call.cid, 1) == [f"call.{kind}"]


@pytest.mark.parametrize("kind", ["ring", "notification", "missed"])
async def test_a_captured_webhook_does_nothing_for_a_forgotten_call(installation, kind):
    call = SampleCall()
    reply = await installation.stream.post(getattr(call, kind)("ben-osei", at=time.time() - 2 * 3600 - 1))
    assert reply.status == 200, "Stream signed it"
    assert await arrived(installation, call.cid, 0) == []
