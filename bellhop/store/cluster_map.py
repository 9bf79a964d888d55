"""Which node of a Redis Cluster has which slots, and what to do when a node does not run a command. No I/O.

The clients read the map from any node that answers, and learn from the nodes' redirects.
"""

import random
import time
from collections.abc import Iterable, Sequence
from enum import Enum, auto
from typing import Any, NamedTuple

from redis.exceptions import AskError, MovedError, NoScriptError, RedisError, ResponseError, TryAgainError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from bellhop.clock import Seconds
from bellhop.store.homes import Partition, slot_of
from bellhop.store.redis_internals import code_of

READ_AGAIN_S = Seconds(0.2)
"""How often the map is read at most."""
MOVING_S = Seconds(0.02)
"""Pause before a command is sent again whose keys are just moving to another node."""
PATIENCE_S = Seconds(2.0)
"""How long a command is sent again while its keys move. After that, its caller decides."""
SLOTS_COMMAND = ("CLUSTER", "SLOTS")
NO_NODE = "no node of the cluster has the slot"
SILENT = "the node of the cluster gave no answer a moment ago"
_KEYS_ARE_MOVING, _CLUSTER_IS_DOWN = "a non local key", "while the cluster is down"
"""How Redis ends a script at a key that the script found by itself: the key has moved, or its node is away."""


class Node(NamedTuple):
    """The address of a node."""

    host: str
    port: int


class SendAgain(Enum):
    """Why a node has not run a command, and how to send it again."""

    MOVED = auto()
    """Another node has the slot now."""
    ASK = auto()
    """Another node has the key already, although the slot has not moved yet."""
    LATER = auto()
    """Some of its keys have moved, and some have not."""
    SCRIPT_UNKNOWN = auto()
    """The node does not know the script."""


class ClusterMap:
    """Where the slots are, as far as this client knows."""

    def __init__(self, seeds: Iterable[tuple[str, int]]) -> None:
        self._seeds = tuple(Node(*seed) for seed in seeds)
        self._ranges: tuple[tuple[int, int, Node], ...] = ()
        """First and last slot, and the node that has them."""
        self._nodes: dict[Partition, Node] = {}
        """The partitions whose nodes are known."""

    @property
    def nodes(self) -> Sequence[Node]:
        """The nodes that have slots; empty if the map was never read."""
        return tuple(dict.fromkeys([*(node for *_, node in self._ranges), *self._nodes.values()]))

    def candidates(self, avoid: Node | None = None) -> list[Node]:
        """Return the nodes that may know the map, in a random order; without `avoid`, unless there is no other."""
        known = [*self.nodes, *self._seeds]
        nodes = list({node for node in known if node != avoid} or set(known))
        random.shuffle(nodes)
        return nodes

    def node_of(self, partition: Partition) -> Node | None:
        """Return the node of a partition; None if no node has its slot."""
        if (known := self._nodes.get(partition)) is not None:
            return known
        slot = slot_of(partition.tag)
        node = next((node for first, last, node in self._ranges if first <= slot <= last), None)
        if node is not None:
            self._nodes[partition] = node
        return node

    def first_partition_of(self, node: Node, among: Sequence[Partition]) -> Partition | None:
        """Return the first of the partitions that the node has."""
        return next((partition for partition in among if self.node_of(partition) == node), None)

    def note(self, slots: Sequence[Any], asked: Node) -> None:
        """Take the answer of a node to CLUSTER SLOTS."""
        self._ranges = tuple(
            (int(first), int(last), node_at(host, port, asked)) for first, last, (host, port, *_), *_ in slots
        )
        self._nodes = {}

    def note_moved(self, partition: Partition, node: Node) -> None:
        """Take a node's word that another one has the slot of a partition."""
        self._nodes[partition] = node


class SilentNodes:
    """Nodes that gave no answer in time. Commands for them fail at once, except those that find out if they answer.

    Such a command is sent when `again_s` have passed, and then another one at most every `each_s`.
    """

    def __init__(self, again_s: Seconds, each_s: Seconds) -> None:
        self._again_s, self._each_s = again_s, each_s
        self._ask_from_s: dict[Node, float] = {}
        """When the next command may be sent, in seconds of the monotonic clock."""

    def __contains__(self, node: Node | None) -> bool:
        """Tell whether a node gave no answer."""
        return node in self._ask_from_s

    def may_ask(self, node: Node) -> bool:
        """Tell whether commands may be sent to a node. If it is silent, the next caller has to wait."""
        ask_from_s, now_s = self._ask_from_s.get(node, 0.0), time.monotonic()
        if ask_from_s > now_s:
            return False
        if ask_from_s:
            self._ask_from_s[node] = now_s + self._each_s
        return True

    def note(self, node: Node, answers: Iterable[Any]) -> None:
        """Note what a node answered."""
        if any(isinstance(answer, RedisTimeoutError) for answer in answers):
            self._ask_from_s[node] = time.monotonic() + self._again_s
        else:
            self._ask_from_s.pop(node, None)


def node_at(host: Any, port: Any, asked: Node) -> Node:
    """Return the node of an entry of CLUSTER SLOTS. Without a host, it is at the address of the node that was asked."""
    text = host.decode() if isinstance(host, bytes) else host or ""
    return Node(asked.host if text in ("", "?") else text, int(port))


def target_of(error: AskError, asked: Node) -> Node:
    """Return the node that a redirect names. Without a host, it is at the address of the node that was asked."""
    return Node(error.host or asked.host, error.port)


def why_again(answer: Any) -> SendAgain | None:
    """Return why a command must be sent again; None if it has run, or has failed for good."""
    if not isinstance(answer, ResponseError):
        return None
    if isinstance(answer, NoScriptError):
        return SendAgain.SCRIPT_UNKNOWN
    if isinstance(answer, MovedError):
        return SendAgain.MOVED
    if isinstance(answer, AskError):
        return SendAgain.ASK
    if isinstance(answer, TryAgainError) or _KEYS_ARE_MOVING in str(answer):
        return SendAgain.LATER
    return None


def away(answer: Any) -> RedisError | None:
    """Return the error if a node is away, or cannot serve its slots: the cluster gives them to a replica soon."""
    if isinstance(answer, ResponseError) and (code_of(answer) == "CLUSTERDOWN" or _CLUSTER_IS_DOWN in str(answer)):
        return RedisConnectionError(str(answer), status_code="CLUSTERDOWN")
    return answer if isinstance(answer, (RedisConnectionError, RedisTimeoutError)) else None


def away_for_now(answer: Any) -> Any:
    """Return an answer; if it says that the command has not run, a ConnectionError: its keys still move."""
    return RedisConnectionError(str(answer), status_code=code_of(answer)) if why_again(answer) else answer


def unsent(answers: Sequence[Any], count: int) -> list[RedisError]:
    """Return the answers of the commands that are not sent because one before them may not have run: its error.

    `count` commands run in order; `answers` are those of the first. If each of these has run, the list is empty.
    """
    failure = next((away(answer) or answer for answer in answers if away(answer) or why_again(answer)), None)
    return [failure] * (count - len(answers)) if failure else []
