"""Every kind of fault, one function each: it injects one fault, and returns when that is over."""

import asyncio
import os
import random
import signal
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from bellhop.domain.device import Provider
from bellhop.sandbox.installation import Installation
from bellhop.store.keys import WORKERS, rq_worker_key
from bench.soak.codes import APPLE, GOOGLE, Code
from bench.soak.phones import Phones
from bench.whole import tree

EVERY_S = 2.0
LISTEN = "0A"
"""The state of a listening socket in /proc/net/tcp."""
START_S = 60.0
"""A process that does not work so long after its start has failed."""


@dataclass
class Site:
    """Where the faults happen."""

    installation: Installation
    phones: Phones
    chance: random.Random
    turn: int = 0
    """The number of the present fault."""
    names: list[str] = field(default_factory=lambda: ["worker-1", "web", "worker-2", "web-2"])
    """The processes that run, by their place."""
    faults: list[tuple[float, float]] = field(default_factory=list)
    """When each fault began and ended, in unix seconds."""

    @contextmanager
    def fault(self) -> Iterator[None]:
        """Note when a fault begins and ends."""
        began = time.time()
        yield
        self.faults.append((began, time.time()))

    def one_of(self, command: str) -> str:
        """Return the name of a process that runs this command: another one in each turn."""
        names = [name for name in self.names if name.startswith(command)]
        return names[self.turn % len(names)]

    async def stop(self, name: str, how: signal.Signals) -> None:
        """Stop a process, and wait for its end."""
        await asyncio.to_thread(self.installation.stop, name, how)

    async def until_at_work(self, name: str) -> None:
        """Wait until a process that was started does its work: at least one of its kind always should."""
        pid = self.installation.processes[name].pid
        give_up = time.time() + START_S
        while not (await self._working(pid) if name.startswith("worker") else listens(pid, self.installation.port)):
            if time.time() > give_up:
                raise RuntimeError(f"{name} did not start: {self.installation.log(name)[-2000:]}")
            await asyncio.sleep(0.1)

    async def _working(self, pid: int) -> bool:
        names = await self.installation.store.call("SMEMBERS", WORKERS)
        keys = [rq_worker_key(name.decode()) for name in names]
        return str(pid).encode() in [await self.installation.store.call("HGET", key, "pid") for key in keys]


