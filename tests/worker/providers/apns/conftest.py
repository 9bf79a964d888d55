"""Apple's stand-in, and senders that push to it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from bellhop.sandbox.apple_server import AppleStandIn, new_signing_key
from bellhop.sandbox.tls import Authority
from tests.worker.providers.apns.apns_pushes import MakeSender
from worker.providers.apns.apns_sender import ApnsSender
from worker.providers.apns.provider_token import ProviderToken


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="session")
def signing_key() -> tuple[str, str]:
    return new_signing_key()


@pytest.fixture
async def apple(authority: Authority, signing_key: tuple[str, str]) -> AsyncIterator[AppleStandIn]:
    """Apple, verifying our provider tokens. No exception may be left to the event loop while it is used."""
    stray: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: stray.append(context))
    async with AppleStandIn(authority, public_key=signing_key[1]) as apple:
        yield apple
    assert stray == []


@pytest.fixture
async def make_sender(apple: AppleStandIn, signing_key: tuple[str, str]) -> AsyncIterator[MakeSender]:
    """Make senders for com.example.app that are closed after the test; takes ApnsSender's options."""
    senders: list[ApnsSender] = []

    def make(**options: Any) -> ApnsSender:
        if "certificate_file" not in options:
            options.setdefault("token", ProviderToken(signing_key[0], "KEY1234567", "TEAM123456"))
        defaults = {"url": apple.url, "sandbox_url": apple.url, "ca_file": apple.ca_file}
        senders.append(ApnsSender("com.example.app", **(defaults | options)))
        return senders[-1]

    yield make
    async with asyncio.timeout(10):
        await asyncio.gather(*(sender.close() for sender in senders))


@pytest.fixture
def sender(make_sender: MakeSender) -> ApnsSender:
    """A sender with one connection at a time: what happens to one push happens next to the others."""
    return make_sender(max_connections=1)
