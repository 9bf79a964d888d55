"""A group rings while one node of the Redis Cluster is away: everybody rings at once whose data other nodes have."""

import asyncio
from collections import Counter
from contextlib import asynccontextmanager

import pytest

from bellhop.clock import Seconds
from bellhop.domain.device import Provider
from bellhop.domain.outcomes import AttemptResult, Outcome
from bellhop.store.async_client import Store
from bellhop.store.homes import names_of, partition_with, slot_of
from bellhop.store.keys import call_key, devices_key, lease_key, owner_key
from bellhop.trail import PushWaited
from tests.factories import a_device, a_queued_round
from tests.redis_servers import empty
from tests.trails import trail_of
from tests.waiting import come_true
from worker.delivery.fan_out import DeliveryTools
from worker.delivery.provider_channel import ProviderChannel
from worker.delivery.token_pruning import TokenPruner
from worker.jobs import Jobs

USERS = [f"user-{number}" for number in range(60)]


@pytest.fixture
async def store(cluster):
    empty(cluster)
    store = Store.from_url(cluster.url)
    await register(store, USERS)
    yield store
    await store.close()


async def register(store, users):
    """Give each user a phone, and let the worker w-1 live."""
    for user in users:
        device = a_device(user)
        await store.call("HSET", devices_key("default", user), device.key, device.model_dump_json())
        await store.call("SET", owner_key("default", device.key), user)
    for lease in names_of(lease_key("w-1"), store.partitions):
        await store.call("SET", lease, 1)


class Phones:
    """A provider that accepts every push."""

    def __init__(self):
        self.rung = Counter()

    async def send(self, push, timeout_s, start_s):
        self.rung[push.device.user_id] += 1
        return AttemptResult(Outcome.ACCEPTED)

    async def close(self): ...

    async def prepare(self, environment, within_s): ...


def jobs(store, phones, limit=500):
    channels = {(Provider.FCM, "calls"): ProviderChannel(phones, "fcm calls", limit)}
    return Jobs(DeliveryTools(store, "w-1", channels, TokenPruner(store)), Seconds(1.0))


class Places:
    """Which node has what."""

    def __init__(self, cluster, store):
        self.cluster, self.store = cluster, store

    def node_of(self, key):
        return self.cluster.node_of(slot_of(partition_with(key, self.store.partitions).tag))

    def of_user(self, user):
        return self.node_of(devices_key("default", user))

    def of_token(self, user):
        return self.node_of(owner_key("default", a_device(user).key))

    def a_call_beside(self, node):
        """Name a call that another node has."""
        return next(cid for n in range(99) if self.node_of(call_key("default", cid := f"default:{n}")) is not node)

    def users(self, *, devices, token, node):
        """Find the users whose devices are on this node or not, and whose tokens are."""
        sides = {user: (self.of_user(user) is node, self.of_token(user) is node) for user in USERS}
        return [user for user, side in sides.items() if side == (devices, token)]


@pytest.fixture
def places(cluster, store):
    return Places(cluster, store)


@asynccontextmanager
async def paused(cluster, node, store):
    """Let a node give no answer, and in the end let it go on."""
    await store.call("PING")
    cluster.pause(node)
    try:
        yield
    finally:
        cluster.go_on(node)
        await asyncio.to_thread(cluster.wait, cluster.is_whole)


async def users_that_wait(store, cid):
    waiting = [line for line in await trail_of(store, cid) if isinstance(line, PushWaited)]
    return {line.user for line in waiting if line.outcome == Outcome.REDIS_AWAY}


@pytest.mark.parametrize(("devices", "token"), [(True, False), (False, True)], ids=["devices", "token"])
async def test_the_others_ring_while_a_node_is_silent(store, cluster, places, devices, token):
    node, phones = cluster.nodes[0], Phones()
    late = places.users(devices=devices, token=token, node=node)[:2]
    others = places.users(devices=False, token=False, node=node)
    cid = places.a_call_beside(node)
    async with paused(cluster, node, store):
        round_ = a_queued_round(*late, *others, cid=cid, for_s=120)
        ringing = asyncio.create_task(jobs(store, phones).ring(round_.model_dump()))
        await come_true(lambda: set(others) <= set(phones.rung))
        async with asyncio.timeout(30):
            while await users_that_wait(store, cid) != set(late):
                await asyncio.sleep(0.05)
        assert not set(late) & set(phones.rung)
    await ringing
    assert phones.rung == Counter([*others, *late])


async def test_a_push_that_waits_for_a_node_holds_no_place(store, cluster, places):
    node, phones = cluster.nodes[0], Phones()
    late = places.users(devices=False, token=True, node=node)[:2]
    others = places.users(devices=False, token=False, node=node)[:2]
    cids = [cid for n in range(99) if places.node_of(call_key("default", cid := f"default:{n}")) is not node][:2]
    worker = jobs(store, phones, limit=1)
    async with paused(cluster, node, store):
        first, second = (
            asyncio.create_task(worker.ring(a_queued_round(*users, cid=cid, for_s=120).model_dump()))
            for users, cid in zip((late, others), cids, strict=True)
        )
        await second
        assert phones.rung == Counter(others)
    await first
    assert phones.rung == Counter([*others, *late])
