"""Tokens are removed only on the provider's word about that registration, and never all at once."""

import asyncio
import contextlib

import pytest

from bellhop.domain.device import Environment
from bellhop.domain.outcomes import Outcome
from bellhop.store import registry
from bellhop.store.async_client import Store
from bellhop.store.keys import token_window_key
from bellhop.store.steps import run_steps
from tests.factories import a_dead_token, a_delivery, an_iphone
from worker.delivery.token_pruning import PruningPolicy, TokenPruner

FEWEST_DYING = PruningPolicy().brake.fewest_dying
REGISTERED = 1_700_000_000_000_000


def phone(number=0, **fields):
    return an_iphone(f"user-{number}", **{"token": f"{number:064x}", "registered_at": REGISTERED} | fields)


async def register(store, device):
    await run_steps(registry.register("default", device), store)
    return device


async def known(store, device):
    return (await registry.read_users(store, "default", [device.user_id], "")).devices[device.user_id]


def dead(device, since=REGISTERED + 1):
    return a_dead_token(device, since)


@pytest.mark.parametrize("since", [REGISTERED + 1, None])
async def test_a_dead_token_is_removed(store, since):
    device = await register(store, phone())
    await TokenPruner(store).update_registry("default", device, dead(device, since))
    assert await known(store, device) == []


async def test_a_token_that_died_before_it_was_registered_here_is_kept(store):
    device = await register(store, phone())
    await TokenPruner(store).update_registry("default", device, dead(device, REGISTERED))
    assert await known(store, device) == [device]


async def test_a_token_that_was_registered_again_meanwhile_is_kept(store):
    device = await register(store, phone())
    again = await register(store, phone(registered_at=REGISTERED + 500))
    await TokenPruner(store).update_registry("default", device, dead(device))
    assert await known(store, again) == [again]


@pytest.mark.parametrize(
    "outcome",
    sorted(set(Outcome) - {Outcome.TOKEN_DEAD}),
)
async def test_no_other_outcome_removes_a_token(store, outcome):
    device = await register(store, phone())
    await TokenPruner(store).update_registry("default", device, a_delivery(device, outcome))
    assert await known(store, device) == [device]


async def test_a_device_that_a_death_left_with_its_former_user_goes(store):
    """The process that moved the token died. The next ring of the former user is refused, and removes the device."""
    device = await register(store, phone())
    moved = phone(user_id="jane", registered_at=REGISTERED + 1)
    await store.together(*next(registry.register("default", moved)))
    assert await known(store, device) == [device]
    await TokenPruner(store).update_registry("default", device, a_delivery(device, Outcome.SIGNED_OUT))
    assert (await known(store, device), await known(store, moved)) == ([], [moved])


async def test_the_environment_that_worked_is_kept(store):
    device = await register(store, phone())
    moved = device.model_copy(update={"environment": Environment.SANDBOX})
    await TokenPruner(store).update_registry("default", device, a_delivery(moved, Outcome.ACCEPTED))
    assert await known(store, device) == [moved]


async def test_the_brake_keeps_tokens_when_most_of_an_app_die(store, capsys, one_minute):
    devices = await asyncio.gather(*(register(store, phone(number)) for number in range(200)))
    pruner = TokenPruner(store)
    for device in devices:
        await pruner.update_registry("default", device, dead(device))
    kept = sum([bool(await known(store, device)) for device in devices])
    assert kept == 200 - (FEWEST_DYING - 1)
    assert "token_removal_stopped" in capsys.readouterr().out


async def test_the_brake_of_one_app_does_not_keep_another_apps_tokens(store):
    pruner = TokenPruner(store)
    for number in range(FEWEST_DYING + 5):
        device = await register(store, phone(number))
        await pruner.update_registry("default", device, dead(device))
    other = await register(store, phone(999, app="com.example.other"))
    await pruner.update_registry("default", other, dead(other))
    assert await known(store, other) == []


async def test_a_few_dead_tokens_among_many_living_ones_are_removed(store, one_minute):
    pruner = TokenPruner(store, PruningPolicy(count_every_s=0.01))
    counting = asyncio.create_task(pruner.keep_counting())
    living = phone(1)
    for _ in range(50 * FEWEST_DYING):
        await pruner.update_registry("default", living, a_delivery(living, Outcome.ACCEPTED))
    (app,) = pruner._accepted
    counted = token_window_key("answered", *app, pruner._window())
    async with asyncio.timeout(20):
        while int(await store.call("GET", counted) or 0) < 50 * FEWEST_DYING:
            await asyncio.sleep(0.01)
    counting.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await counting
    devices = [await register(store, phone(100 + number)) for number in range(2 * FEWEST_DYING)]
    for device in devices:
        await pruner.update_registry("default", device, dead(device))
    assert not any([await known(store, device) for device in devices])


async def test_a_large_ring_with_some_dead_tokens_sets_no_brake(store, one_minute):
    """A tenth of its tokens are dead. Its pushes end before the worker regularly writes how many were accepted."""
    pruner, living = TokenPruner(store), phone(1)
    devices = [await register(store, phone(100 + number)) for number in range(2 * FEWEST_DYING)]
    for device in devices:
        for _ in range(9):
            await pruner.update_registry("default", living, a_delivery(living, Outcome.ACCEPTED))
        await pruner.update_registry("default", device, dead(device))
    assert not any([await known(store, device) for device in devices])


async def test_one_token_that_dies_again_and_again_counts_once(store):
    pruner = TokenPruner(store)
    device = await register(store, phone())
    for _ in range(3 * FEWEST_DYING):
        await pruner.update_registry("default", device, dead(device))
    other = await register(store, phone(1))
    await pruner.update_registry("default", other, dead(other))
    assert await known(store, other) == []


async def test_many_dead_tokens_of_one_user_never_set_the_brake(store, redis_client):
    pruner = TokenPruner(store)
    for number in range(3 * FEWEST_DYING):
        device = await register(store, phone(number, user_id="ben"))
        await pruner.update_registry("default", device, dead(device))
        assert await known(store, device) == []
    assert not redis_client.keys("bellhop:brake:*")


async def test_an_older_version_can_count_the_dying_tokens(store, redis_client):
    device = await register(store, phone())
    await TokenPruner(store).update_registry("default", device, dead(device))
    (key,) = redis_client.keys("bellhop:tokens:dying:*")
    assert redis_client.smembers(key) == {device.key.encode()}


async def test_redis_away_costs_no_push():
    store = Store.from_url("redis://127.0.0.1:1/0")
    device = phone()
    await TokenPruner(store).update_registry("default", device, dead(device))
    await store.close()
