"""The web process is killed in a burst of webhooks: acknowledged events ring, the others are posted again."""

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest

from bellhop.sandbox.installation import Installation
from tests.kill.crowd import KILLS, Crowd, chance

SETTINGS = {"MISSED_GRACE_S": "60", "LOG_LEVEL": "warning"}


def children(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


async def kill_whole_web(installation):
    installation.stop("web", signal.SIGKILL)
    installation.start("web")


async def kill_serving_process(installation):
    for child in children(installation.processes["web"].pid):
        os.kill(child, signal.SIGKILL)  # its parent starts another


@pytest.mark.parametrize("kill", [kill_whole_web, kill_serving_process])
@pytest.mark.timeout(60 + 30 * KILLS)
async def test_an_event_is_delivered_once_or_repeated(tmp_path, kill):
    random = chance()
    async with Installation(tmp_path, SETTINGS) as installation:
        crowd = Crowd(installation)
        await crowd.grow(200)
        for _ in range(max(1, KILLS // 2)):
            rings = crowd.calls()
            posting = asyncio.create_task(crowd.post(rings, over_s=1))
            wait_s = random.uniform(0, 1)
            await asyncio.sleep(wait_s)
            await kill(installation)
            await posting
            assert all(ring.taken for ring in rings)
            await crowd.all_rang(rings)
            await crowd.all_settled(rings)
            assert not await crowd.rang_too_often(rings)
            print(f"killed {wait_s:.2f} s in: {sum(ring.posts > 1 for ring in rings)} of {len(rings)} were repeated")


async def test_an_acknowledged_event_rings_without_a_repeat(tmp_path):
    random = chance()
    async with Installation(tmp_path, SETTINGS) as installation:
        crowd = Crowd(installation)
        await crowd.grow(200)
        rings = crowd.calls()
        posting = asyncio.create_task(crowd.post(rings, give_up_s=0))
        await asyncio.sleep(random.uniform(0.05, 0.4))
        await kill_whole_web(installation)
        await posting
        taken = [ring for ring in rings if ring.taken]
        await crowd.all_rang(taken)
        await crowd.all_answered(taken)
        assert not await crowd.rang_too_often(rings)
        print(f"{len(taken)} of {len(rings)} were acknowledged")


async def test_no_process_of_a_killed_web_stays_behind(tmp_path):
    async with Installation(tmp_path, SETTINGS) as installation:
        (serving,) = children(installation.processes["web"].pid)
        installation.stop("web", signal.SIGKILL)
        give_up = time.monotonic() + 20
        while Path(f"/proc/{serving}").exists():
            assert time.monotonic() < give_up, "it still serves"
            await asyncio.sleep(0.05)
