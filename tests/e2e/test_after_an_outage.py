"""Rings that were over before a worker came: they do not hold up a fresh one, and each recipient's outcome is told."""

import asyncio
import time

from bellhop.domain.device import Kind, Provider
from bellhop.sandbox.installation import Installation
from bellhop.sandbox.stream_webhooks import SampleCall
from tests.trails import trail_of

OVER = 70
USERS = ("ben-osei", "jane-morel")
RING_MS, WITHIN_S = 120_000, 60
"""Long enough for a worker that starts on a busy machine."""


async def test_rings_that_are_over_run_after_a_fresh_one(tmp_path):
    async with Installation(tmp_path, {"MISSED_GRACE_S": "60", "LOG_LEVEL": "warning"}) as installation:
        await installation.register("ben-osei", Provider.FCM, Kind.VOIP, "ben:pixel")
        await installation.register("jane-morel", Provider.APNS, Kind.VOIP, "a1" * 32)
        installation.stop("worker-1")
        over = [SampleCall(members=USERS, ring_ms=5_000) for _ in range(OVER)]
        fresh = SampleCall(members=USERS, ring_ms=RING_MS)
        for call in over:
            assert (await installation.stream.post(call.ring(at=time.time() - 30))).status == 200
        assert (await installation.stream.post(fresh.ring())).status == 200
        installation.start("worker", "worker-2")

        fresh_at = await picked_up_at(installation, fresh, "accepted")
        for call in over:
            assert await picked_up_at(installation, call, "too_late") > fresh_at, "the fresh one comes first"
        assert {arrival.cid for arrival in installation.arrivals} == {fresh.cid}


async def picked_up_at(installation, call, outcome):
    """Wait until the ring of each user of a call has ended so; returns when the worker began with the ring."""
    kinds = {"accepted": "attempted", "too_late": "finished"}
    give_up = time.monotonic() + WITHIN_S
    while True:
        lines = await trail_of(installation.store, call.cid)
        ends = [line for line in lines if line.what == kinds[outcome] and line.kind == "ring"]
        if {line.user for line in ends if line.outcome == outcome} == set(USERS):
            return next(line.at for line in lines if line.what == "picked_up" and line.job == "ring")
        assert time.monotonic() < give_up, lines
        await asyncio.sleep(0.05)
