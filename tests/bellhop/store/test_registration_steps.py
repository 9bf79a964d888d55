"""Registrations and removals of one token, in every order of their commands, and with a process that dies in between.

Whoever holds the phone last has it: a removal of an earlier registration never takes it, and nobody else is rung by it.
"""

import random

import pytest

from bellhop.domain.device import MAX_DEVICES_PER_USER
from bellhop.store import registry
from bellhop.store.blocking_client import together
from bellhop.store.keys import devices_key, owner_key
from bellhop.store.steps import next_step, run_blocking, side_by_side
from tests.factories import a_device

OLD, NEW = a_device("ben", token="t", registered_at=1), a_device("ben", token="t", registered_at=5)
SARAS, SARAS_NEXT = (a_device("sara", token="t", registered_at=at) for at in (3, 7))
OLD_REGISTER = """
local before = redis.call('GET', KEYS[2])
if before and before ~= ARGV[3] then redis.call('HDEL', ARGV[4] .. before, ARGV[1]) end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('SET', KEYS[2], ARGV[3])
"""
OLD_REMOVE = """
local stored = redis.call('HGET', KEYS[1], ARGV[1])
if not stored or cjson.decode(stored).registered_at ~= tonumber(ARGV[2]) then return end
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('DEL', KEYS[2])
"""


def register(device):
    return registry.register("default", device)


def remove(device):
    return registry.remove("default", device)


def adopt(device):
    return registry.adopt("default", device)


def old_register(device):
    """What a process of the version before does, in one script."""
    keys = [devices_key("default", device.user_id), owner_key("default", device.key)]
    args = [device.key, device.model_dump_json(), device.user_id, devices_key("default", "")]
    yield [("EVAL", OLD_REGISTER, 2, *keys, *args)]


def old_remove(device):
    keys = [devices_key("default", device.user_id), owner_key("default", device.key)]
    yield [("EVAL", OLD_REMOVE, 2, *keys, device.key, device.registered_at)]


class Process:
    """Makes one change, a command at a time."""

    def __init__(self, redis, steps, last=99):
        self.redis, self.steps, self.left, self.answers = redis, steps, last, []
        self.commands, _ = next_step(steps, None)

    @property
    def is_busy(self):
        return self.commands is not None and self.left > 0

    def run_a_command(self):
        self.answers += together(self.redis, self.commands[len(self.answers)])
        self.left -= 1
        while self.commands is not None and len(self.answers) == len(self.commands):
            self.commands, _ = next_step(self.steps, self.answers)
            self.answers = []


def rung(redis):
    """The users whom the fence rings by this token."""
    owner = redis.get(owner_key("default", OLD.key)) or b""
    return {
        user
        for user in ("ben", "sara")
        if redis.hexists(devices_key("default", user), OLD.key) and owner.decode() == user
    }


def run_mixed(redis, dice, *processes):
    while busy := [process for process in processes if process.is_busy]:
        dice.choice(busy).run_a_command()


def begin(redis, *changes):
    redis.flushdb()
    for change in changes:
        run_blocking(change, redis)


@pytest.mark.parametrize("removal", [remove, old_remove])
@pytest.mark.parametrize("registration", [register, old_register, adopt])
def test_a_late_removal_never_takes_a_new_registration(redis_client, removal, registration):
    for number in range(40):
        dice = random.Random(number)
        begin(redis_client, register(OLD))
        leaves = [Process(redis_client, removal(OLD)), Process(redis_client, remove(OLD))]
        run_mixed(redis_client, dice, Process(redis_client, registration(NEW)), *leaves)
        if registration is not adopt:  # Stream's list does not replace what the app registered
            assert rung(redis_client) == {"ben"}, number
        assert redis_client.exists(owner_key("default", OLD.key)) == len(rung(redis_client)), number


@pytest.mark.parametrize("other", [register, old_register])
def test_a_phone_that_moves_rings_for_one_user(redis_client, other):
    for number in range(60):
        begin(redis_client, register(OLD))
        moves = [Process(redis_client, register(SARAS)), Process(redis_client, other(NEW))]
        leaves = Process(redis_client, remove(OLD))
        run_mixed(redis_client, random.Random(number), *moves, leaves)
        assert len(rung(redis_client)) == 1, number


@pytest.mark.parametrize("dying", [register, remove])
@pytest.mark.parametrize("commands", range(8))
def test_a_death_between_two_commands_is_safe(redis_client, dying, commands):
    """Whoever was told that the phone is theirs has it; after a repeat, all is as if nobody had died."""
    begin(redis_client, register(OLD))
    change = dying(SARAS if dying is register else OLD)
    run_mixed(redis_client, random.Random(0), Process(redis_client, change, last=commands))
    if dying is register:
        assert "ben" not in rung(redis_client) or commands == 0
        run_blocking(register(SARAS), redis_client)
        assert rung(redis_client) == {"sara"}
        run_blocking(remove(SARAS), redis_client)
    else:
        run_blocking(remove(OLD), redis_client)
    assert rung(redis_client) == set()
    assert not redis_client.exists(owner_key("default", OLD.key))


@pytest.mark.parametrize("commands", range(4))
def test_a_registration_after_a_removal_that_died_stays(redis_client, commands):
    begin(redis_client, register(OLD))
    run_mixed(redis_client, random.Random(0), Process(redis_client, remove(OLD), last=commands))
    run_blocking(register(NEW), redis_client)
    assert rung(redis_client) == {"ben"}
    assert redis_client.ttl(owner_key("default", OLD.key)) == -1


def test_a_removal_that_nobody_ends_leaves_no_key_for_good(redis_client):
    begin(redis_client, register(OLD))
    run_mixed(redis_client, random.Random(0), Process(redis_client, remove(OLD), last=2))
    assert rung(redis_client) == set()
    assert 0 < redis_client.ttl(owner_key("default", OLD.key)) <= registry.LEAVING_S


@pytest.mark.parametrize("commands", range(1, 9))
def test_the_oldest_of_too_many_devices_lets_its_token_go(redis_client, commands):
    phones = [a_device(token=f"t-{at}", registered_at=at) for at in range(MAX_DEVICES_PER_USER + 1)]
    begin(redis_client, side_by_side([register(phone) for phone in phones[:-1]]))
    run_mixed(redis_client, random.Random(0), Process(redis_client, register(phones[-1]), last=commands))
    run_blocking(register(phones[-1]), redis_client)
    assert redis_client.hlen(devices_key("default", "ben")) == MAX_DEVICES_PER_USER
    run_blocking(register(phones[0].model_copy(update={"user_id": "sara"})), redis_client)
    assert redis_client.get(owner_key("default", phones[0].key)) == b"sara"


def test_a_registration_says_which_devices_left(redis_client):
    phones = [a_device(token=f"t-{at}", registered_at=at) for at in range(MAX_DEVICES_PER_USER + 1)]
    begin(redis_client, side_by_side([register(phone) for phone in phones[:-1]]))
    registered = run_blocking(register(phones[-1]), redis_client)
    assert (registered.evicted, registered.moved) == ((phones[0],), ())
    moved = run_blocking(register(phones[1].model_copy(update={"user_id": "sara"})), redis_client)
    assert (moved.evicted, moved.moved, moved.former_owner) == ((), (phones[1],), "ben")


def test_one_batch_may_register_a_token_twice(redis_client):
    begin(redis_client, side_by_side([register(OLD), register(SARAS), register(NEW)]))
    assert rung(redis_client) == {"ben"}
    assert redis_client.keys("bellhop:devices:*") == [b"bellhop:devices:default:ben"]
