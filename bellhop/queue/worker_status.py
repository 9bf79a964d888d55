"""The state of an installation as Redis shows it: its queues, its live workers, and the status that each publishes.

A worker writes `WorkerStatus` every second (worker/status.py). The API, the console and the commands read it here.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from types import MappingProxyType
from typing import Any, NamedTuple

from redis import Redis

from bellhop.clock import Seconds
from bellhop.queue.names import QUEUES
from bellhop.store.blocking_client import partitions_of, together
from bellhop.store.homes import Partition, names_of, partition_with
from bellhop.store.keys import (
    Registry,
    lease_key,
    rq_queue_key,
    rq_registry_key,
    rq_worker_key,
    rq_workers_key,
    status_key,
    tenant_queue_key,
    turns_key,
)
from bellhop.store.scripts import RawCommand

REGISTRIES: dict[str, Registry] = {"started": "wip", "scheduled": "scheduled", "failed": "failed"}
"""A job's state, and RQ's name for the registry of those jobs (rq.registry)."""


@dataclass(frozen=True, slots=True)
class ChannelStatus:
    """One worker's channel to a provider, for one app."""

    provider: str
    app: str
    in_flight: int = 0
    """Pushes that wait for the provider's answer."""
    blocked: bool = False
    """Whether the provider does not serve us, as far as the worker knows."""
    refused: str = ""
    """Why the provider refuses our credentials: the reason code of its answer. Empty if it does not refuse them."""
    brake: bool = False
    """Whether no token of the app is removed at the moment."""
    failing: str = ""
    """Why pushes do not arrive: the outcome of the attempt that shows it. Empty if they arrive."""
    answer: str = ""
    """The reason in the provider's answer to this attempt; empty if it gave none."""


@dataclass(frozen=True, slots=True)
class EndpointStatus:
    """One worker's channel to an endpoint of the team's backend."""

    name: str
    in_flight: int = 0
    """Requests that wait for the endpoint's answer."""
    away: str = ""
    """Why the endpoint takes no events; empty if it takes them."""


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """What one worker publishes about itself."""

    channels: tuple[ChannelStatus, ...] = ()
    certificates: Mapping[str, float] = field(default_factory=dict)
    """When the certificate of each app that has one expires, unix seconds."""
    clock_ahead_s: Seconds = Seconds(0.0)
    """How far its clock is ahead of Redis's; below 0 if it is behind."""
    process: Mapping[str, float] = field(default_factory=dict)
    """Memory, CPU time and open files of the process, by the names of metrics that Prometheus's clients use."""
    machine: str = ""
    pid: int = 0
    version: str = ""
    """Bellhop's version. These three are empty in the status of an older version."""
    endpoints: tuple[EndpointStatus, ...] = ()

    def to_json(self) -> str:
        """Write the status. Its keys are public."""
        channels = [
            {
                "provider": channel.provider,
                "app": channel.app,
                "in_flight": channel.in_flight,
                "open": channel.blocked,
                "brake": channel.brake,
            }
            | ({"refused": channel.refused} if channel.refused else {})
            | ({"failing": channel.failing, "answer": channel.answer} if channel.failing else {})
            for channel in self.channels
        ]
        return json.dumps(
            {"lanes": channels, "certificates": self.certificates, "clock_ahead_s": round(self.clock_ahead_s, 3)}
            | ({"process": self.process} if self.process else {})
            | ({"machine": self.machine, "pid": self.pid, "version": self.version} if self.machine else {})
            | ({"endpoints": [asdict(endpoint) for endpoint in self.endpoints]} if self.endpoints else {})
        )

    @classmethod
    def from_json(cls, text: bytes | str) -> "WorkerStatus":
        """Read a status that this version or an older one wrote."""
        document: dict[str, Any] = json.loads(text)
        channels = [
            ChannelStatus(
                channel["provider"],
                channel["app"],
                in_flight=channel.get("in_flight", 0),
                blocked=channel.get("open", False),
                refused=channel.get("refused", ""),
                brake=channel.get("brake", False),
                failing=channel.get("failing", ""),
                answer=channel.get("answer", ""),
            )
            for channel in document["lanes"]
        ]
        return cls(
            tuple(channels),
            document["certificates"],
            Seconds(document.get("clock_ahead_s", 0.0)),
            document.get("process", {}),
            document.get("machine", ""),
            document.get("pid", 0),
            document.get("version", ""),
            tuple(
                EndpointStatus(endpoint["name"], endpoint.get("in_flight", 0), endpoint.get("away", ""))
                for endpoint in document.get("endpoints", ())
            ),
        )


