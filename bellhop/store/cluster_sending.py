"""Sends commands to the nodes of a cluster until each has run: what to send where. No I/O.

A client sends the batches of one sending side by side, and gives back the answers. A command that a node has not run
goes into the next one, and so do the commands behind it in the same partition: they run in order, and may run twice.
"""

import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from redis.exceptions import ConnectionError as RedisConnectionError

from bellhop.clock import Seconds
from bellhop.store.bells import bell_command, queues_filled_by
from bellhop.store.cluster_map import (
    MOVING_S,
    NO_NODE,
    PATIENCE_S,
    ClusterMap,
    Node,
    SendAgain,
    away,
    away_for_now,
    target_of,
    unsent,
    why_again,
)
from bellhop.store.homes import Partition
from bellhop.store.routing import Routed, stages
from bellhop.store.scripts import AnyCommand, Command, by_digest
from bellhop.store.sentinel import DEMOTED


class NodeBatch(NamedTuple):
    """Commands for one node, in order."""

    node: Node
    commands: list[AnyCommand]
    positions: list[int]
    """Where the answers that count are among the answers to `commands`."""
    numbers: list[int]
    """Which of the routed commands these answer."""
    partitions: set[Partition]
    asking: bool
    """Whether the node has the keys before it has the slot."""

    def confirmed(self, answers: list[Any], cluster: ClusterMap) -> list[Any]:
        """Return the answers of a node that hung; errors if it has lost its slots meanwhile, and may not have known."""
        if all(cluster.node_of(partition) == self.node for partition in self.partitions):
            return answers
        return [RedisConnectionError(DEMOTED)] * len(answers)


@dataclass(slots=True)
class Sending:
    """What a client does next: it loads scripts, waits, and sends the batches."""

    batches: list[NodeBatch]
    pause_s: Seconds = Seconds(0.0)
    unknown_scripts: list[Node] = field(default_factory=list)
    """Nodes into which all scripts must be loaded."""


@dataclass(slots=True)
class _Pending:
    """What is left to send."""

    numbers: list[int]
    asking: dict[Partition, Node] = field(default_factory=dict)
    """Where the first of a partition's commands goes now, although the slot has not moved yet. Those behind it wait,
    since their keys may be elsewhere."""
    pause_s: Seconds = Seconds(0.0)
    unknown_scripts: list[Node] = field(default_factory=list)


Sendings = Generator[Sending, list[list[Any]], list[Any]]
"""Yields what to send; gets the answers to the commands of its batches, and returns one answer for each command."""


def sendings_in_order(routed: Sequence[Routed], cluster: ClusterMap, among: Sequence[Partition]) -> Sendings:
    """Do as `sendings` does, but in order on all nodes. If a node is away, the commands after it are not sent."""
    nodes = [cluster.node_of(part.partition) for part in routed]
    answers: list[Any] = []
    for stage in stages(nodes, [part.reads for part in routed]):
        answers += yield from sendings(routed[stage.start : stage.stop], cluster, among)
        if not_sent := unsent(answers, len(routed)):
            return [*answers, *not_sent]
    return answers


def sendings(routed: Sequence[Routed], cluster: ClusterMap, among: Sequence[Partition]) -> Sendings:
    """Yield sendings; each gets the answers to the commands of its batches. Returns one answer for each command.

    An error is an answer too. If keys still move after `PATIENCE_S`, the answer is a ConnectionError.
    """
    answers: list[Any] = [RedisConnectionError(NO_NODE)] * len(routed)
    pending, give_up_s = _Pending(list(range(len(routed)))), time.monotonic() + PATIENCE_S
    while pending.numbers and time.monotonic() < give_up_s:
        batches, waiting = _batches(pending, routed, cluster, among)
        found = yield Sending(batches, pending.pause_s, pending.unknown_scripts)
        pending = _Pending(waiting)
        for batch, of_batch in zip(batches, found, strict=True):
            counted = [of_batch[position] for position in batch.positions]
            for number, answer in zip(batch.numbers, counted, strict=True):
                answers[number] = answer
            _note_what_is_left(batch, counted, routed, cluster, pending)
        pending.numbers = _without_those_behind_a_failure(batches, answers, routed, pending.numbers)
    return [away_for_now(answer) for answer in answers]


def _without_those_behind_a_failure(
    batches: Sequence[NodeBatch], answers: list[Any], routed: Sequence[Routed], numbers: Sequence[int]
) -> list[int]:
    """Return which commands are still to be sent, in order. If the node that was asked is away, so are those behind."""
    asked = (number for batch in batches if batch.asking for number in batch.numbers)
    failures = {routed[number].partition: answers[number] for number in asked if away(answers[number])}
    for number in numbers:
        answers[number] = failures.get(routed[number].partition, answers[number])
    return sorted(number for number in numbers if routed[number].partition not in failures)


def _note_what_is_left(
    batch: NodeBatch, answers: Sequence[Any], routed: Sequence[Routed], cluster: ClusterMap, pending: _Pending
) -> None:
    """Note the commands that the node has not run, and those behind them in the same partition."""
    left: set[Partition] = set()
    for number, answer in zip(batch.numbers, answers, strict=True):
        partition = routed[number].partition
        reason = None if partition in left else why_again(answer)
        if reason:
            left.add(partition)
            _follow(reason, answer, batch, partition, cluster, pending)
        if partition in left:
            pending.numbers.append(number)


def _follow(
    reason: SendAgain, answer: Any, batch: NodeBatch, partition: Partition, cluster: ClusterMap, pending: _Pending
) -> None:
    """Note where the commands of a partition go next, and what must happen before."""
    if reason is SendAgain.MOVED:
        cluster.note_moved(partition, target_of(answer, batch.node))
    elif reason is SendAgain.ASK:
        pending.asking[partition] = target_of(answer, batch.node)
    elif reason is SendAgain.LATER:
        pending.pause_s = MOVING_S
    else:
        pending.unknown_scripts.append(batch.node)
    if batch.asking and reason in (SendAgain.LATER, SendAgain.SCRIPT_UNKNOWN):
        pending.asking[partition] = batch.node


def _batches(
    pending: _Pending, routed: Sequence[Routed], cluster: ClusterMap, among: Sequence[Partition]
) -> tuple[list[NodeBatch], list[int]]:
    """Return what to send now, and which commands wait until the one before them in their partition has run."""
    batches: dict[tuple[Node, bool], NodeBatch] = {}
    asked, waiting = set[Partition](), list[int]()
    for number in pending.numbers:
        partition, command, _ = routed[number]
        if partition in asked:
            waiting.append(number)
            continue
        if asking := partition in pending.asking:
            asked.add(partition)
        node = pending.asking[partition] if asking else cluster.node_of(partition)
        if node is None:
            continue
        batch = batches.setdefault((node, asking), NodeBatch(node, [], [], [], set(), asking))
        if asking:
            batch.commands.append(("ASKING",))
        batch.partitions.add(partition)
        batch.numbers.append(number)
        batch.positions.append(len(batch.commands))
        batch.commands.append(by_digest(command) if asking and isinstance(command, Command) else command)
        batch.commands.extend(_bells_behind(command, partition, node, cluster, among))
    return list(batches.values()), waiting


def _bells_behind(
    command: AnyCommand, partition: Partition, node: Node, cluster: ClusterMap, among: Sequence[Partition]
) -> list[AnyCommand]:
    """Return what wakes a worker for the jobs that a script queues. The answers do not matter."""
    queues = queues_filled_by(command)
    bell_of = cluster.first_partition_of(node, among) if queues else None
    return [bell_command(bell_of, queue, partition) for queue in queues] if bell_of else []
