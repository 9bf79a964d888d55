"""Workers killed with SIGKILL while they ring hundreds of phones."""

import asyncio
import signal
import time

import pytest

from bellhop.sandbox.installation import Installation
from tests.kill.crowd import ANSWER_S, KILLS, Crowd, chance
from tests.redis_servers import clients_of

SETTINGS = {"MISSED_GRACE_S": "60", "LOG_LEVEL": "warning", "TELL_CALLER": "true"}


async def kill_once(installation, crowd, wait_s, answer_s, victim, successor):
    """Kill a worker `wait_s` after the first post, and print the results of the rings."""
    crowd.answers_take(answer_s)
    rings = crowd.calls()
    posting = asyncio.create_task(crowd.post(rings))
    await asyncio.sleep(wait_s)
    rung_before = {ring.call.cid for ring in rings if crowd.rang(ring)}
    answers = await asyncio.gather(*map(crowd.accepted, rings))
    on_record = {ring.call.cid for ring, answered in zip(rings, answers, strict=True) if answered}
    held = in_flight(installation)
    killed_at = time.time()
    installation.stop(victim, signal.SIGKILL)
    installation.start("worker", successor)
    await posting
    await crowd.all_rang(rings)
    await crowd.all_answered(rings)
    await crowd.callers_know(rings)
    posted_before = [ring for ring in rings if ring.call.cid not in rung_before]
    recovery_s = max((crowd.rang(ring)[0] - killed_at for ring in posted_before), default=0)
    doubled = [ring for ring in rings if len(crowd.rang(ring)) > 1]
    for ring in doubled:
        assert ring.call.cid not in on_record, await crowd.story(ring, "its answer was on record before the kill")
        assert await crowd.accepted(ring) == 1, await crowd.story(ring, "its answer is on record, and it rang again")
        assert not await crowd.repeats(ring), await crowd.story(ring, "it rang again without a lost answer")
    last_s = max((crowd.rang(ring)[1] - killed_at for ring in doubled), default=0)
    print(
        f"killed {wait_s:.2f} s in, {held} jobs in flight: last first ring {recovery_s:.1f} s after the kill, "
        f"{len(doubled)} rang twice, at most {last_s:.1f} s after it"
    )
    await crowd.all_settled(rings)


def in_flight(installation):
    lists = "bellhop:*inflight:bellhop-rings:*"
    return [client.llen(key) for client in clients_of(installation.redis) for key in client.keys(lists)]


@pytest.mark.timeout(60 + 40 * KILLS)
async def test_with_another_worker_alive_every_ring_reaches_its_phone(tmp_path):
    random = chance()
    async with Installation(tmp_path, SETTINGS, workers=2) as installation:
        crowd = Crowd(installation)
        await crowd.grow(400)  # 200 for each worker
        installation.stream_api.events.pause_s = 0.2  # what is being sent when a worker dies is sent again
        for number in range(KILLS):
            moment = random.uniform(0.2, 1.6), ANSWER_S * (number % 2 == 0)
            await kill_once(installation, crowd, *moment, f"worker-{number + 1}", f"worker-{number + 3}")


@pytest.mark.timeout(60 + 20 * KILLS)
async def test_started_again_a_lone_worker_rings_what_it_had_in_flight(tmp_path):
    random = chance()
    async with Installation(tmp_path, SETTINGS) as installation:
        crowd = Crowd(installation)
        await crowd.grow(200)
        for number in range(max(1, KILLS // 2)):
            moment = random.uniform(0.2, 1.2), ANSWER_S * (number % 2 == 0)
            await kill_once(installation, crowd, *moment, f"worker-{number + 1}", f"worker-{number + 2}")
