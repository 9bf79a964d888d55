"""On a cluster, each command finds its partition: its keys name one home, or its caller names the partition."""

import pytest

from bellhop.call_index import NewEntry
from bellhop.clock import Micros
from bellhop.console_audit import AuditEntry, keep
from bellhop.dead_letters import DeadLetter, keep_dead_letter
from bellhop.domain.clock_offset import ClockOffset
from bellhop.queue.names import RINGS
from bellhop.store import (
    call_scripts,
    clock_differences,
    keys,
    missed_calls,
    phones,
    refusals,
    registry,
    unreachable_devices,
)
from bellhop.store.bells import bell_command
from bellhop.store.homes import partitions
from bellhop.store.routing import keys_of, route, split
from bellhop.telemetry.last_check import keep_check
from tests.bellhop.store.test_script_homes import COMMANDS
from tests.factories import a_round
from tests.one_home import common_home

SIXTEEN = partitions(16)
OWN = SIXTEEN[3]
CALL, USER = ("default", "default:1"), ("default", "ben")
PLAIN = (
    call_scripts.read_traces(*CALL, ["1"]),
    *call_scripts.keep_test(a_round("ben")),
    call_scripts.keep_answer(*CALL, "s-1", 1),
    *NewEntry("default:1", {"ben": "Ben", "ann": "Ann"}, Micros(1), begins=True).for_users("default", 60),
    *missed_calls.note_missed(*USER, "default:1", Micros(1), 60),
    *missed_calls.note_seen(*USER, Micros(1), ["default:1"]),
    missed_calls.read_unseen(*USER),
    missed_calls.count_unseen(*USER),
    phones.read_some(*USER, ["key"]),
    registry.read_user_fields(*USER),
    unreachable_devices.keep_unreachable(*USER, ["huawei"]),
    unreachable_devices.read_unreachable(*USER),
    clock_differences.read("default", OWN),
    clock_differences.read_applied("default", OWN),
    *clock_differences.write("default", ClockOffset(), OWN),
    *refusals.probes(SIXTEEN),
    bell_command(OWN, RINGS, SIXTEEN[5]),
    *keep("default", AuditEntry(Micros(1), "ops", "password", "look")),
    *keep_dead_letter(DeadLetter("backend", "default", "default:1", "{}", "reason", Micros(1)), 60),
    keep_check(Micros(1), []),
)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.script)
def test_a_script_finds_its_partition(command):
    home = common_home(command.keys)
    if home.name:
        (routed,) = route([command], SIXTEEN)
        assert route([command], SIXTEEN, OWN)[0] == routed
    else:
        assert home.kind == "partition"
        assert route([command], SIXTEEN, OWN)[0].partition == OWN


@pytest.mark.parametrize(
    "command", PLAIN, ids=lambda command: " ".join(str(word).rstrip("0123456789") for word in command[:2])
)
def test_a_plain_command_finds_its_partition(command):
    assert keys_of(command)
    (routed,) = route([command], SIXTEEN)
    assert route([command], SIXTEEN, OWN)[0] == routed


def test_the_owners_of_tokens_are_read_where_each_is():
    parts = split(call_scripts.read_owners("default", [f"key-{number}" for number in range(9)]), SIXTEEN)
    assert len({routed.partition for routed in route(parts, SIXTEEN)}) > 1


def test_a_constant_key_of_the_installation_names_its_home():
    constants = [value for name, value in vars(keys).items() if name.isupper() and not value.endswith(":")]
    for key in constants:
        home = common_home([key])
        assert home.name or home.kind == "partition"
