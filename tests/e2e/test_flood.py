"""A flood of notices, and rings in the midst of it."""

import asyncio
import time

import pytest

from bellhop.domain.device import Kind, Provider
from bellhop.sandbox.installation import Installation
from bellhop.sandbox.stream_webhooks import SampleCall
from tests.trails import trail_of

FLOOD = 1_000
AT_ONCE = 32


@pytest.mark.timeout(300)
async def test_a_flood_of_notices_does_not_hold_up_a_ring(tmp_path):
    settings = {"MISSED_GRACE_S": "60", "LOG_LEVEL": "warning", "WORKER_CONCURRENCY": "64"}
    async with Installation(tmp_path, settings) as installation:
        await installation.register("ben-osei", Provider.FCM, Kind.VOIP, "ben:pixel")
        await installation.register("jane-morel", Provider.APNS, Kind.VOIP, "a1" * 32)
        installation.apple.keep = False
        # A worker of this size has 160 notices in memory, and at most 96 of them wait for Google: with two seconds
        # for each answer, the flood outlasts the rings even if some process is held up.
        installation.google.answer_delay_s = 2.0
        installation.stop("worker-1")
        gate = asyncio.Semaphore(AT_ONCE)

        async def invite():
            async with gate:
                assert (await installation.stream.post(SampleCall(members=("ben-osei",)).notification())).status == 200

        await asyncio.gather(*(invite() for _ in range(FLOOD)))
        assert await installation.store.call("LLEN", "rq:queue:bellhop-notices") == FLOOD
        installation.start("worker", "worker-2")
        while not installation.arrivals:
            await asyncio.sleep(0.02)
        rings = [SampleCall(members=(user,)) for user in ("ben-osei", "jane-morel") * 5]
        took_s = []
        for ring in rings:
            began = time.monotonic()
            assert (await installation.stream.post(ring.ring())).status == 200
            give_up = time.monotonic() + 20
            while not any(arrival.cid == ring.cid for arrival in installation.arrivals):
                assert time.monotonic() < give_up, await trail_of(installation.store, ring.cid)
                await asyncio.sleep(0.005)
            took_s.append(time.monotonic() - began)
        assert await installation.store.call("LLEN", "rq:queue:bellhop-notices") > 0, (
            "the flood was over before the last ring"
        )
        behind = len(installation.arrivals) - len(rings)
        print(
            f"{behind} of {FLOOD} notices had arrived with the last ring; the slowest took {max(took_s) * 1e3:.0f} ms"
        )
