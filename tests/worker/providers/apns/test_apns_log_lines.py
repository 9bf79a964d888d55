"""The log lines of a connection do not carry the webhook of a push that it sent."""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable

import pytest
from structlog.contextvars import bind_contextvars, get_contextvars, merge_contextvars
from structlog.testing import capture_logs

from bellhop.domain.outcomes import Outcome
from bellhop.sandbox.apple_script import GoAway
from bellhop.sandbox.apple_server import AppleStandIn
from tests.worker.providers.apns.apns_pushes import TOKEN, MakeSender, ring
from worker.providers.apns.apns_sender import ApnsSender
from worker.providers.http2.connection_policy import ConnectionPolicy

AT_ONCE_S = 5


async def job(sender: ApnsSender, webhook: str, timeout_s: float = 5) -> Outcome:
    """Send a push as a job does: in a task of its own, whose log lines carry the webhook that it is for."""

    async def run() -> Outcome:
        bind_contextvars(webhook=webhook)
        result = await sender.send(ring(), timeout_s)
        assert get_contextvars() == {"webhook": webhook}
        return result.outcome

    return await asyncio.create_task(run())


async def refuse(apple: AppleStandIn, sender: ApnsSender) -> None:
    apple.stop_listening()
    apple.connections[0].drop()
    while await job(sender, "second") is not Outcome.UNSENT:
        pass  # the first may leave before the sender knows that the connection is lost


async def fall_silent(apple: AppleStandIn, sender: ApnsSender) -> None:
    apple.silence()
    await job(sender, "second", 0.2)  # too late for it, so the connection gets a PING


async def be_idle_and_fall_silent(apple: AppleStandIn, sender: ApnsSender) -> None:
    apple.silence()
    await asyncio.sleep(0.1)  # the connection sends its own PINGs


async def reset_under_a_write(apple: AppleStandIn, sender: ApnsSender) -> None:
    transport = apple.connections[0].transport
    assert transport is not None
    # Closed with a reset, which the next write finds before anything is read.
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    apple.connections[0].drop()
    await job(sender, "second")


async def say_goodbye(apple: AppleStandIn, sender: ApnsSender) -> None:
    apple.script(TOKEN, GoAway())
    await job(sender, "second")


@pytest.mark.parametrize(
    ("happen", "event"),
    [
        (refuse, "apns_connection_lost"),
        (refuse, "apns_connect_failed"),
        (fall_silent, "apns_connection_aborted"),
        (be_idle_and_fall_silent, "apns_connection_aborted"),
        (reset_under_a_write, "apns_connection_lost"),
        (say_goodbye, "apns_connection_ends"),
    ],
)
async def test_log_lines_of_a_connection_name_no_webhook(
    apple: AppleStandIn,
    make_sender: MakeSender,
    happen: Callable[[AppleStandIn, ApnsSender], Awaitable[None]],
    event: str,
) -> None:
    ping_every_s = 0.05 if happen is be_idle_and_fall_silent else 60.0
    policy = ConnectionPolicy(ping_every_s=ping_every_s, ping_timeout_s=0.1)
    sender = make_sender(max_connections=1, policy=policy)
    with capture_logs(processors=[merge_contextvars]) as lines:
        await job(sender, "first")  # opens the connection
        await happen(apple, sender)
        async with asyncio.timeout(AT_ONCE_S):
            while event not in {line["event"] for line in lines}:
                await asyncio.sleep(0.01)
    assert "apns_connected" in {line["event"] for line in lines}
    assert [line for line in lines if "webhook" in line] == []
