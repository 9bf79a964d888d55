"""Senders, and the stand-ins they talk to."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bellhop.clock import Seconds
from bellhop.domain.push import Push, PushKind
from bellhop.sandbox.google_server import GoogleStandIn
from tests.factories import a_device, a_push
from worker.providers.fcm.fcm_sender import FcmSender
from worker.providers.post_session import SessionPolicy

PATIENT = SessionPolicy(connect_timeout_s=Seconds(60))
"""Lets the handshakes of a crowd take as long as a busy machine needs."""


@pytest.fixture
async def google(tmp_path: Path) -> AsyncIterator[GoogleStandIn]:
    """Google's stand-in, with one Firebase project."""
    async with GoogleStandIn(tmp_path) as google:
        yield google


@pytest.fixture
async def make_fcm(google: GoogleStandIn, tmp_path: Path) -> AsyncIterator[Callable[..., FcmSender]]:
    """Make senders for that project that are closed after the test; takes FcmSender's options."""
    senders: list[FcmSender] = []

    def make(**options: Any) -> FcmSender:
        if "service_account_file" not in options:
            options["service_account_file"] = google.write_service_account(tmp_path / "account.json")
        defaults: dict[str, Any] = {"url": google.url, "ca_file": google.ca_file, "policy": PATIENT}
        senders.append(FcmSender(**(defaults | options)))
        return senders[-1]

    yield make
    for sender in senders:
        await sender.close()


@pytest.fixture
def fcm(make_fcm: Callable[..., FcmSender]) -> FcmSender:
    """A sender for that project."""
    return make_fcm()


@pytest.fixture
def android() -> Callable[..., Push]:
    """Make a push to an Android phone: `android("token")`."""

    def push(
        token: str, data: Mapping[str, str] | None = None, kind: PushKind = PushKind.RING, left_s: float = 30
    ) -> Push:
        device = a_device(token=token, app="bellhop-sandbox")
        return a_push(device, kind, left_s, payload={"type": "call.ring"} if data is None else data)

    return push


@asynccontextmanager
async def _http_proxy(answer: bytes) -> AsyncIterator[SimpleNamespace]:
    """Run a proxy that knows CONNECT alone. It opens a tunnel if its answer is a 200, and keeps the requests."""
    proxy = SimpleNamespace(requests=[], url="")
    pipes: set[asyncio.Task[None]] = set()

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            writer.write(data)
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        proxy.requests.append(request.decode())
        writer.write(answer)
        if b" 200 " in answer:
            host, _, port = request.split()[1].decode().rpartition(":")
            far_reader, far_writer = await asyncio.open_connection(host, int(port))
            pipes.update(map(asyncio.create_task, (pipe(reader, far_writer), pipe(far_reader, writer))))
        else:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    proxy.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield proxy
    server.close()
    await asyncio.wait_for(asyncio.gather(*pipes, return_exceptions=True), 5)


@pytest.fixture
def http_proxy() -> Callable[[bytes], AbstractAsyncContextManager[SimpleNamespace]]:
    """Return what runs a proxy with one answer to CONNECT: `async with http_proxy(answer) as proxy`."""
    return _http_proxy
