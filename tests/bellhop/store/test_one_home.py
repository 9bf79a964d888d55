"""Each script uses keys of one home, and only those that its caller gives it: so a partition can hold all of them."""

import contextlib

import pytest
import redis

from bellhop.store import keys
from bellhop.store.blocking_client import run_script
from bellhop.store.homes import ALONE, Home, Partition
from bellhop.store.scripts import in_partition, sha1
from tests.bellhop.store.test_script_homes import COMMANDS
from tests.bellhop.store.test_scripts_that_fail import SCRIPTS
from tests.one_home import common_home, each_command_has_one_home, violations


def test_keys_of_two_homes_have_no_common_home():
    call, other = keys.call_key("acme", "default:1"), keys.trail_key("acme", "default:2")
    of_call = Home("call", "acme:default:1")
    assert common_home([call, keys.AGENDA, keys.webhook_key("digest"), keys.rq_job_key("1")]) == of_call
    assert common_home([keys.AGENDA, keys.rq_job_key("1")]) == Home("partition", "")
    for crossing in (other, keys.devices_key("acme", "ann"), keys.METRICS_KEY):
        with pytest.raises(ValueError, match="several homes"):
            common_home([call, crossing])


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.script)
def test_the_keys_that_a_script_is_given_have_one_home(command):
    """The home has a name, which chooses the partition. Only scripts about queues run in each partition."""
    home, of_queue = common_home(command.keys), command.script.startswith("queue/")
    assert bool(home.name) != (of_queue or command.script == "calls/enqueue_due"), home


def run_all(redis_client, partition):
    """Run each script on keys of a partition; returns the keys that there were after them."""
    found = set()
    for before, command in SCRIPTS.values():
        redis_client.flushdb()
        redis_client.set(partition.key(keys.lease_key("w-1")), "1")
        for each in [*before, command]:
            run_script(redis_client, in_partition(each, partition))
        found |= set(redis_client.scan_iter())
    for command in COMMANDS:
        with contextlib.suppress(redis.ResponseError):  # some of them have no arguments
            run_script(redis_client, in_partition(command, partition))
    return found | set(redis_client.scan_iter())


def test_scripts_use_keys_of_one_home(redis_url, redis_client):
    with each_command_has_one_home(redis_url):
        run_all(redis_client, *ALONE)


def test_scripts_use_only_keys_of_their_partition(redis_client):
    """A single Redis can hold the keys of a partition."""
    found = run_all(redis_client, Partition("16.3"))
    assert len(found) > 20
    assert [key for key in found if b":{16.3}:" not in key] == []


CROSSING = """1.2 [0 127.0.0.1:1] "EVALSHA" "{sha}" "1" "bellhop:call:acme:default:1" "bellhop:devices:acme:" "ann"
1.3 [0 lua] "HGET" "bellhop:call:acme:default:1" "a \\"quoted\\" field"
1.4 [0 lua] "HGETALL" "bellhop:devices:acme:ann"
"""


def test_the_watch_finds_a_crossing_and_a_key_that_was_not_given():
    found = violations(CROSSING.format(sha=sha1("calls/announce")).splitlines())
    assert len(found) == 2, found


NOWHERE = """1.2 [0 127.0.0.1:1] "hget" "bellhop:letter:{id}" "state"
1.3 [0 127.0.0.1:1] "LLEN" "rq:queue:bellhop-rings"
1.4 [0 127.0.0.1:1] "COPY" "bellhop:devices:acme:ann" "bellhop:devices:acme:ben"
1.5 [0 127.0.0.1:1] "MGET" "bellhop:token:acme:1" "bellhop:token:acme:2"
1.6 [0 127.0.0.1:1] "TIME"
1.7 [0 127.0.0.1:1] "BLMOVE" "rq:{{16.3}}:queue:bellhop-rings" "bellhop:{{16.3}}:inflight:w" "LEFT" "RIGHT" "1"
"""


@pytest.mark.parametrize(("email_id", "count"), [("0" * 32, 3), ("0" * 40, 2)])
def test_the_watch_finds_a_command_that_no_partition_can_run(email_id, count):
    found = violations(NOWHERE.format(id=email_id).splitlines())
    assert len(found) == count, found
