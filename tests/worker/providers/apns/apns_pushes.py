"""Pushes to send in the tests."""

from collections.abc import Callable
from typing import Any

from bellhop.domain.device import Environment, Kind
from bellhop.domain.push import Push, PushKind
from tests.factories import a_push, an_iphone
from worker.providers.apns.apns_sender import ApnsSender

MakeSender = Callable[..., ApnsSender]

TOKEN = "a1" * 32
OTHER_TOKEN = "b2" * 32


def push(kind: PushKind = PushKind.RING, token: str = TOKEN, **changes: Any) -> Push:
    """A push to one of Ben's iPhones."""
    device = an_iphone(
        kind=Kind.VOIP if kind is PushKind.RING else Kind.ALERT,
        token=token,
        app="com.example.app",
        environment=changes.pop("environment", Environment.PRODUCTION),
    )
    return a_push(device, kind, **{"payload": {"aps": {}}} | changes)


def ring(token: str = TOKEN, **changes: Any) -> Push:
    """A VoIP push."""
    return push(PushKind.RING, token, **changes)
