"""The clients of a Redis Cluster, on a real one."""

import asyncio

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from bellhop.clock import Micros, Seconds
from bellhop.queue.job_payloads import EmailRef, job
from bellhop.queue.names import MAIL_JOB
from bellhop.store import email_scripts, keys
from bellhop.store.async_client import Store
from bellhop.store.blocking_client import blocking, partitions_of, run_script, servers_of, together
from bellhop.store.call_scripts import EventToTake, take_event
from bellhop.store.cluster_map import SILENT
from bellhop.store.homes import names_of, partition_with, slot_of
from bellhop.store.limit_scripts import spend_budget
from bellhop.store.steps import run_steps
from tests.factories import a_queued_round

USERS = [f"user{number}" for number in range(40)]


@pytest.fixture
async def store(cluster):
    store = Store.from_url(cluster.url)
    yield store
    await store.close()


@pytest.fixture
def redis(cluster):
    with blocking(cluster.url, timeout_s=Seconds(2.0)) as client:
        yield client


async def test_users_are_spread_over_the_nodes(store, cluster):
    writes = [("HSET", keys.devices_key("acme", user), "key", user) for user in USERS]
    assert await store.together(*writes) == [1] * len(USERS)
    reads = [("HGET", keys.devices_key("acme", user), "key") for user in USERS]
    assert [answer.decode() for answer in await store.together(*reads, in_order=False)] == USERS
    assert await store.call("HGETALL", keys.devices_key("acme", "user7")) == {b"key": b"user7"}
    assert {node.ask("DBSIZE") > 0 for node in cluster.here()} == {True}


async def test_a_script_runs_where_its_keys_are(store):
    left = [await store.script(*spend_budget(keys.LOOKUP_BUDGET, 0.001)) for _ in range(2)]
    assert [bool(some) for some in left] == [True, False]


def test_the_blocking_client_does_the_same(redis, cluster):
    assert len(partitions_of(redis)) == 16
    assert len(servers_of(redis)) == 3
    redis.hset(keys.devices_key("acme", "ann"), "key", "value")
    assert redis.hgetall(keys.devices_key("acme", "ann")) == {b"key": b"value"}
    redis.zadd(keys.CONSOLE_LOGINS, {"a": 1.0})
    assert [tuple(pair) for pair in redis.zrange(keys.CONSOLE_LOGINS, 0, -1, withscores=True)] == [(b"a", 1.0)]
    owners = [keys.owner_key("acme", user) for user in USERS]
    together(redis, *(("SET", owner, number) for number, owner in enumerate(owners)))
    (found,) = together(redis, ("MGET", *owners))
    assert [int(number) for number in found] == list(range(len(USERS)))
    assert together(redis, ("DEL", *owners)) == [len(USERS)]
    assert run_script(redis, spend_budget(keys.QUESTION_BUDGET, 3)) == 1
    with pytest.raises(TypeError, match="together"):
        redis.pipeline()


def test_a_key_of_each_partition_is_named(redis):
    queues = names_of(keys.rq_queue_key("rings"), partitions_of(redis))
    together(redis, *(("RPUSH", queue, "job") for queue in queues))
    assert together(redis, *(("LLEN", queue) for queue in queues)) == [1] * 16


async def test_slots_that_move_are_followed(store, redis, cluster):
    await store.together(*(("SET", keys.lookup_key("acme", user), user) for user in USERS))
    assert redis.get(keys.lookup_key("acme", "user1")) == b"user1"
    partition = store.partitions[0]
    others = [node for node in cluster.here() if node is not cluster.node_of(slot_of(partition.tag))]
    stop = asyncio.Event()

    async def read_and_write():
        rounds = 0
        while not stop.is_set():
            rounds += 1
            for user in USERS:
                assert await store.call("SET", keys.lookup_key("acme", user), user) == b"OK"
            wanted = [user.encode() for user in USERS]
            assert await store.together(*(("GET", keys.lookup_key("acme", user)) for user in USERS)) == wanted
        return rounds

    working = asyncio.create_task(read_and_write())
    await asyncio.to_thread(cluster.move_slots, [slot_of(partition.tag)], others[0], keys_at_once=1)
    stop.set()
    assert await working > 0
    assert together(redis, *(("GET", keys.lookup_key("acme", user)) for user in USERS)) == [u.encode() for u in USERS]


