"""Commands are sent to the nodes of a cluster until each has run, while slots move."""

import time

from hypothesis import given
from hypothesis import strategies as st
from redis.exceptions import AskError, MovedError, NoScriptError, TryAgainError

from bellhop.store import cluster_sending
from bellhop.store.cluster_map import ClusterMap, Node
from bellhop.store.cluster_sending import sendings
from bellhop.store.homes import partitions, slot_of
from bellhop.store.redis_internals import parse_error
from bellhop.store.refusals import needs_other_settings, refusal_of
from bellhop.store.retry import is_away
from bellhop.store.routing import Routed

PARTITIONS = partitions(4)
NODES = [Node("127.0.0.1", port) for port in (7001, 7002, 7003)]
SLOTS = [[0, 16383, [b"127.0.0.1", 7001, b"id"]]]


class MovingCluster:
    """Nodes that answer as Redis does: each slot is on one node, or is moving from one to another."""

    def __init__(self, places, moving, unknown_scripts):
        self.places, self.moving = (
            dict(zip(PARTITIONS, places, strict=True)),
            dict(zip(PARTITIONS, moving, strict=True)),
        )
        self.unknown_scripts = unknown_scripts
        self.ran = {partition: [] for partition in PARTITIONS}

    def answer(self, batch):
        answers, asking = [], False
        for name, *rest in batch.commands:
            if name == "ASKING":
                answers.append(b"OK")
            else:
                answers.append(self.run(batch.node, rest[0], rest[1], asking=asking))
            asking = name == "ASKING"
        return answers

    def run(self, node, partition, number, *, asking):
        slot = slot_of(partition.tag)
        home, target, left = self.places[partition], *self.moving[partition]
        if left > 0 and target != home:  # some keys are here, some there
            self.moving[partition] = target, left - 1
            if node == home and left % 2:
                return AskError(f"{slot} {target.host}:{target.port}")
            if node == home or (node == target and asking and left % 3 == 0):
                return TryAgainError("")
            if node == target and asking and self.unknown_scripts:
                self.unknown_scripts -= 1
                return NoScriptError("")
            if node == target and asking:
                self.ran[partition].append(number)
                return number
        elif left == 0 and target != home:
            self.places[partition] = home = target
        if node != home:
            return MovedError(f"{slot} {home.host}:{home.port}")
        self.ran[partition].append(number)
        return number


nodes = st.sampled_from(NODES)


@given(
    st.lists(nodes, min_size=4, max_size=4),
    st.lists(st.tuples(nodes, st.integers(0, 6)), min_size=4, max_size=4),
    st.integers(0, 2),
    st.lists(st.sampled_from(PARTITIONS), min_size=1, max_size=8),
)
def test_each_command_runs_and_the_order_of_a_partition_stays(places, moving, unknown_scripts, commands):
    cluster, known = MovingCluster(places, moving, unknown_scripts), ClusterMap([NODES[0]])
    known.note(SLOTS, NODES[0])
    routed = [Routed(partition, ("RUN", partition, number), False) for number, partition in enumerate(commands)]
    steps = sendings(routed, known, PARTITIONS)
    sending = next(steps)
    try:
        while True:
            sending = steps.send([cluster.answer(batch) for batch in sending.batches])
    except StopIteration as end:
        assert end.value == list(range(len(commands)))
    for partition, numbers in cluster.ran.items():
        wanted = [number for number, of in enumerate(commands) if of == partition]
        first_runs = list(dict.fromkeys(numbers))
        assert sorted(first_runs) == wanted
        # A command may run again. The last runs of all commands are in the order of the commands.
        assert list(dict.fromkeys(reversed(numbers))) == wanted[::-1]


def test_a_partition_without_a_node_is_answered_with_an_error():
    steps = sendings([Routed(PARTITIONS[0], ("GET", "x"), True)], ClusterMap([NODES[0]]), PARTITIONS)
    assert next(steps).batches == []
    try:
        steps.send([])
    except StopIteration as end:
        (answer,) = end.value
    assert "no node" in str(answer)


def test_keys_that_move_for_too_long_count_as_away(monkeypatch):
    monkeypatch.setattr(cluster_sending, "PATIENCE_S", 0.01)
    known = ClusterMap([NODES[0]])
    known.note(SLOTS, NODES[0])
    steps = sendings([Routed(PARTITIONS[0], ("GET", "x"), True)], known, PARTITIONS)
    next(steps)
    try:
        while True:
            time.sleep(0.005)
            steps.send([[parse_error("TRYAGAIN Multiple keys request during rehashing of slot")]])
    except StopIteration as end:
        (answer,) = end.value
    assert is_away(answer)
    assert "moves the slot" in refusal_of(answer)
    assert not needs_other_settings(answer)
