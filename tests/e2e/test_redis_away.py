"""Redis stopped, starved or hung: a webhook is refused soon, and taken when Redis is back."""

import asyncio
import math
import os
import signal
import time

import pytest

from bellhop.domain.device import Kind, Provider
from bellhop.sandbox.installation import Installation
from bellhop.sandbox.redis_server import RedisServer
from bellhop.sandbox.stream_webhooks import SampleCall
from bellhop.store.scripts import sha1
from tests.proxy import Proxy


async def take_away(installation, how):
    if how == "stopped":
        installation.redis.stop(signal.SIGKILL)
    elif how == "hung":
        os.kill(installation.redis.pid, signal.SIGSTOP)
    else:
        await installation.store.call("CONFIG", "SET", "maxmemory", "1")


async def give_back(installation, how):
    if how == "stopped":
        installation.redis.start()
    elif how == "hung":
        os.kill(installation.redis.pid, signal.SIGCONT)
    else:
        await installation.store.call("CONFIG", "SET", "maxmemory", "0")


@pytest.mark.parametrize("how", ["stopped", "hung", "full"])
async def test_without_redis_a_webhook_is_refused_within_five_seconds(tmp_path, how):
    installation = Installation(tmp_path)
    # By default, Redis answers before it writes to its file if the disk is slow. Killed then, it forgets the device.
    installation.redis = RedisServer(tmp_path, "--appendfsync", "always")
    async with installation:
        await installation.register("ben-osei", Provider.APNS, Kind.VOIP, "a1" * 32)
        event = SampleCall(ring_ms=120_000).ring("ben-osei")
        await take_away(installation, how)
        replies, took_s = [], math.inf
        while took_s >= 5 and len(replies) < 3:  # this machine may be slow, so one of three has to be fast
            began = time.monotonic()
            replies.append(await installation.stream.post(event, webhook_id="w1", attempt=len(replies) + 1))
            took_s = time.monotonic() - began
        await give_back(installation, how)
        assert replies == [(503, {"error": "Redis does not answer. Try again."})] * len(replies)
        assert took_s < 5
        assert (await installation.stream.post(event, webhook_id="w1", attempt=4)).status == 200
        give_up = time.monotonic() + 20
        while not installation.arrivals and time.monotonic() < give_up:
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.5)
        assert len(installation.arrivals) == 1


async def test_a_webhook_whose_answer_was_lost_is_taken_once(tmp_path):
    installation = Installation(tmp_path)
    with Proxy(installation.redis.port) as proxy:
        installation.settings["REDIS_URL"] = proxy.url
        async with installation:
            await installation.register("ben-osei", Provider.APNS, Kind.VOIP, "a1" * 32)
            assert (await installation.stream.post(SampleCall().ended())).status == 200  # Redis now knows the script
            lost = proxy.lose_answer(sha1("calls/take_event").encode(), b"taken")
            reply = await installation.stream.post(SampleCall().ring("ben-osei"))
            assert (reply.status, reply.body["status"]) == (200, "already")
            assert lost.happened.wait(10)
            give_up = time.monotonic() + 20
            while not installation.arrivals and time.monotonic() < give_up:
                await asyncio.sleep(0.05)
            await asyncio.sleep(0.5)
            assert len(installation.arrivals) == 1
