"""A Redis Cluster of real servers on this machine: masters and their replicas, and what may happen to them."""

import math
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Self

import redis

from bellhop.sandbox.child_process import free_port
from bellhop.sandbox.redis_server import RedisServer
from bellhop.store.homes import SLOTS
from tests.cluster_bus import ClusterBus
from tests.waiting import wait_for

LONGEST_CHANGE_S = 30.0
FAILOVER_AGAIN_S = 6.0
"""On a busy machine, a replica may not take over in the five seconds that Redis allows. Then it is asked again."""
HOST = "127.0.0.1"
REPLICATION = "replication"
"""The Redis user of the replicas. A node that is cut off refuses it."""


class Row(NamedTuple):
    """A node as another one sees it: a line of CLUSTER NODES."""

    id: str
    flags: set[str]
    master: str
    link: str
    slots: tuple[range, ...]


@dataclass(eq=False)
class Node:
    """A server of the cluster."""

    server: RedisServer
    bus_port: int
    met_at: int
    """The port where the other nodes find its bus: that of its proxy, if it has one."""
    id: str = ""

    def ask(self, *command: str | int) -> Any:
        """Send a command to this node, not to the one that has the key."""
        with redis.Redis(
            HOST, self.server.port, decode_responses=True, encoding_errors="surrogateescape", socket_timeout=5
        ) as client:
            return client.execute_command(*command)

    def view(self) -> list[Row]:
        """All nodes as this one sees them."""
        return [_row(*line.split(" ")) for line in self.ask("CLUSTER", "NODES").splitlines()]

    def says(self, *lines: str) -> bool:
        """Tell whether CLUSTER INFO has these lines."""
        return set(lines) <= set(self.ask("CLUSTER", "INFO").split())


def _row(node: str, _address: str, flags: str, master: str, _ping: str, _pong: str, _epoch: str, *rest: str) -> Row:
    """Read a line of CLUSTER NODES; slots in brackets are on their way to another node, and still here."""
    link, *slots = rest
    edges = [[*map(int, part.split("-"))] for part in slots if not part.startswith("[")]
    return Row(node, set(flags.split(",")), master, link, tuple(range(edge[0], edge[-1] + 1) for edge in edges))


