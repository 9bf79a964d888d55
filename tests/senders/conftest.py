"""Senders, and the stand-ins they talk to."""

from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from bellhop.domain.push import Push, PushKind
from bellhop.sandbox.google_server import GoogleStandIn
from tests.factories import a_device, a_push
from worker.providers.fcm.fcm_sender import FcmSender


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
        defaults = {"url": google.url, "ca_file": google.ca_file}
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
