"""A pass over all keys beside processes that write: nothing of theirs is lost, and nobody comes back."""

import json
from functools import partial

import pytest
from click.testing import CliRunner

from bellhop.cli import main
from bellhop.privacy.forgetting_people import DAY_US, erase_due, forget, forgotten_at, lift
from bellhop.store import registry
from bellhop.store.blocking_client import run_script, together
from bellhop.store.homes import ALONE
from bellhop.store.keys import ERASURE_TURN, ERASURES, FORGOTTEN, devices_key, owner_key, trail_key, user_key
from bellhop.store.scripts import Command, by_source
from bellhop.store.steps import run_blocking
from bellhop.trail import UserSettled, encode
from tests.factories import a_device
from worker.erasures import Erasures


def settled(user):
    return encode(UserSettled(at=1, round=1, user=user, outcome="missed"))


@pytest.fixture
def forget_jane(redis_client):
    """Forget Jane; returns her pseudonym."""
    return lambda: (
        forget(partial(together, redis_client), partial(run_script, redis_client), "default", "jane").pseudonym
    )


def run_with(redis_client, meanwhile):
    """Make a pass; call `meanwhile` once, before the first change."""
    steps, done = erase_due(ALONE), []
    commands = next(steps)
    try:
        while True:
            if not done and any(isinstance(command, Command) for command in commands):
                done.append(meanwhile())
            pipeline = redis_client.pipeline(transaction=False)
            for command in commands:
                pipeline.execute_command(*(by_source(command) if isinstance(command, Command) else command))
            commands = steps.send(pipeline.execute())
    except StopIteration:
        assert done


@pytest.mark.parametrize("moved", [0, 1, 3])
def test_lines_that_move_during_a_pass_are_still_changed(redis_client, forget_jane, moved):
    trail, users = trail_key("default", "default:1"), ["ann", "jane", "ben", "jane"]
    redis_client.rpush(trail, *map(settled, users))
    pseudonym = forget_jane()

    def write():
        redis_client.rpush(trail, settled("tom"))
        redis_client.ltrim(trail, moved, -1)

    run_with(redis_client, write)
    expected = [*("ann", pseudonym, "ben", pseudonym)[moved:], "tom"]
    assert redis_client.lrange(trail, 0, -1) == [settled(user).encode() for user in expected]


def test_a_stamp_that_changes_during_a_pass_waits_for_the_next(redis_client, forget_jane):
    call = "bellhop:call:default:default:1"
    redis_client.hset(call, mapping={"a:jane": 1, "d:jane": 1, "version": 7})
    redis_client.expire(call, 100)
    pseudonym = forget_jane()
    run_with(redis_client, lambda: redis_client.hset(call, "a:jane", 5))
    assert redis_client.hgetall(call) == {b"a:jane": b"5", f"d:{pseudonym}".encode(): b"1", b"version": b"8"}
    forget_jane()
    run_blocking(erase_due(ALONE), redis_client)
    stamps = {f"a:{pseudonym}".encode(): b"5", f"d:{pseudonym}".encode(): b"1", b"version": b"9"}
    assert redis_client.hgetall(call) == stamps
    assert redis_client.ttl(call) > 0


def test_who_is_back_during_a_pass_keeps_the_new_device(redis_client, forget_jane):
    phone = a_device("jane", registered_at=5)
    forget_jane()
    run_blocking(registry.register("default", phone), redis_client)
    redis_client.hset(user_key("default", "jane"), "contact", json.dumps({"email": "jane@example.com"}))
    _, person = forgotten_at(partial(together, redis_client), "default", "jane")

    def come_back():
        lift(partial(together, redis_client), person)
        run_blocking(registry.register("default", phone.model_copy(update={"registered_at": 9})), redis_client)

    run_with(redis_client, come_back)
    (device,) = registry.decode(redis_client.hvals(devices_key("default", "jane")))
    assert device.registered_at == 9
    assert redis_client.get(owner_key("default", phone.key)) == b"jane"
    run_blocking(erase_due(ALONE), redis_client)
    assert redis_client.exists(devices_key("default", "jane"), user_key("default", "jane")) >= 1


def test_a_pass_goes_on_for_others_if_one_person_is_back(redis_client, forget_jane):
    """Otherwise somebody who is forgotten and comes back, again and again, would keep the data of all others."""
    trails = [trail_key("default", f"default:{number}") for number in range(3)]
    for trail in trails:
        redis_client.rpush(trail, *map(settled, ("jane", "ben")))
    forget_jane()
    ben = forget(partial(together, redis_client), partial(run_script, redis_client), "default", "ben")
    run_with(redis_client, lambda: lift(partial(together, redis_client), ben))
    lines = [line for trail in trails for line in redis_client.lrange(trail, 0, -1)]
    assert lines.count(settled("jane").encode()) == 0
    assert lines.count(settled("ben").encode()) == 2, "the first change was under way"


