"""Pushes to send in the tests."""

import time
import uuid
from collections.abc import Callable
from typing import Any

from bellhop.clock import micros
from bellhop.domain.device import Device, Environment, Kind, Provider
from bellhop.domain.push import Push, PushKind
from worker.providers.apns.apns_sender import ApnsSender

MakeSender = Callable[..., ApnsSender]

TOKEN = "a1" * 32
OTHER_TOKEN = "b2" * 32


def push(kind: PushKind = PushKind.RING, token: str = TOKEN, **changes: Any) -> Push:
    """A push to one of Ben's iPhones."""
    device = Device(
        user_id="ben-osei",
        provider=Provider.APNS,
        kind=Kind.VOIP if kind is PushKind.RING else Kind.ALERT,
        token=token,
        app="com.example.app",
        environment=changes.pop("environment", Environment.PRODUCTION),
    )
    fields = {"id": str(uuid.uuid4()), "payload": {"aps": {}}, "deadline": micros(time.time() + 30)} | changes
    return Push(kind=kind, device=device, **fields)


def ring(token: str = TOKEN, **changes: Any) -> Push:
    """A VoIP push."""
    return push(PushKind.RING, token, **changes)
