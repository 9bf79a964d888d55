"""A ring of a crowd with all the devices they may have: it rings everybody, and leaves the others their turns."""

import asyncio

import pytest

from bellhop.domain import plan as module
from bellhop.domain.device import MAX_DEVICES_PER_USER, Provider
from bellhop.domain.outcomes import AttemptResult, Outcome
from bellhop.store.async_client import Store
from bellhop.store.keys import devices_key, owner_key
from tests.factories import a_device, a_queued_round
from worker.delivery.attempt import ProviderChannels
from worker.delivery.fair_turns import SENT_AT_ONCE
from worker.delivery.fan_out import DeliveryTools
from worker.delivery.provider_channel import ProviderChannel
from worker.delivery.token_pruning import TokenPruner
from worker.jobs import Jobs

pytestmark = pytest.mark.usefixtures("live_workers")

PEOPLE = 350


@pytest.fixture
async def store(redis_url):
    store = Store.from_url(redis_url, timeout_s=20)
    yield store
    await store.close()


class Phones:
    """A provider that accepts everything, and counts."""

    def __init__(self):
        self.rung = 0
        self.users = []
        self.turns = [0]
        """How many pushes were sent in each turn of the event loop."""

    async def count_turns(self):
        while True:
            await asyncio.sleep(0)
            self.turns.append(0)

    async def send(self, push, timeout_s, start_s):
        self.rung += 1
        self.turns[-1] += 1
        self.users.append(push.device.user_id)
        return AttemptResult(Outcome.ACCEPTED)

    async def close(self): ...

    async def prepare(self, environment, within_s): ...


async def everybody(store, hardware_id="", people=PEOPLE):
    users = [f"user-{number}" for number in range(people)]
    for user in users:
        devices = {}
        for number in range(MAX_DEVICES_PER_USER):
            device = a_device(user, token=f"{user}-{number}", registered_at=number, hardware_id=hardware_id)
            devices[device.key] = device.model_dump_json()
        fields = [part for pair in devices.items() for part in pair]
        await store.call("HSET", devices_key("default", user), *fields)
        owners = [part for key in devices for part in (owner_key("default", key), user)]
        await store.call("MSET", *owners)
    return a_queued_round(*users, for_s=180)


def jobs(store, sender):
    channels: ProviderChannels = {(Provider.FCM, "calls"): ProviderChannel(sender, "fcm calls")}
    return Jobs(DeliveryTools(store, "w-1", channels, TokenPruner(store), ticket_secret=b"a receipt's secret"), 1.0)


async def test_planning_a_huge_ring_does_not_block_the_event_loop(store, monkeypatch):
    """Of a thousand people they take seconds, and a worker whose loop stands still for three is taken for dead."""
    phones, round_ = Phones(), await everybody(store)
    turn, made = 0, []

    def plan(*args, **more):
        planned = module.plan(*args, **more)
        made.append((turn, len(planned.pushes)))
        return planned

    monkeypatch.setattr("worker.delivery.fan_out.plan", plan)
    ring = asyncio.create_task(jobs(store, phones).ring(round_.model_dump()))
    while not ring.done():
        await asyncio.sleep(0)
        turn += 1
    assert phones.rung == PEOPLE * MAX_DEVICES_PER_USER
    assert all(number <= 1_000 for _, number in made)
    assert len({turn for turn, _ in made}) == len(made)


async def test_a_phone_with_many_old_tokens_rings_once(store):
    phones, round_ = Phones(), await everybody(store, hardware_id="the only one")
    await jobs(store, phones).ring(round_.model_dump())
    assert phones.rung == PEOPLE


async def test_a_small_ring_does_not_wait_for_a_large_one(store):
    phones, large = Phones(), await everybody(store, people=20)
    device = a_device("ben", token="the-token-of-ben")
    await store.call("HSET", devices_key("default", "ben"), device.key, device.model_dump_json())
    await store.call("SET", owner_key("default", device.key), "ben")
    small = a_queued_round("ben", cid="default:2", started_at=large.started_at + 1)
    worker, counting = jobs(store, phones), asyncio.create_task(phones.count_turns())
    first = asyncio.create_task(worker.ring(large.model_dump()))
    while not phones.rung:
        await asyncio.sleep(0)
    await worker.ring(small.model_dump())
    assert not first.done()
    await first
    counting.cancel()
    assert phones.rung == 20 * MAX_DEVICES_PER_USER + 1
    assert phones.users.index("ben") < phones.rung // 2
    assert max(phones.turns) <= SENT_AT_ONCE
