"""Each script uses keys of one home, and only those that its caller gives it: so a partition can hold all of them."""

import contextlib

import pytest
import redis

from bellhop.store.blocking_client import run_script
from bellhop.store.homes import common_home
from bellhop.store.keys import lease_key
from bellhop.store.scripts import sha1
from tests.bellhop.store.test_script_homes import COMMANDS
from tests.bellhop.store.test_scripts_that_fail import SCRIPTS
from tests.one_home import each_script_has_one_home, violations


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.script)
def test_the_keys_that_a_script_is_given_have_one_home(command):
    assert common_home(command.keys).kind


def test_scripts_use_keys_of_one_home(redis_url, redis_client):
    with each_script_has_one_home(redis_url):
        for before, command in SCRIPTS.values():
            redis_client.flushdb()
            redis_client.set(lease_key("w-1"), "1")
            for each in [*before, command]:
                run_script(redis_client, each)
        redis_client.flushdb()
        for command in COMMANDS:
            with contextlib.suppress(redis.ResponseError):  # some of them have no arguments
                run_script(redis_client, command)


CROSSING = """1.2 [0 127.0.0.1:1] "EVALSHA" "{sha}" "1" "bellhop:call:acme:default:1" "bellhop:devices:acme:" "ann"
1.3 [0 lua] "HGET" "bellhop:call:acme:default:1" "a \\"quoted\\" field"
1.4 [0 lua] "HGETALL" "bellhop:devices:acme:ann"
"""


def test_the_watch_finds_a_crossing_and_a_key_that_was_not_given():
    found = violations(CROSSING.format(sha=sha1("calls/announce")).splitlines())
    assert len(found) == 2, found