async def test_an_email_and_its_calls_may_be_on_different_nodes(store):
    round_ = a_queued_round("ben")
    (ben,) = round_.recipients
    lines = {"line": "taken", "repeated_line": "", "trail_ttl_s": 60, "settle_at": round_.deadline}
    ring = EventToTake(round_.tenant, round_.cid, "w-ring", round_.started_at, round=round_, **lines)
    await store.script(*take_event(ring))
    id_ = email_scripts.new_email_id(round_, ben)
    queued = job(f"mail-{id_}", MAIL_JOB, EmailRef(letter=id_))
    email = email_scripts.NewEmail(id_, 60, queued)
    for answer in ("waiting", "already"):
        adding = email_scripts.add_missed_call(round_, ben, email, whole_calls=5, now=Micros(1), line="waiting")
        assert await run_steps(adding, store) == answer
    place = partition_with(keys.email_key(id_), store.partitions)
    assert place != partition_with(keys.call_key(round_.tenant, round_.cid), store.partitions)
    scheduled = place.key(keys.rq_registry_key("scheduled", "bellhop-mail"))
    assert await store.call("ZSCORE", scheduled, f"mail-{id_}")
    await store.at(place).call("SET", keys.lease_key("w-1"), "1")
    run = {"worker": "w-1", "run": "r", "now": Micros(2)}
    claimed = await run_steps(email_scripts.claim_email(id_, queued, claim_s=Seconds(60), **run), store)
    assert [call for call, _ in claimed.calls] == [round_.model_dump_json().encode()]
    sent = email_scripts.record_email_attempt(id_, [(round_, "sent")], next_try=None, unknown=False, **run)
    await run_steps(sent, store)
    assert await store.call("HGETALL", keys.email_key(id_)) == {b"state": b"done"}
    assert await store.call("LRANGE", keys.trail_key(round_.tenant, round_.cid), 1, -1) == [b"waiting", b"sent"]


async def test_a_slot_that_begins_to_move_hides_no_key(store, redis, cluster):
    """Its node answers ASK for each key that does not exist, also before the first key has moved."""
    partition = store.partitions[2]
    names = {f"user{number}": keys.devices_key("moving", f"user{number}") for number in range(400)}
    absent, *stored = [user for user, key in names.items() if partition_with(key, store.partitions) == partition]
    slot = slot_of(partition.tag)
    source = cluster.node_of(slot)
    target = next(node for node in cluster.here() if node is not source)
    await store.together(*(("HSET", keys.devices_key("moving", user), "key", user) for user in stored))
    target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", source.id)
    source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", target.id)
    try:
        reads = [("HVALS", keys.devices_key("moving", user)) for user in (absent, *stored)]
        wanted = [[], *([user.encode()] for user in stored)]
        assert await store.together(*reads, in_order=False) == wanted
        assert together(redis, *reads) == wanted
        assert together(redis, ("EXISTS", reads[0][1]), ("HSET", reads[1][1], "key", stored[0])) == [0, 0]
        assert target.ask("CLUSTER", "COUNTKEYSINSLOT", slot) == 0
    finally:
        for node in (source, target):
            node.ask("CLUSTER", "SETSLOT", slot, "STABLE")


async def test_nothing_is_sent_behind_a_node_that_is_away(store, redis, cluster):
    """A later command may rely on an earlier one: the claim of an e-mail ends when its lines are on the trails."""
    lookups = [keys.lookup_key("acme", user) for user in USERS]
    nodes = [cluster.node_of(slot_of(partition_with(key, store.partitions).tag)) for key in lookups]
    first = cluster.node_of(slot_of(store.partitions[0].tag))
    held, free = (
        lookups[nodes.index(first)],
        next(key for key, node in zip(lookups, nodes, strict=True) if node != first),
    )
    assert await store.together(("DEL", held), ("DEL", free), ("PING",))
    writes = ("SET", held, "1"), ("SET", free, "1")
    dying, living = (store.at(partition_with(key, store.partitions)) for key in (held, free))
    connections = dying.connection, living.connection
    assert None not in connections
    cluster.kill(first)
    try:
        with pytest.raises(RedisConnectionError):
            await store.together(*writes)
        with pytest.raises(RedisConnectionError):
            together(redis, *writes)
        assert await store.call("EXISTS", free) == 0
        with pytest.raises(RedisConnectionError):
            await store.together(*writes, in_order=False)
        assert await store.call("EXISTS", free) == 1
        assert (dying.connection, living.connection) == (None, connections[1])
        assert await store.call("TIME"), "any node knows it"
    finally:
        cluster.restart(first)
    assert await dying.call("PING")
    assert dying.connection not in (None, connections[0])


async def test_a_silent_node_costs_one_time_out(store, cluster):
    cluster.wait(cluster.is_whole)
    first = store.partitions[0]
    node, lease = cluster.node_of(slot_of(first.tag)), first.key(keys.lease_key("w-1"))
    with blocking(cluster.url, timeout_s=Seconds(2.0)) as redis:
        redis.get(lease)
        cluster.pause(node)
        try:
            with pytest.raises(RedisTimeoutError):
                redis.get(lease)
            with pytest.raises(RedisConnectionError, match=SILENT):
                redis.get(lease)
            with blocking(cluster.url, timeout_s=Seconds(2.0), any_count=True) as other:
                assert redis.ping() and other.ping(), "another node answers"
            with pytest.raises(RedisTimeoutError):
                await store.call("GET", lease)
            probe = asyncio.create_task(store.call("GET", lease))
            await asyncio.sleep(0)
            with pytest.raises(RedisConnectionError, match=SILENT):
                await store.call("GET", lease)
        finally:
            cluster.go_on(node)
        assert await probe is None
        assert await store.call("GET", lease) is None
        cluster.wait(lambda: redis.get(lease) is None)
    cluster.wait(cluster.is_whole)


async def test_a_node_that_is_away_raises(cluster):
    store = Store.from_url("redis+cluster://127.0.0.1:1,127.0.0.1:2", timeout_s=Seconds(0.5))
    with pytest.raises(RedisConnectionError):
        await store.call("GET", keys.LAST_CHECK)
    await store.close()
