"""Redis is killed, and started with data that are some moments old: what living workers sent must not be sent again."""

import asyncio
import shutil
import signal
from collections import Counter

import pytest

from bellhop.domain.device import Kind, Provider
from bellhop.explain.explanation import explain
from bellhop.queue.names import RINGS
from bellhop.sandbox.installation import Installation
from bellhop.sandbox.redis_server import RedisServer
from bellhop.sandbox.stream_webhooks import SampleCall
from bellhop.store.keys import rq_queue_key
from tests.trails import trail_of

PHONES = [f"{number:064x}" for number in range(20)]
DATA = "appendonlydir"
UNFINISHED = "return redis.call('LLEN', KEYS[1]) + #redis.call('KEYS', 'bellhop:inflight:*')"
"""One command: between two, a job may move from one list to the other."""


class Old:
    """An installation whose Redis can go back to an earlier moment."""

    def __init__(self, installation: Installation) -> None:
        self.installation, self.folder = installation, installation.redis.folder
        self.calls = [SampleCall("sara", (f"user-{number}",), ring_ms=120_000) for number in range(len(PHONES))]

    async def ring(self) -> None:
        for token, call in zip(PHONES, self.calls, strict=True):
            await self.installation.register(call.members[0], Provider.APNS, Kind.VOIP, token)
        for call in self.calls:
            assert (await self.installation.stream.post(call.ring())).status == 200

    async def until(self, look, what: str) -> None:
        for _ in range(6_000):
            if await look():
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f"never: {what}; {self.rung}; {self.installation.log('worker-1')[-500:]}")

    @property
    def rung(self) -> Counter[str]:
        return Counter(arrival.token for arrival in self.installation.arrivals)

    async def all_rang(self) -> bool:
        return set(self.rung) == set(PHONES)

    async def all_has_ended(self) -> bool:
        return not await self.installation.store.call("EVAL", UNFINISHED, 1, rq_queue_key(RINGS))

    def keep(self) -> None:
        shutil.copytree(self.folder / DATA, self.folder / "earlier")

    def go_back(self) -> None:
        self.installation.redis.stop(signal.SIGKILL)
        shutil.rmtree(self.folder / DATA)
        shutil.move(self.folder / "earlier", self.folder / DATA)
        self.installation.redis.start()

    async def accepted(self, call: SampleCall) -> int:
        lines = await trail_of(self.installation.store, call.cid)
        return len([line for line in lines if line.what == "attempted" and line.outcome == "accepted"])


@pytest.fixture
async def old(tmp_path):
    installation = Installation(tmp_path, {"MISSED_GRACE_S": "60"})
    installation.redis = RedisServer(tmp_path, "--appendfsync", "always")
    async with installation:
        yield Old(installation)


async def test_the_worker_that_sent_them_sends_none_again(old):
    old.installation.apple.answer_delay_s = 1
    await old.ring()
    await old.until(old.all_rang, "they ring")
    old.keep()
    await old.until(old.all_has_ended, "the answers are recorded")
    await asyncio.to_thread(old.go_back)
    await old.until(old.all_has_ended, "the jobs have run again")
    assert old.rung == Counter(PHONES)
    for call in old.calls:
        assert await old.accepted(call) == 1
        (jane,) = explain(call.cid, await trail_of(old.installation.store, call.cid)).rounds[0].people
        assert " was rung " in jane.verdict


async def test_a_job_that_another_worker_took_is_on_the_trail(old):
    first = old.installation.processes["worker-1"]
    first.send_signal(signal.SIGSTOP)
    await old.ring()
    old.keep()
    first.send_signal(signal.SIGCONT)
    await old.until(old.all_rang, "they ring")
    await old.until(old.all_has_ended, "the answers are recorded")
    first.send_signal(signal.SIGSTOP)
    await asyncio.to_thread(old.go_back)
    old.installation.start("worker", "worker-2")
    await old.until(lambda: _all_twice(old), "the other worker rings them again")
    await old.until(old.all_has_ended, "its answers are recorded")
    first.send_signal(signal.SIGCONT)
    await old.until(lambda: _all_told_twice(old), "the first worker restores its records")
    assert old.rung == Counter(PHONES * 2)


async def _all_told_twice(old: Old) -> bool:
    return all([await old.accepted(call) == 2 for call in old.calls])


async def _all_twice(old: Old) -> bool:
    return min(old.rung.values()) == 2
