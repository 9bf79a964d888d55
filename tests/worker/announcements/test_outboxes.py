"""Jobs that drain outboxes: in order, one at a time, tried again after a pause; a run that ends early loses nothing."""

import asyncio
import json

import pytest

from bellhop.audience import Audience, Destination
from bellhop.clock import Seconds
from bellhop.domain.announcement import AnnouncementType, about_ring, read_because
from bellhop.queue.names import TELL_CALLER_JOB
from bellhop.store.keys import draining_key, outbox_key, round_key
from bellhop.store.redis_clock import RedisClock
from tests.factories import a_round
from tests.waiting import come_true
from worker.announcements import outbox
from worker.announcements.outbox import OutboxJobs, Refused, Sent, TryAgain

pytestmark = pytest.mark.usefixtures("live_workers")

USERS = ("ann", "ben", "cem")
ROUND = a_round(*USERS)
ALL = Audience((Destination("backend", TELL_CALLER_JOB, 600, frozenset(AnnouncementType)),))
PAYLOAD = {"destination": "backend", "tenant": ROUND.tenant, "subject": ROUND.cid, "v": 1}


class Receiver:
    """Gives these answers, then takes everything. It notes what it was sent, and how much at the same time."""

    longest_s = Seconds(5.0)
    backoff_s = (0.01, 0.02)

    def __init__(self, *answers, pause_s=0.0):
        self.answers, self.pause_s = list(answers), pause_s
        self.seen, self.under_way, self.most = [], 0, 0

    async def send(self, document):
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        self.seen.append(json.loads(document)["data"]["user_id"])
        try:
            await asyncio.sleep(self.pause_s)
        finally:
            self.under_way -= 1
        answer = self.answers.pop(0) if self.answers else Sent()
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
async def waiting(store):
    """Three announcements wait."""
    await store.call("HSET", round_key(ROUND.tenant, ROUND.cid, ROUND.started_at), "facts", ROUND.as_json())
    reached = [about_ring(AnnouncementType.REACHED, ROUND, user, ROUND.started_at) for user in USERS]
    await store.script(*ALL.tell(ROUND, reached))


def jobs(store, receiver, worker="w-1"):
    return OutboxJobs(store, worker, TELL_CALLER_JOB, lambda ref: receiver, RedisClock())


async def left(store):
    outbox = outbox_key("backend", ROUND.tenant, ROUND.cid)
    return [json.loads(text)["data"]["user_id"] for text in await store.call("LRANGE", outbox, 0, -1)]


async def test_all_leave_in_order_one_at_a_time(store, waiting):
    receiver = Receiver(pause_s=0.01)
    await asyncio.gather(*(jobs(store, receiver, worker).drain(PAYLOAD) for worker in ("w-1", "w-2", "w-1")))
    assert (receiver.seen, receiver.most) == (list(USERS), 1)
    assert await store.call("EXISTS", draining_key("backend", ROUND.tenant, ROUND.cid)) == 0


async def test_the_round_keeps_why_nobody_can_be_reached(store, waiting):
    unreachable = about_ring(AnnouncementType.UNREACHABLE, ROUND, "dan", ROUND.started_at, reason="muted")
    await store.script(*ALL.tell(ROUND, [unreachable]))
    stored = await store.call("HGETALL", round_key(ROUND.tenant, ROUND.cid, ROUND.started_at))
    fields = {name.decode(): value.decode() for name, value in stored.items()}
    assert read_because(fields, AnnouncementType.UNREACHABLE, "dan") == {"reason": "muted"}
    assert read_because(fields, AnnouncementType.REACHED, "ann") == {}


async def test_what_fails_is_tried_again_before_the_next(store, waiting):
    receiver = Receiver(TryAgain("busy"), TryAgain("busy"), Sent(), Refused("too late"))
    await jobs(store, receiver).drain(PAYLOAD)
    assert receiver.seen == ["ann", "ann", "ann", "ben", "cem"]
    assert await left(store) == []


async def test_a_long_pause_is_left_to_a_later_job(store, waiting):
    receiver = Receiver(Sent(), TryAgain("too many requests", Seconds(30)))
    before_s, _ = await store.call("TIME")
    await jobs(store, receiver).drain(PAYLOAD)
    assert (receiver.seen, await left(store)) == (["ann", "ben"], ["ben", "cem"])
    job_id, due_s = await store.call("ZRANGE", "rq:scheduled:bellhop-stream", 0, -1, "WITHSCORES")
    after_s, _ = await store.call("TIME")
    assert int(before_s) + 28 < float(due_s) < int(after_s) + 33
    _, _, (payload,), _ = json.loads(await store.call("HGET", b"rq:job:" + job_id, "data"))
    await jobs(store, receiver, "w-2").drain(payload)
    assert receiver.seen == ["ann", "ben", "ben", "cem"]


async def test_a_run_that_takes_long_is_continued_by_another_job(store, waiting, monkeypatch):
    monkeypatch.setattr(outbox, "LONGEST_RUN_S", Seconds(0.0))
    receiver = Receiver()
    await jobs(store, receiver).drain(PAYLOAD)
    assert await store.call("ZCARD", "rq:scheduled:bellhop-stream") == 1
    assert (receiver.seen, await left(store)) == ([], list(USERS))
    monkeypatch.undo()
    await jobs(store, receiver).drain(PAYLOAD)
    assert (receiver.seen, await left(store)) == (list(USERS), [])


async def test_a_mistake_in_a_sender_keeps_nothing_behind_it(store, waiting):
    receiver = Receiver(ValueError())
    await jobs(store, receiver).drain(PAYLOAD)
    assert (receiver.seen, await left(store)) == (list(USERS), [])


async def test_a_run_that_is_interrupted_leaves_the_rest_to_the_next(store, waiting):
    receiver = Receiver(pause_s=60)
    receiver.longest_s = Seconds(60.0)
    run = asyncio.create_task(jobs(store, receiver).drain(PAYLOAD))
    await come_true(lambda: receiver.seen)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    receiver.pause_s = 0
    await asyncio.wait_for(jobs(store, receiver, "w-2").drain(PAYLOAD), 20)  # it need not wait for the claim's end
    assert receiver.seen == ["ann", *USERS]


async def test_a_receiver_that_hangs_counts_as_one_that_fails(store, waiting):
    receiver = Receiver(pause_s=60)
    receiver.longest_s = Seconds(0.05)
    run = asyncio.create_task(jobs(store, receiver).drain(PAYLOAD))
    await come_true(lambda: len(receiver.seen) > 1)
    receiver.pause_s = 0
    await run
    assert (await left(store), receiver.most) == ([], 1)


async def test_an_unknown_destination_waits_for_another_worker(store, waiting):
    await jobs(store, None).drain(PAYLOAD)
    assert await left(store) == list(USERS)
    assert await store.call("ZCARD", "rq:scheduled:bellhop-stream") == 1


async def test_outboxes_of_a_removed_endpoint_are_looked_at_rarely(store, waiting):
    for _ in range(5):
        await jobs(store, None).drain(PAYLOAD)
    *_, due_s = await store.call("ZRANGE", "rq:scheduled:bellhop-stream", 0, -1, "WITHSCORES")
    seconds, _ = await store.call("TIME")
    assert float(due_s) - int(seconds) > 400