class InstallationState(NamedTuple):
    """The installation at one moment."""

    jobs: Mapping[tuple[str, ...], int]
    """The number of jobs, by queue and state."""
    workers: Mapping[str, list[str]]
    """The names of the live workers, by queue."""
    statuses: Mapping[str, WorkerStatus]
    """The status of each live worker. A worker that has just started has none yet."""
    waiting: Mapping[tuple[str, ...], int] = MappingProxyType({})
    """The number of jobs that wait for their tenant's turn, by queue and tenant. The queued jobs include them."""

    def live(self) -> frozenset[str]:
        """Return the names of all live workers."""
        return frozenset(name for names in self.workers.values() for name in names)

    def channels_by_app(self) -> dict[tuple[str, str], list[ChannelStatus]]:
        """Return the channels of all workers, by provider and app."""
        by_app: dict[tuple[str, str], list[ChannelStatus]] = {}
        for status in self.statuses.values():
            for channel in status.channels:
                by_app.setdefault((channel.provider, channel.app), []).append(channel)
        return by_app

    def endpoints(self) -> dict[str, list[EndpointStatus]]:
        """Return the channels of all workers to the team's backend, by the endpoint's name."""
        by_name: dict[str, list[EndpointStatus]] = {}
        for status in self.statuses.values():
            for endpoint in status.endpoints:
                by_name.setdefault(endpoint.name, []).append(endpoint)
        return by_name

    def certificates(self) -> dict[str, float]:
        """Return when the certificate of each app expires, unix seconds."""
        return {app: at for status in self.statuses.values() for app, at in status.certificates.items()}


class _TenantList(NamedTuple):
    """A list with jobs that wait for their tenant's turn."""

    partition: Partition
    queue: str
    tenant: str


def apps_of_workers(redis: Redis) -> frozenset[tuple[str, str]]:
    """Return the apps (provider, app) that live workers have credentials for. Raises redis.exceptions.RedisError."""
    return frozenset(read_installation_state(redis).channels_by_app())


def read_installation_state(redis: Redis, among: Sequence[Partition] | None = None) -> InstallationState:
    """Read the state in two round trips, or three if tenants wait. Raises redis.exceptions.RedisError.

    `among`: only these partitions are read; by default all.
    """
    among = partitions_of(redis) if among is None else among
    jobs, registered, lists = _queues(redis, among)
    waiting = _waiting(redis, lists)
    for (queue, _), count in waiting.items():
        jobs[queue, "queued"] += count
    names = sorted({name for workers in registered.values() for name in workers})
    statuses = _live_workers(redis, names, among)
    return InstallationState(
        jobs,
        {queue: [name for name in workers if name in statuses] for queue, workers in registered.items()},
        {name: WorkerStatus.from_json(text) for name, text in statuses.items() if text},
        waiting,
    )


def _queues(
    redis: Redis, among: Sequence[Partition]
) -> tuple[dict[tuple[str, ...], int], dict[str, list[str]], list[_TenantList]]:
    """Read the number of jobs by queue and state, the registered workers by queue, and which tenants have lists, in all
    partitions."""
    queue_states = [(queue, state) for queue in QUEUES for state in ("queued", *REGISTRIES)]
    reads: list[RawCommand] = []
    for partition in among:
        for queue, state in queue_states:
            if state == "queued":
                reads.append(("LLEN", partition.key(rq_queue_key(queue))))
            else:
                reads.append(("ZCARD", partition.key(rq_registry_key(REGISTRIES[state], queue))))
        for queue in QUEUES:
            reads.append(("SMEMBERS", partition.key(rq_workers_key(queue))))
            reads.append(("ZRANGE", partition.key(turns_key(queue)), 0, -1))
    answers = iter(together(redis, *reads, in_order=False))
    jobs: dict[tuple[str, ...], int] = dict.fromkeys(queue_states, 0)
    workers: dict[str, set[str]] = {queue: set() for queue in QUEUES}
    lists = []
    for partition in among:
        prefix = partition.key(rq_worker_key(""))
        for queue_state in queue_states:
            jobs[queue_state] += next(answers)
        for queue in QUEUES:
            workers[queue] |= {key.decode().removeprefix(prefix) for key in next(answers)}
            lists += [_TenantList(partition, queue, tenant.decode()) for tenant in next(answers)]
    return jobs, {queue: sorted(names) for queue, names in workers.items()}, lists


def _waiting(redis: Redis, lists: Sequence[_TenantList]) -> Counter[tuple[str, ...]]:
    """Read how many jobs of each tenant wait for its turn, by queue and tenant."""
    reads = (("LLEN", where.key(tenant_queue_key(queue, tenant))) for where, queue, tenant in lists)
    lengths = together(redis, *reads, in_order=False)
    waiting: Counter[tuple[str, ...]] = Counter()
    for (_, queue, tenant), length in zip(lists, lengths, strict=True):
        waiting[queue, tenant] += length
    return +waiting


def _live_workers(redis: Redis, names: Sequence[str], among: Sequence[Partition]) -> dict[str, bytes | None]:
    """Read the status of each of these workers that lives; None if it has none yet.

    A worker has a lease in each partition. It lives while it has any.
    """
    leases: list[RawCommand] = [("EXISTS", lease) for name in names for lease in names_of(lease_key(name), among)]
    readable = [name for name in names if partition_with(status_key(name), partitions_of(redis)) in among]
    reads = [("GET", key) for name in readable for key in names_of(status_key(name), partitions_of(redis))]
    answers = iter(together(redis, *leases, *reads, in_order=False))
    alive = [name for name in names if any(list(islice(answers, len(among))))]
    statuses = dict(zip(readable, answers, strict=True))
    return {name: statuses.get(name) for name in alive}