def listens(pid: int, port: int) -> bool:
    """Whether a process, or a child of it, accepts connections on this port of 127.0.0.1."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    sockets = {f"socket:[{line[9]}]" for line in lines if line[1] == f"0100007F:{port:04X}" and line[3] == LISTEN}
    links = []
    with suppress(OSError):  # it may just have ended
        links = [link.readlink() for one in tree(pid) for link in Path(f"/proc/{one}/fd").iterdir()]
    return not sockets.isdisjoint(map(str, links))


async def worker_killed(site: Site) -> None:
    """SIGKILL for one of the workers, which is started again at once."""
    await _killed(site, "worker")


async def web_killed(site: Site) -> None:
    """SIGKILL for one of the web processes, which is started again at once."""
    await _killed(site, "web")


async def _killed(site: Site, command: str) -> None:
    name = site.one_of(command)
    with site.fault():
        await site.stop(name, signal.SIGKILL)
        site.installation.start(command, name)
    await site.until_at_work(name)


async def paused(site: Site) -> None:
    """SIGSTOP for a worker or a web process, for up to four seconds."""
    name = site.names[site.turn % len(site.names)]
    pids = list(tree(site.installation.processes[name].pid))
    longest_s = 3.9 if name.startswith("worker") else 2.0
    with site.fault():
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        await asyncio.sleep(site.chance.uniform(0.3, longest_s))
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


async def replaced(site: Site) -> None:
    """A process is started, then SIGTERM for the one before it: all are replaced in turn."""
    place = site.turn % len(site.names)
    old, command = site.names[place], site.names[place].split("-")[0]
    new = site.names[place] = f"{command}-new-{site.turn}"
    site.installation.start(command, new)
    await site.until_at_work(new)
    with site.fault():
        site.installation.processes[old].send_signal(signal.SIGTERM)
    await site.stop(old, signal.SIGTERM)


async def redis_full(site: Site) -> None:
    """Redis has no memory left for a moment."""
    with site.fault():
        await site.installation.store.call("CONFIG", "SET", "maxmemory", "1")
        await asyncio.sleep(site.chance.uniform(0.2, 1.0))
        await site.installation.store.call("CONFIG", "SET", "maxmemory", "0")


async def redis_killed(site: Site) -> None:
    """SIGKILL for Redis, which is started again with the file that it wrote."""
    redis = site.installation.redis
    with site.fault():
        await asyncio.to_thread(redis.stop, signal.SIGKILL)
        await asyncio.to_thread(redis.start)


async def redis_paused(site: Site) -> None:
    """SIGSTOP for Redis."""
    with site.fault():
        os.kill(site.installation.redis.pid, signal.SIGSTOP)
        await asyncio.sleep(site.chance.uniform(0.2, 1.2))
        os.kill(site.installation.redis.pid, signal.SIGCONT)


async def failover(site: Site) -> None:
    """SIGKILL for the primary; Sentinel promotes a replica, and the old primary comes back as a replica."""
    sentinels: Any = site.installation.redis
    await asyncio.to_thread(sentinels.settle)
    with site.fault():
        dead = await asyncio.to_thread(sentinels.kill_primary)
        await asyncio.to_thread(sentinels.wait_for_another, dead)
    await asyncio.to_thread(dead.start)


async def connections_cut(site: Site) -> None:
    """A provider's connections are cut, or fall silent, or the provider is away for a second."""
    apple, google = site.installation.apple, site.installation.google
    with site.fault():
        match site.turn % 4:
            case 0:
                for connection in apple.connections:
                    connection.drop()
            case 1:
                await apple.stop()
                await asyncio.sleep(1.0)
                await apple.start()
            case 2:
                apple.silence()
                await asyncio.sleep(1.0)
            case 3:
                await google.stop()
                await asyncio.sleep(1.0)
                await google.start()


async def single_codes(site: Site) -> None:
    """One push to Apple and one to Google get an error: every error in turn."""
    with site.fault():
        pass
    for provider, codes in ((Provider.APNS, APPLE), (Provider.FCM, GOOGLE)):
        site.phones.choose[provider] = once(codes[site.turn % len(codes)])


def once(code: Code) -> Callable[[str], Code | None]:
    """Choose this error for the next request, and none after it."""
    left = [code]
    return lambda _: left.pop() if left else None


async def nothing(site: Site) -> None:
    """No fault: the figures to compare with."""


class Kind(NamedTuple):
    """One kind of fault."""

    inject: Callable[[Site], Coroutine[Any, Any, None]]
    together: bool = False
    """Whether the next fault begins although this one is not over."""


CALM = "no fault"
KINDS = {
    CALM: Kind(nothing),
    "worker killed": Kind(worker_killed),
    "process paused": Kind(paused, together=True),
    "process replaced": Kind(replaced),
    "web killed": Kind(web_killed),
    "Redis full": Kind(redis_full),
    "Redis paused": Kind(redis_paused),
    "Redis killed": Kind(redis_killed),
    "Redis failover": Kind(failover),
    "connections cut": Kind(connections_cut),
    "single errors": Kind(single_codes),
}


async def inject(kinds: Sequence[str], site: Site, stop: float, turns: int) -> None:
    """Inject a fault every two seconds until `stop`, of each kind in turn, and wait until all are over."""
    tasks = []
    while (began := time.time()) + EVERY_S < stop and site.turn < turns:
        kind = KINDS[kinds[site.turn % len(kinds)]]
        tasks.append(task := asyncio.create_task(kind.inject(site)))
        if not kind.together:
            await task
        await asyncio.sleep(max(0.0, began + EVERY_S - time.time()))
        site.turn += 1
    await asyncio.gather(*tasks)
