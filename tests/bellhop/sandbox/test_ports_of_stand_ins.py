"""A stand-in that stops and starts again finds its port free: no other process of ours takes it in the meantime."""

import socket

import pytest

from bellhop.sandbox.apple_server import AppleStandIn
from bellhop.sandbox.http2_push_service import Http2PushService
from bellhop.sandbox.smtp_server import SmtpStandIn
from bellhop.sandbox.stream_rest import StreamApiStandIn
from bellhop.sandbox.tls import Authority


@pytest.mark.parametrize("kind", [AppleStandIn, Http2PushService, SmtpStandIn, StreamApiStandIn])
async def test_a_port_stays_reserved_while_its_stand_in_is_stopped(tmp_path, kind):
    arguments = {SmtpStandIn: (), StreamApiStandIn: ("key", "secret")}
    stand_in = kind(*arguments.get(kind, [Authority(tmp_path)]))
    await stand_in.start()
    port = stand_in.port
    await stand_in.stop()
    with socket.socket(type=socket.SOCK_DGRAM) as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", port))  # as `free_port` does in another process
    await stand_in.start()
    assert stand_in.port == port
    await stand_in.stop()
