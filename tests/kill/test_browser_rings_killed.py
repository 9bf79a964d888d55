"""The worker that removes a ring from a browser ends before it sends the push. Another worker sends it, once."""

import asyncio
import signal

import pytest

from bellhop.domain.device import Device, Provider
from bellhop.sandbox.installation import WEB_APP, Installation
from bellhop.sandbox.stream_webhooks import SampleCall
from bellhop.store.registry import register
from bellhop.store.steps import run_steps
from tests.waiting import come_true

IN_FLIGHT = "bellhop:inflight:bellhop-notices:"


async def with_a_notice_job(installation):
    """The processes that have a job of the notices' queue. The log of a worker has its name in Redis."""
    keys = await installation.store.call("KEYS", f"{IN_FLIGHT}*")
    names = [key.decode().removeprefix(IN_FLIGHT) for key in keys]
    return [process for process in installation.processes for name in names if name in installation.log(process)]


async def kill(installation, worker):
    installation.stop(worker, signal.SIGKILL)


async def hand_back(installation, worker):
    """At the second signal, a worker gives its jobs back at once."""
    installation.processes[worker].send_signal(signal.SIGTERM)
    await come_true(lambda: "draining" in installation.log(worker))
    assert installation.stop(worker, signal.SIGTERM) == 0


@pytest.mark.timeout(120)
@pytest.mark.parametrize("end", [kill, hand_back])
async def test_another_worker_takes_the_ring_away(tmp_path, end):
    async with Installation(tmp_path, workers=2, web_push=True) as installation:
        service = installation.push_service
        browser = service.subscribe(installation.web_push_keys.public)
        given = browser.subscription
        device = Device(
            user_id="jane", provider=Provider.WEB_PUSH, app=WEB_APP, token=given["endpoint"], **given["keys"]
        )
        await run_steps(register("default", device), installation.store)
        call = SampleCall("sara", ("jane",))
        await installation.stream.post(call.ring())
        await come_true(lambda: service.pushes(browser))
        await service.stop()
        connecting = asyncio.Event()

        async def answer_nothing(reader, writer):
            connecting.set()
            while await reader.read(1_000):
                pass
            writer.close()

        dark = await asyncio.start_server(answer_nothing, "127.0.0.1", service.port)
        await installation.stream.post(call.accepted("jane"))
        await asyncio.wait_for(connecting.wait(), 30)  # the device is claimed, and nothing is sent yet
        [sending] = await with_a_notice_job(installation)
        await end(installation, sending)
        dark.close()
        await service.start()
        await come_true(lambda: len(service.pushes(browser)) == 2)
        while await with_a_notice_job(installation):
            await asyncio.sleep(0.05)
        assert [push.data["type"] for push in service.pushes(browser)] == ["call.ring", "call.ring_over"]