@dataclass
class RedisCluster:
    """Stands in for the one `RedisServer` of an installation. It keeps no data on disk.

    A node that is killed, and started again before its replica is promoted, comes back as a master without data. Each
    server gets the `options` too. Only with `has_proxies`, a node can be cut off from the others.
    """

    folder: Path
    masters: int = 3
    replicas: int = 0
    """The replicas of each master."""
    node_timeout_ms: int = 2000
    """How long a node does not answer the others until they consider it failed."""
    options: tuple[str, ...] = ()
    has_proxies: bool = False
    nodes: list[Node] = field(default_factory=list)
    """The first masters come first."""
    away: set[Node] = field(default_factory=set)
    """The nodes that do not answer or do not see the others: what they say is not used."""

    def __post_init__(self) -> None:
        self.bus = ClusterBus()
        self.nodes = [self._node(number) for number in range(self.masters * (1 + self.replicas))]

    def _node(self, number: int) -> Node:
        folder = self.folder / f"node-{number}"
        folder.mkdir(parents=True, exist_ok=True)
        bus_port = free_port()
        met_at = free_port() if self.has_proxies else bus_port
        options = {
            **{"cluster-enabled": "yes", "cluster-config-file": "nodes.conf", "cluster-port": bus_port},
            **{"cluster-announce-bus-port": met_at, "cluster-node-timeout": self.node_timeout_ms},
            **{"cluster-require-full-coverage": "no", "repl-diskless-sync-delay": 0, "appendonly": "no"},
            **{"masteruser": REPLICATION, "masterauth": "any"},
        }
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        words += ["--user", REPLICATION, "on", "nopass", "+psync", "+replconf", "+ping", "+cluster"]
        return Node(RedisServer(folder, *words, *self.options), bus_port, met_at)

    @property
    def url(self) -> str:
        """The URL to connect to."""
        return "redis+cluster://" + ",".join(f"{HOST}:{node.server.port}" for node in self.nodes)

    @property
    def master_urls(self) -> list[str]:
        """The URL of each node that has slots: for commands to this node only."""
        return [f"redis://{HOST}:{node.server.port}/0" for node in self.here() if self._has_slots(node, node)]

    def start(self) -> Self:
        """Start all nodes, and form the cluster. Returns when all of them see it whole."""
        if self.has_proxies:
            self.bus.__enter__()
        try:
            for node in self.nodes:
                if self.has_proxies:
                    self.bus.listen(node.met_at, node.bus_port)
                node.server.start()
            self._form()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End all nodes."""
        for node in self.nodes:
            node.server.stop(signal.SIGKILL)
        if self.has_proxies:
            self.bus.__exit__()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _form(self) -> None:
        masters = self.nodes[: self.masters]
        for number, node in enumerate(self.nodes):
            node.id = node.ask("CLUSTER", "MYID")
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            for other in self.nodes[:number]:
                node.ask("CLUSTER", "MEET", HOST, other.server.port, other.met_at)
        for number, node in enumerate(masters):
            first, end = (SLOTS * edge // self.masters for edge in (number, number + 1))
            node.ask("CLUSTER", "ADDSLOTSRANGE", first, end - 1)
        self.wait(self._all_have_met)
        for number, node in enumerate(self.nodes[self.masters :]):
            node.ask("CLUSTER", "REPLICATE", masters[number % self.masters].id)
        self.wait(self.is_whole)

    def _all_have_met(self) -> bool:
        ids = {node.id for node in self.nodes}
        return all({row.id for row in node.view()} == ids for node in self.nodes)

    def is_whole(self) -> bool:
        """Tell whether each node says that all is well, and each replica has what its master has."""
        return all(map(self._is_content, self.nodes))

    def _is_content(self, node: Node) -> bool:
        rows, replication = node.view(), node.ask("INFO", "replication")
        replicas = [row for row in rows if "slave" in row.flags and row.link == "connected"]
        return (
            node.says("cluster_state:ok", f"cluster_slots_ok:{SLOTS}", f"cluster_known_nodes:{len(self.nodes)}")
            and len(replicas) == self.masters * self.replicas
            and not any(flag.startswith("fail") for row in rows for flag in row.flags)
            and replication.get("master_link_status", "up") == "up"
        )

    def node_of(self, slot: int) -> Node:
        """Find the master that has a slot."""
        return self._named_by(self.here()[0], slot)

    def here(self) -> list[Node]:
        """The nodes that nothing has happened to."""
        return [node for node in self.nodes if node not in self.away]

    def _named_by(self, node: Node, slot: int) -> Node:
        rows = (row for row in node.view() if any(slot in slots for slots in row.slots))
        return self._by_id(next(rows).id)

    def _by_id(self, node_id: str) -> Node:
        return next(node for node in self.nodes if node.id == node_id)

    def replicas_of(self, master: Node) -> list[Node]:
        """Find the replicas that a master has now."""
        return [self._by_id(row.id) for row in self.here()[0].view() if row.master == master.id]

    def kill(self, node: Node) -> None:
        """End it by SIGKILL."""
        self.away.add(node)
        node.server.stop(signal.SIGKILL)

    def restart(self, node: Node) -> None:
        """Start a killed node again."""
        node.server.start()
        self.away.discard(node)

    def pause(self, node: Node) -> None:
        """Stop it: its connections stay open, and it does not answer."""
        self.away.add(node)
        os.kill(node.server.pid, signal.SIGSTOP)

    def go_on(self, node: Node) -> None:
        """Let a paused node continue."""
        os.kill(node.server.pid, signal.SIGCONT)
        self.away.discard(node)

    def cut_off(self, node: Node) -> None:
        """Separate it from the other nodes and from its replicas. Clients still reach it."""
        if not self.has_proxies:
            raise ValueError("only a cluster with proxies can cut a node off")
        self.away.add(node)
        self.bus.cut_off(node.id, node.bus_port)
        node.ask("ACL", "SETUSER", REPLICATION, "off")
        node.ask("CLIENT", "KILL", "TYPE", "REPLICA")

    def join(self, node: Node) -> None:
        """Let a node that was cut off see the others again."""
        node.ask("ACL", "SETUSER", REPLICATION, "on")
        self.bus.join(node.id)
        self.away.discard(node)

    def failover(self, replica: Node) -> None:
        """Let a replica take its master's place as an operator does. Returns when all nodes know."""
        asked_s = -math.inf

        def has_taken_over() -> bool:
            nonlocal asked_s
            if time.monotonic() - asked_s > FAILOVER_AGAIN_S and not self._has_slots(replica, replica):
                asked_s = time.monotonic()
                replica.ask("CLUSTER", "FAILOVER")
            return all(self._has_slots(replica, node) for node in self.here())

        self.wait(has_taken_over)

    def _has_slots(self, node: Node, seen_by: Node) -> bool:
        return any(row.slots for row in seen_by.view() if row.id == node.id)

    def wait_for_promotion(self, slot: int, instead_of: Node) -> Node:
        """Wait until all other nodes name another master for the slot; returns it."""
        others = [node for node in self.here() if node is not instead_of]
        self.wait(lambda: instead_of not in {self._named_by(node, slot) for node in others})
        self.wait(lambda: len({self._named_by(node, slot) for node in others}) == 1)
        return self._named_by(others[0], slot)

    def move_slots(self, slots: Iterable[int], to: Node, keys_at_once: int = 100) -> None:
        """Move slots while clients use them, as `redis-cli --cluster reshard` does."""
        for slot in slots:
            old = self.node_of(slot)
            to.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", old.id)
            old.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", to.id)
            while keys := old.ask("CLUSTER", "GETKEYSINSLOT", slot, keys_at_once):
                # On a busy machine, nodes may miss each other for a moment, and the cluster is down.
                self.wait(partial(old.ask, "MIGRATE", HOST, to.server.port, "", 0, 60_000, "KEYS", *keys))
            others = [node for node in self.here() if node not in {to, old} and self._has_slots(node, node)]
            for node in (to, old, *others):
                node.ask("CLUSTER", "SETSLOT", slot, "NODE", to.id)

    def move_slots_at_once(self, first: int, last: int, to: Node) -> None:
        """Move a range of slots of one node as one step: Valkey 9 can."""
        old = self.node_of(first)
        old.ask("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", first, last, "NODE", to.id)
        self.wait(lambda: all(self._named_by(node, first) is to for node in self.here()))

    def commands(self) -> Counter[str]:
        """Count the commands that the masters have run, by name; those inside scripts included."""
        found: Counter[str] = Counter()
        for url in self.master_urls:
            with redis.Redis.from_url(url) as client:
                stats = client.info("commandstats")
            found.update({name.removeprefix("cmdstat_"): stat["calls"] for name, stat in stats.items()})
        return found

    def wait(self, come_true: Callable[[], bool]) -> None:
        """Wait until a condition holds."""
        not_yet = (redis.RedisError, StopIteration)  # it starts, it votes, or no node has the slot
        wait_for(come_true, LONGEST_CHANGE_S, not_yet, self.folder)
