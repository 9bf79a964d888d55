"""Where each command runs on a cluster."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bellhop.store import keys
from bellhop.store.homes import Home, Partition, partition_of, partitions
from bellhop.store.routing import merged, route, split, stages
from bellhop.store.scanning import walk_over
from bellhop.store.scripts import Command

SIXTEEN = partitions(16)
CALL = partition_of(Home("call", "acme:default:1"), SIXTEEN)
ANN = partition_of(Home("user", "acme:ann"), SIXTEEN)


def test_the_home_of_its_keys_chooses_the_partition():
    command = Command("calls/take_event", [keys.AGENDA, keys.call_key("acme", "default:1"), keys.rq_job_key("1")], [1])
    (routed,) = route([command], SIXTEEN)
    assert routed == (CALL, command._replace(keys=[CALL.key(key) for key in command.keys]), False)


def test_plain_commands_get_the_tag_too():
    read, write = (
        ("HGET", keys.devices_key("acme", "ann"), "token"),
        ("SET", keys.devices_key("acme", "ann"), "bellhop:x"),
    )
    first, second = route([read, write], SIXTEEN)
    assert first == (ANN, ("HGET", ANN.key(read[1]), "token"), True)
    assert second == (ANN, ("SET", ANN.key(write[1]), "bellhop:x"), False)


def test_keys_that_each_partition_has_need_one():
    own = SIXTEEN[3]
    command = ("LLEN", keys.rq_queue_key("rings"))
    with pytest.raises(ValueError, match="none is named"):
        route([command], SIXTEEN)
    assert route([command], SIXTEEN, own)[0].command == ("LLEN", own.key("rq:queue:rings"))
    assert route([("LLEN", own.key("rq:queue:rings"))], SIXTEEN)[0] == (own, ("LLEN", own.key("rq:queue:rings")), True)


def test_keys_of_two_partitions_are_refused():
    users = ["ann", "ben", "cleo", "dan"]
    with pytest.raises(ValueError, match="several partitions"):
        route([Command("x", [keys.devices_key("acme", user) for user in users], [])], SIXTEEN)
    with pytest.raises(ValueError, match="several partitions"):
        route([("COPY", SIXTEEN[0].key("rq:queue:rings"), SIXTEEN[1].key("rq:queue:rings"))], SIXTEEN)


def test_a_job_id_need_not_be_text():
    (routed,) = route([("HMGET", keys.raw_rq_job_key(b"\xff"), "status")], SIXTEEN, SIXTEEN[2])
    assert routed.command == ("HMGET", f"rq:{{{SIXTEEN[2].tag}}}:job:".encode() + b"\xff", "status")


def test_commands_without_keys_go_where_the_others_go():
    user = ("HGETALL", keys.devices_key("acme", "ann"))
    assert [routed.partition for routed in route([("TIME",), user, ("TIME",)], SIXTEEN)] == [ANN] * 3
    assert route([("TIME",)], SIXTEEN)[0] == (SIXTEEN[0], ("TIME",), True)
    assert route([("TIME",)], SIXTEEN, SIXTEEN[5])[0].partition == SIXTEEN[5]


def test_a_command_about_many_keys_is_split():
    users = ("MGET", *(keys.owner_key("acme", f"key{number}") for number in range(20)))
    parts = split(users, SIXTEEN)
    assert parts == [("MGET", key) for key in users[1:]]
    assert merged(users, [[b"1"], [None]]) == [b"1", None]
    assert merged(("EXISTS", "a", "b"), [1, 1]) == 2
    call = ("EXISTS", keys.trail_key("acme", "default:1"), keys.told_key("acme", "default:1"))
    queues = ("EXISTS", keys.rq_queue_key("rings"), keys.rq_queue_key("mail"))
    assert (split(call, SIXTEEN), split(queues, SIXTEEN, SIXTEEN[3])) == ([call], [queues])
    failed = ConnectionError()
    assert merged(users, [[b"1"], failed]) is failed


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans())))
def test_stages_keep_the_order_between_nodes(commands):
    nodes, reads = [node for node, _ in commands], [reads for _, reads in commands]
    found = stages(nodes, reads) if commands else []
    assert [number for stage in found for number in stage] == list(range(len(commands)))
    for stage in found:
        assert len({nodes[number] for number in stage}) == 1 or all(reads[number] for number in stage)


def test_a_key_outside_all_partitions_stays_as_it_is():
    (routed,) = route([("SET", "bellhop:{partitions}:count", 16, "NX")], SIXTEEN)
    assert routed == (Partition("partitions"), ("SET", "bellhop:{partitions}:count", 16, "NX"), False)


def test_a_walk_over_the_keys_of_a_partition_goes_to_its_node():
    (routed, time) = route([walk_over(["bellhop:"], SIXTEEN[3:5], 9).command(), ("TIME",)], SIXTEEN)
    pattern = SIXTEEN[3].key("bellhop:") + "*"
    assert routed == (SIXTEEN[3], ("SCAN", 0, "MATCH", pattern, "COUNT", 9), True)
    assert time.partition == SIXTEEN[3]
