"""How a connection to Apple is opened: host, certificates, proxy, and the pace of attempts."""

import asyncio
import base64
import re
import socket
import ssl
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from types import SimpleNamespace

import pytest

from bellhop.domain.device import Environment
from bellhop.domain.outcomes import AttemptResult, Outcome
from bellhop.sandbox.apple_server import AppleStandIn
from bellhop.sandbox.child_process import free_port
from bellhop.sandbox.tls import Authority
from tests.worker.providers.apns.apns_pushes import OTHER_TOKEN, TOKEN, MakeSender, ring
from worker.providers.apns.apns_sender import ApnsSender
from worker.providers.apns.provider_token import ProviderToken
from worker.providers.http2.http2_stream import UnsentError

AT_ONCE_S = 5
HttpProxy = Callable[[bytes], AbstractAsyncContextManager[SimpleNamespace]]


async def test_connections_that_close_at_once_are_opened_slowly(apple: AppleStandIn, sender: ApnsSender) -> None:
    apple.drop_connections = 1000
    give_up = time.monotonic() + 0.5
    while time.monotonic() < give_up:
        assert (await sender.send(ring(), 5)).outcome in {Outcome.UNSENT, Outcome.UNKNOWN}
    assert len(apple.connections) < 10


async def test_without_a_listener_pushes_are_unsent_and_attempts_paced(apple: AppleStandIn, sender: ApnsSender) -> None:
    apple.stop_listening()
    answers: list[AttemptResult] = []
    give_up = time.monotonic() + 0.5
    while time.monotonic() < give_up:
        answers.append(await sender.send(ring(), 5))
    assert len(answers) < 10
    assert {(answer.outcome, answer.reason) for answer in answers} == {
        (Outcome.UNSENT, "cannot connect: ConnectionRefusedError")
    }
    await apple.start()
    async with asyncio.timeout(AT_ONCE_S):
        assert (await sender.send(ring(), 5)).outcome is Outcome.ACCEPTED


async def test_apple_must_show_a_certificate_that_we_trust(
    apple: AppleStandIn, make_sender: MakeSender, tmp_path: Path
) -> None:
    stranger = make_sender(ca_file=Authority(tmp_path).ca_file)
    answer = await stranger.send(ring(), 5)
    assert answer.outcome is Outcome.UNSENT
    assert re.fullmatch(r"cannot connect: SSLCertVerificationError \([a-z -]*certificate[a-z -]*\)", answer.reason)
    with pytest.raises(UnsentError):
        await stranger.warm()


async def test_the_environment_of_the_device_chooses_the_host(
    apple: AppleStandIn, make_sender: MakeSender, authority: Authority
) -> None:
    async with AppleStandIn(authority) as sandbox:
        sender = make_sender(sandbox_url=sandbox.url)
        await sender.send(ring(), 5)
        await sender.send(ring(OTHER_TOKEN, environment=Environment.SANDBOX), 5)
        assert [push.token for push in apple.received] == [TOKEN]
        assert [push.token for push in sandbox.received] == [OTHER_TOKEN]
        await sender.close()


async def test_a_certificate_speaks_instead_of_a_token(
    apple: AppleStandIn, make_sender: MakeSender, authority: Authority
) -> None:
    apple.client_certificates = True
    await apple.start()
    sender = make_sender(certificate_file=authority.client_certificate("com.example.app"))
    assert (await sender.send(ring(), 5)).outcome is Outcome.ACCEPTED
    assert "authorization" not in apple.received[0].headers


@pytest.mark.parametrize("both", [True, False])
def test_a_sender_wants_one_way_to_authenticate(signing_key: tuple[str, str], both: bool) -> None:
    token = ProviderToken(signing_key[0], "KEY", "TEAM") if both else None
    with pytest.raises(ValueError, match="either a token or a certificate_file"):
        ApnsSender("com.example.app", token=token, certificate_file=Path("file.pem") if both else None)


async def test_closing_while_connecting_fails_the_waiting_push(apple: AppleStandIn, make_sender: MakeSender) -> None:
    await apple.go_dark()
    sender = make_sender()
    push = asyncio.create_task(sender.send(ring(), 60))
    await asyncio.sleep(0.1)
    async with asyncio.timeout(AT_ONCE_S):
        await sender.close()
        assert (await push).outcome is Outcome.UNSENT


async def test_a_proxy_is_asked_for_a_tunnel(
    apple: AppleStandIn, make_sender: MakeSender, http_proxy: HttpProxy
) -> None:
    async with http_proxy(b"HTTP/1.1 200 OK\r\n\r\n") as proxy:
        sender = make_sender(proxy=proxy.url.replace("http://", "http://bell:h%40p@"))
        assert (await sender.send(ring(), 5)).outcome is Outcome.ACCEPTED
        await sender.close()
    credentials = base64.b64encode(b"bell:h@p").decode()
    host = f"127.0.0.1:{apple.port}"
    assert proxy.requests == [
        f"CONNECT {host} HTTP/1.1\r\nHost: {host}\r\nProxy-Authorization: Basic {credentials}\r\n\r\n"
    ]


async def test_each_address_of_a_proxy_is_tried(
    apple: AppleStandIn, make_sender: MakeSender, http_proxy: HttpProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy's name has two addresses, and nobody listens at the first one."""
    async with http_proxy(b"HTTP/1.1 200 OK\r\n\r\n") as proxy:
        ports = free_port(), int(proxy.url.rpartition(":")[2])

        async def addresses(*_: object, **__: object) -> list[tuple[object, ...]]:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)) for port in ports]

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", addresses)
        sender = make_sender(proxy="http://proxy.example:3128")
        assert (await sender.send(ring(), 5)).outcome is Outcome.ACCEPTED
        await sender.close()


@pytest.mark.parametrize("answer", [b"HTTP/1.1 403 Forbidden\r\n\r\n", b"", b"\r\n\r\n", b"x" * 10_000])
async def test_a_proxy_that_refuses_leaves_the_push_unsent(
    apple: AppleStandIn, make_sender: MakeSender, http_proxy: HttpProxy, answer: bytes
) -> None:
    async with http_proxy(answer) as proxy:
        refused = await make_sender(proxy=proxy.url).send(ring(), 5)
    assert refused.outcome is Outcome.UNSENT
    assert refused.reason.startswith("cannot connect")
    assert not apple.connections


async def test_a_server_without_http_2_gets_no_push(make_sender: MakeSender, authority: Authority) -> None:
    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    context: ssl.SSLContext = authority.server_context()
    server = await asyncio.start_server(talk, "127.0.0.1", 0, ssl=context)
    url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with asyncio.timeout(AT_ONCE_S):
        assert (await make_sender(url=url).send(ring(), 5)).outcome is Outcome.UNSENT
    server.close()
