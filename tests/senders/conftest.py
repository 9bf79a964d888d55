"""Senders, and the stand-ins they talk to."""

import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import pytest

from bellhop.clock import micros
from bellhop.domain.device import Device, Provider
from bellhop.domain.push import Push, PushKind
from bellhop.sandbox.google_server import GoogleStandIn
from worker.providers.fcm.fcm_sender import FcmSender


@pytest.fixture
async def google(tmp_path: Path) -> AsyncIterator[GoogleStandIn]:
    """Google's stand-in, with one Firebase project."""
    async with GoogleStandIn(tmp_path) as google:
        yield google


@pytest.fixture
async def fcm(google: GoogleStandIn, tmp_path: Path) -> AsyncIterator[FcmSender]:
    """A sender for that project."""
    sender = FcmSender(google.write_service_account(tmp_path / "account.json"), google.url, google.ca_file)
    yield sender
    await sender.close()


@pytest.fixture
def android() -> Callable[..., Push]:
    """Make a push to an Android phone: `android("token")`."""

    def push(
        token: str, data: Mapping[str, str] | None = None, kind: PushKind = PushKind.RING, left_s: float = 30
    ) -> Push:
        device = Device(user_id="ben", provider=Provider.FCM, token=token, app="bellhop-sandbox")
        push_id = "0f8fad5b-d9cb-469f-a165-70867728950e"
        return Push(
            push_id, kind, device, {"type": "call.ring"} if data is None else data, micros(time.time() + left_s)
        )

    return push
