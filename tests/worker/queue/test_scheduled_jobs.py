"""Scheduled jobs whose time has come, and ended jobs that have expired: all of them, in short steps."""

import redis

from bellhop.store import queue_scripts
from bellhop.store.async_client import Store
from tests.worker.queue.conftest import script_commands
from worker.queue.maintenance import SCHEDULED_AT_ONCE, enqueue_scheduled

QUEUES = ["rings", "notices"]
JOBS = 1050


def due(client: redis.Redis) -> None:
    """Jobs of two queues that are due; of one that are not; and as many ended jobs that have expired."""
    pipeline = client.pipeline(transaction=False)
    for queue in QUEUES:
        for number in range(JOBS):
            pipeline.hset(f"rq:job:{queue}-{number}", mapping={"status": "scheduled", "origin": queue})
            pipeline.zadd(f"rq:scheduled:{queue}", {f"{queue}-{number}": 1000 + number})
        pipeline.zadd(f"rq:scheduled:{queue}", {"later": 9e9})
        pipeline.zadd(f"rq:finished:{queue}", {f"ended-{number}": 1000 for number in range(JOBS)} | {"kept": 9e9})
    pipeline.execute()


async def test_all_due_jobs_are_queued_in_order(redis_client: redis.Redis, store: Store) -> None:
    due(redis_client)
    await enqueue_scheduled(store, QUEUES)
    for queue in QUEUES:
        expected = [f"{queue}-{number}".encode() for number in range(JOBS)]
        assert redis_client.lrange(f"rq:queue:{queue}", 0, -1) == expected
        assert redis_client.zrange(f"rq:scheduled:{queue}", 0, -1) == [b"later"]
        assert redis_client.zrange(f"rq:finished:{queue}", 0, -1) == [b"kept"]


async def test_each_step_queues_some(redis_client: redis.Redis) -> None:
    due(redis_client)
    command = queue_scripts.enqueue_scheduled(QUEUES, limit=SCHEDULED_AT_ONCE)
    more, steps = 1, []
    while more:
        more, commands = script_commands(redis_client, command)
        steps.append(commands)
    assert len(steps) == JOBS // SCHEDULED_AT_ONCE + 1
    assert max(steps) < 1000
