"""A flood of notices, and rings in the midst of it."""

import asyncio
import time

from bellhop.domain.device import Kind, Provider
from bellhop.sandbox.installation import Installation
from bellhop.sandbox.stream_webhooks import SampleCall
from tests.trails import trail_of

FLOOD = 1_000
AT_ONCE = 32


async def test_a_flood_of_notices_does_not_hold_up_a_ring(tmp_path):
    async with Installation(tmp_path, {"MISSED_GRACE_S": "60", "LOG_LEVEL": "warning"}) as here:
        await here.register("ben-osei", Provider.FCM, Kind.VOIP, "ben:pixel")
        await here.register("jane-morel", Provider.APNS, Kind.VOIP, "a1" * 32)
        here.apple.keep = False
        here.google.answer_delay_s = 0.1  # so that the flood outlasts what is asked of it here
        here.stop("worker-1")
        gate = asyncio.Semaphore(AT_ONCE)

        async def invite():
            async with gate:
                assert (await here.stream.post(SampleCall(members=("ben-osei",)).notification())).status == 200

        await asyncio.gather(*(invite() for _ in range(FLOOD)))
        assert await here.store.call("LLEN", "rq:queue:notices") == FLOOD
        here.start("worker", "worker-2")
        while not here.arrivals:
            await asyncio.sleep(0.02)
        rings = [SampleCall(members=(user,)) for user in ("ben-osei", "jane-morel") * 5]
        took_s = []
        for ring in rings:
            began = time.monotonic()
            assert (await here.stream.post(ring.ring())).status == 200
            give_up = time.monotonic() + 20
            while not any(arrival.cid == ring.cid for arrival in here.arrivals):
                assert time.monotonic() < give_up, await trail_of(here.store, ring.cid)
                await asyncio.sleep(0.005)
            took_s.append(time.monotonic() - began)
        assert await here.store.call("LLEN", "rq:queue:notices") > 0, "the flood was over before the last ring"
        behind = len(here.arrivals) - len(rings)
        print(
            f"{behind} of {FLOOD} notices had arrived with the last ring; the slowest took {max(took_s) * 1e3:.0f} ms"
        )