def test_who_is_back_a_day_later_is_not_erased(redis_client, forget_jane):
    """The last pass may begin late, and takes long where there are many keys."""
    phone, run_all = a_device("jane", registered_at=5), partial(together, redis_client)
    forget_jane()
    for key in (FORGOTTEN, ERASURES):
        redis_client.zincrby(key, -DAY_US - 300_000_000, redis_client.zrange(key, 0, 0)[0])
    lift(run_all, forgotten_at(run_all, "default", "jane")[1])
    run_blocking(registry.register("default", phone), redis_client)
    run_blocking(erase_due(ALONE), redis_client)
    assert registry.decode(redis_client.hvals(devices_key("default", "jane"))) == [phone]


def test_a_key_of_another_type_stops_no_pass(redis_client, forget_jane):
    redis_client.set(trail_key("default", "default:1"), "jane")
    redis_client.rpush(trail_key("default", "default:2"), settled("jane"), "no line", b"\xff")
    redis_client.set(b"bellhop:trail:default:\xff", 1)
    pseudonym = forget_jane()
    run_blocking(erase_due(ALONE), redis_client)
    assert redis_client.lindex(trail_key("default", "default:2"), 0) == settled(pseudonym).encode()


async def test_one_worker_makes_a_pass_for_everybody_due(redis_client, store, forget_jane):
    redis_client.rpush(trail_key("default", "default:1"), settled("jane"))
    pseudonym = forget_jane()
    redis_client.set(ERASURE_TURN, "w-2", ex=60)
    await Erasures(store, "w-1").erase_due()
    assert redis_client.lindex(trail_key("default", "default:1"), 0) == settled("jane").encode()
    redis_client.delete(ERASURE_TURN)
    await Erasures(store, "w-1").erase_due()
    assert redis_client.lindex(trail_key("default", "default:1"), 0) == settled(pseudonym).encode()
    assert not redis_client.exists(ERASURE_TURN)
    assert redis_client.zcard(ERASURES) == 1, "another pass follows"


def test_the_commands_export_and_forget(redis_url, redis_client, monkeypatch):
    monkeypatch.setenv("BELLHOP_REDIS_URL", redis_url)
    run_blocking(registry.register("default", a_device("jane", registered_at=1)), redis_client)
    redis_client.rpush(trail_key("default", "default:1"), settled("jane"))
    exported = json.loads(CliRunner().invoke(main, ["export", "jane"]).output)
    assert {key["key"] for key in exported["keys"]} >= {
        "bellhop:devices:default:jane",
        "bellhop:trail:default:default:1",
    }
    assert CliRunner().invoke(main, ["forget", "jane"], input="n\n").exit_code == 1
    assert redis_client.exists(devices_key("default", "jane"))
    forgot = CliRunner().invoke(main, ["forget", "jane", "--yes"])
    assert forgot.output.startswith("forgot jane: 1 entries changed; on trails the person is forgotten-")
    assert json.loads(CliRunner().invoke(main, ["export", "jane"]).output)["keys"] == []


def test_only_a_deliberate_registration_brings_somebody_back(redis_url, redis_client, monkeypatch, forget_jane):
    """A file may be older than the wish to be forgotten. What an operator adds must not be erased a day later."""
    monkeypatch.setenv("BELLHOP_REDIS_URL", redis_url)
    forget_jane()
    token = ["--provider", "fcm", "--app", "calls", "--token", "t-2"]
    lines = [
        json.dumps({"user_id": user, "provider": "fcm", "app": "calls", "token": user}) for user in ("jane", "ben")
    ]
    imported = CliRunner().invoke(main, ["devices", "import", "-"], input="\n".join(lines))
    assert (imported.exit_code, imported.stdout.splitlines()[-1]) == (1, "1 registered, 1 left out")
    assert "line 1: the user was forgotten" in imported.stderr
    assert not redis_client.exists(devices_key("default", "jane"))
    assert CliRunner().invoke(main, ["devices", "add", "jane", *token]).exit_code == 0
    assert redis_client.zcard(ERASURES) == 0
    run_blocking(erase_due(ALONE), redis_client)
    assert redis_client.hlen(devices_key("default", "jane")) == 1
