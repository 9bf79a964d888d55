"""Every process is replaced, one after the other, while phones ring."""

import asyncio

import pytest

from bellhop.sandbox.installation import Installation
from tests.kill.crowd import Crowd

SETTINGS = {"MISSED_GRACE_S": "60", "LOG_LEVEL": "warning"}


@pytest.mark.timeout(180)
async def test_a_rolling_restart_loses_and_doubles_nothing(tmp_path):
    async with Installation(tmp_path, SETTINGS, workers=2) as installation:
        crowd = Crowd(installation)
        await crowd.grow(200)
        rings = [ring for _ in range(3) for ring in crowd.calls()]
        crowd.answers_take(0.3)
        posting = asyncio.create_task(crowd.post(rings, over_s=8))
        statuses = {}
        for old, new in (("worker-1", "worker-3"), ("worker-2", "worker-4")):
            await asyncio.sleep(1)
            installation.start("worker", new)
            statuses[old] = await asyncio.to_thread(installation.stop, old)
        await asyncio.sleep(1)
        installation.start("web", "web-2")  # beside the first, on the same port
        await asyncio.sleep(2)
        statuses["web"] = await asyncio.to_thread(installation.stop, "web")
        await posting
        assert installation.processes["web-2"].poll() is None, installation.log("web-2")
        rings += (late := crowd.calls(20))
        await crowd.post(late)
        await crowd.all_rang(rings)
        await crowd.all_answered(rings)
        await crowd.all_settled(rings)
        assert statuses == {"worker-1": 0, "worker-2": 0, "web": 0}
        assert not await crowd.rang_too_often(rings)
        print(f"{sum(ring.posts > 1 for ring in rings)} of {len(rings)} webhooks were repeated")
