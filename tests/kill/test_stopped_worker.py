"""A worker that stands still longer than its lease, between two attempts, while another takes its job over."""

import asyncio
import signal
from collections import Counter
from collections.abc import Awaitable, Callable

from bellhop.domain.device import Kind, Provider
from bellhop.sandbox.apple_script import AppleReply
from bellhop.sandbox.installation import Installation
from bellhop.sandbox.stream_webhooks import SampleCall
from bellhop.store.keys import lease_key
from tests.redis_servers import keys_that_begin

PHONES = [f"{number:064x}" for number in range(10)]
REFUSED = AppleReply(503, "Shutdown", retry_after="3")
"""The second attempt follows after three seconds. Until then, the worker has claimed no phone."""
ACCEPTED = AppleReply(delay_s=1)


async def until(look: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(60):
        while not await look():
            await asyncio.sleep(0.01)


async def test_each_phone_rings_once_though_both_workers_send(tmp_path):
    async with Installation(tmp_path, {"MISSED_GRACE_S": "60"}) as installation:
        redis, apple = installation.redis, installation.apple
        for token in PHONES:
            await installation.register("jane", Provider.APNS, Kind.VOIP, token)
            apple.script(token, REFUSED, ACCEPTED, ACCEPTED)
        (lease,) = keys_that_begin(redis, lease_key(""))

        async def all_refused() -> bool:
            return len(apple.requests) == len(PHONES)

        async def lease_has_ended() -> bool:
            return lease not in keys_that_begin(redis, lease_key(""))

        async def all_has_ended() -> bool:
            rung = {arrival.token for arrival in installation.arrivals}
            return rung == set(PHONES) and not keys_that_begin(redis, "bellhop:inflight:")

        reply = await installation.stream.post(SampleCall("sara", ("jane",), ring_ms=120_000).ring())
        assert reply.status == 200
        await until(all_refused)
        installation.processes["worker-1"].send_signal(signal.SIGSTOP)
        installation.start("worker", "worker-2")
        await until(lease_has_ended)
        installation.processes["worker-1"].send_signal(signal.SIGCONT)
        await until(all_has_ended)
        assert Counter(arrival.token for arrival in installation.arrivals) == Counter(PHONES)
