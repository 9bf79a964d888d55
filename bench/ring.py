"""A ring inside the worker, in µs of processor time: everything but Redis, sockets and the provider's sender.

Redis and the provider answer at once and from memory, so this is steady where bench.whole shows the neighbours: what to
look at when the worker's code is changed. Then the same with pauses, as between the rings of a calm hour: whatever else
the machine runs has taken the processor's caches by the time the next ring comes. python -m bench.ring [rings]
"""

import asyncio
import statistics
import sys
import time
from collections.abc import Sequence
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

from uvloop import new_event_loop

from bellhop.clock import Micros, Seconds
from bellhop.domain.device import Device, Environment, Kind, Provider
from bellhop.domain.outcomes import AttemptResult, Outcome
from bellhop.domain.push import Push
from bellhop.domain.round import Recipient
from bellhop.queue.job_payloads import QueuedRound, job
from bellhop.queue.names import RING_JOB
from bellhop.telemetry import logs
from worker.delivery.fan_out import DeliveryTools
from worker.delivery.provider_channel import ProviderChannel
from worker.delivery.token_pruning import TokenPruner
from worker.jobs import Jobs
from worker.queue.concurrency_limit import limits_of
from worker.queue.isolation import Isolation
from worker.queue.job_store import JobStore, StartedJob
from worker.queue.running_jobs import RunningJobs

RINGS, ROUNDS = 1_000, 9
PAUSE_S, PAUSED_ROUNDS = 0.005, 3
DEVICE = Device(user_id="jane", provider=Provider.APNS, kind=Kind.VOIP, token="ab" * 32, app="com.example.app")
USER = [[DEVICE.model_dump_json().encode()], [None, None, None, None]]
"""What Redis has of one user with one phone: devices; contact, preferences and two stamps."""


class Memory:
    """Answers as Redis does when all is well."""

    async def script(self, name: str, keys: Sequence[str], args: Sequence[Any]) -> Any:
        return 1

    async def together(self, *commands: Any, in_order: bool = True) -> list[Any]:
        if commands[0][0] == "MGET":
            return [[b"jane"], [30_000_000, 0, b"go"]]
        return USER if commands[0][0] == "HVALS" else [1] * len(commands)

    def server_of_key(self, key: str) -> None:
        """Name no server: there is one for all keys."""


class Willing:
    """A provider that takes every push at once."""

    taken = 0

    async def prepare(self, environment: Environment, within_s: float) -> None:
        pass

    async def send(self, push: Push, timeout_s: float, start_s: float = 0.0) -> AttemptResult:
        self.taken += 1
        return AttemptResult(Outcome.ACCEPTED, 200, "", push.id)

    async def close(self) -> None:
        pass


def job_data() -> bytes:
    now = Micros(time.time_ns() // 1000)
    round_ = QueuedRound(
        tenant="default",
        cid="default:6f0b1c52",
        session_id="c2d7b6a8",
        started_at=now,
        deadline=Micros(now + 600_000_000),
        caller_id="ben",
        caller_name="Ben Osei",
        callers=("ben",),
        video=True,
        recipients=(Recipient(id="jane", language="en"),),
        webhook="f" * 32,
        queued_at=now,
    )
    return job("ring", RING_JOB, round_)["data"].encode()


async def main(rings: int) -> None:
    memory: Any = Memory()
    provider = Willing()
    lanes = {(DEVICE.provider, DEVICE.app): ProviderChannel(provider, "apns com.example.app")}
    jobs = Jobs(DeliveryTools(memory, "worker-1", lanes, TokenPruner(memory)), missed_grace_s=Seconds(5))
    running = RunningJobs(JobStore(memory, "worker-1"), limits_of({"rings": 1}), Isolation(), jobs.handlers.get)
    data = job_data()

    async def ring(number: int) -> None:
        await running.limits["rings"].acquire()
        running.start("rings", b"%d" % number, StartedJob(b"%d" % number, b"now", data, Seconds(60.0), 0))
        await asyncio.gather(*running.tasks)

    async def some_rings(pause_s: float) -> float:
        cpu_s = 0.0
        for number in range(rings):
            if pause_s:
                await asyncio.sleep(pause_s)
            began = time.process_time()
            await ring(number)
            cpu_s += time.process_time() - began
        return cpu_s / rings * 1e6

    with Path("/dev/null").open("w") as nowhere, redirect_stderr(nowhere):
        logs.configure("json", "info")
        hot = [await some_rings(0) for _ in range(ROUNDS)]
        cold = [await some_rings(PAUSE_S) for _ in range(PAUSED_ROUNDS)]
    assert provider.taken == rings * (ROUNDS + PAUSED_ROUNDS)
    for costs, when in ((hot, "one after the other"), (cold, f"after pauses of {PAUSE_S * 1e3:.0f} ms")):
        best, median = min(costs), statistics.median(costs)
        print(f"a ring inside the worker, {when}: {best:.0f} µs at best, {median:.0f} in the median")


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else RINGS))
