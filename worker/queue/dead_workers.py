"""Gives back the jobs of dead workers, and removes the workers. Any number of workers may do it at any time.

One script gives back a few jobs, and is run again while jobs are left: Redis does nothing else while a script runs.
"""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import structlog

from bellhop.store import queue_scripts
from bellhop.store.async_client import Store
from bellhop.store.keys import WORKERS, rq_worker_key
from worker.queue.lease_times import DEFAULT_TIMES, LeaseTimes
from worker.queue.pid_namespace import is_alive, pid_namespace

log = structlog.get_logger()

JOBS_AT_ONCE = 100
"""How many jobs one script gives back, in some milliseconds."""


async def reap_workers(store: Store, queues: Sequence[str], times: LeaseTimes = DEFAULT_TIMES) -> None:
    """Give back the jobs of all workers whose lease has ended. `queues` are all queues of the installation.

    Raises as the store does.
    """
    command = queue_scripts.reap_workers(
        queues, lease_ms=times.lease_ms, silence_ms=times.silence_ms, limit=JOBS_AT_ONCE
    )
    given_back, jobs_left = Counter[str](), True
    while jobs_left:
        jobs_left, *dead = await store.script(*command)
        for name, jobs in zip(dead[::2], dead[1::2], strict=True):
            given_back[name.decode()] += jobs
    for worker, jobs in given_back.items():
        log.warning("worker_died", worker=worker, jobs_given_back=jobs)


async def remove_worker(store: Store, worker: str, queues: Sequence[str], *, died: bool) -> None:
    """Give back a worker's jobs, then its lease and its registration. Raises as the store does."""
    command = queue_scripts.remove_worker(worker, queues, died=died, limit=JOBS_AT_ONCE)
    while await store.script(*command):
        pass  # jobs are left


class WorkerProcess(NamedTuple):
    """The process of a worker, and the queues that it serves, separated by commas."""

    pid_namespace: str
    pid: int
    queues: str


class Neighbours:
    """The workers on the same machine in the same pid namespace as this one: their pids show whether they live."""

    def __init__(self, store: Store, worker: str, others: Sequence[Store] = ()) -> None:
        """`worker` is the name of this one. `others`: the other partitions, where its neighbours have jobs too."""
        self._store, self._worker, self._others = store, worker, others
        self._processes: dict[str, WorkerProcess] = {}
        """By name. They are read once while they live, since they do not change."""

    async def remove_dead(self) -> None:
        """Give back the jobs of dead neighbours before their leases end. Raises as the store does."""
        here = pid_namespace()
        if not here:
            return
        names = {name.decode() for name in await self._store.call("SMEMBERS", WORKERS)}
        self._processes = {name: process for name, process in self._processes.items() if name in names}
        await self._read_processes([name for name in names if name not in self._processes])
        # Another neighbour may have removed them already: they are read again.
        await self._read_processes(self._dead_at(here))
        for name in self._dead_at(here):
            # The store that names the neighbours comes last. So if another fails, all of this is done again.
            for store in (*self._others, self._store):
                await remove_worker(store, name, self._processes[name].queues.split(","), died=True)
            log.warning("worker_died", worker=name, jobs_given_back="at once")
            del self._processes[name]

    def _dead_at(self, here: str) -> list[str]:
        """Return the names of the neighbours whose processes have ended."""
        others = [(name, process) for name, process in self._processes.items() if name != self._worker]
        return [name for name, process in others if process.pid_namespace == here and not is_alive(process.pid)]

    async def _read_processes(self, names: Sequence[str]) -> None:
        commands = [("HMGET", rq_worker_key(name), "place", "pid", "queues") for name in names]
        answers = await self._store.together(*commands) if commands else []
        for name, (namespace, pid, queues) in zip(names, answers, strict=True):
            self._processes.pop(name, None)
            if namespace is not None:
                self._processes[name] = WorkerProcess(namespace.decode(), int(pid or 0), (queues or b"").decode())
