"""Values that many tests build. A test names the fields that it is about; all other fields have a default.

Milestones of a trail are in tests/trails.py. Events as Stream posts them come from `SampleCall`
(bellhop/sandbox/stream_webhooks.py).
"""

import time
import uuid
from pathlib import Path
from typing import Any

from bellhop.clock import Micros, Seconds, micros
from bellhop.domain.call_snapshot import CallSnapshot
from bellhop.domain.device import Device, Kind, Provider
from bellhop.domain.outcomes import AttemptResult, Outcome
from bellhop.domain.push import Push, PushKind
from bellhop.domain.round import Recipient, Round
from bellhop.queue.job_payloads import QueuedRound
from bellhop.sandbox.apple_server import new_signing_key
from bellhop.settings import Settings
from webhook.intake.events import EventUser, Ring
from worker.delivery.attempt import Delivered
from worker.delivery.fence import Admission, Record

APNS_TOKEN = "ab" * 32
PUBLIC_KEY_OF_1 = "BGsX0fLhLEJH-Lzm5WOkQPJ3A32BLeszoPShOUXYmMKWT-NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfU"
"""The public key of P-256 whose private key is 1, in base64url: the curve's generator."""


def a_round(*users: str, for_s: float = 30, ago_s: float = 0, **changes: Any) -> Round:
    """Sara rings these users (default: ben). The round began `ago_s` ago and lasts `for_s`."""
    return Round(**_fields_of_a_round(users, for_s, ago_s, changes))


def a_queued_round(*users: str, for_s: float = 30, ago_s: float = 0, **changes: Any) -> QueuedRound:
    """The same round, as its jobs carry it."""
    return QueuedRound(**_fields_of_a_round(users, for_s, ago_s, changes))


def _fields_of_a_round(users: tuple[str, ...], for_s: float, ago_s: float, changes: dict[str, Any]) -> dict[str, Any]:
    started_at = changes.get("started_at", micros(time.time() - ago_s))
    return {
        "tenant": "default",
        "cid": "default:1",
        "session_id": "s-1",
        "started_at": started_at,
        "deadline": started_at + round(for_s * 1e6),
        "caller_id": "sara",
        "caller_name": "Sara",
        "recipients": tuple(Recipient(id=user) for user in users or ("ben",)),
    } | changes


def a_device(user: str = "ben", **changes: Any) -> Device:
    """An Android phone of this user."""
    fields = {"user_id": user, "provider": Provider.FCM, "token": f"token-{user}", "app": "calls"}
    return Device(**fields | changes)


def an_iphone(user: str = "ben", **changes: Any) -> Device:
    """An iPhone's VoIP token of this user."""
    return a_device(user, **{"provider": Provider.APNS, "kind": Kind.VOIP, "token": APNS_TOKEN} | changes)


def a_browser(user: str = "ben", **changes: Any) -> Device:
    """A browser's subscription of this user, at Google's push service; its private key is 1, its secret zeros."""
    endpoint = f"https://fcm.googleapis.com/fcm/send/{user}"
    return a_device(
        user,
        **{"provider": Provider.WEB_PUSH, "token": endpoint, "p256dh": PUBLIC_KEY_OF_1, "auth": "A" * 22} | changes,
    )


def a_push(device: Device | None = None, kind: PushKind = PushKind.RING, left_s: float = 30, **changes: Any) -> Push:
    """A push to this device (default: ben's Android phone) that may be sent for `left_s`. It has an id of its own."""
    fields = {"id": str(uuid.uuid4()), "payload": {}, "deadline": micros(time.time() + left_s)} | changes
    return Push(kind=kind, device=device or a_device(), **fields)


def a_delivery(device: Device, outcome: Outcome, **answer: Any) -> Delivered:
    """A push to this device that ended with this outcome; `answer` is what the provider said."""
    return Delivered(a_push(device), outcome, AttemptResult(outcome, **answer))


def a_dead_token(device: Device, since: Micros | None) -> Delivered:
    """A push to this device that Apple answered with: this token is dead since then."""
    return a_delivery(device, Outcome.TOKEN_DEAD, status=410, reason="Unregistered", dead_since=since)


class OpenFence:
    """A fence that allows every attempt, and records nothing."""

    async def admit(self, push: Push, attempt_s: float) -> Admission:
        return Admission(None, Seconds(time.monotonic()), Seconds(30.0))

    async def write(self, record: Record) -> None: ...


def event_fields(kind: str, at: int | None, **changes: Any) -> dict[str, Any]:
    """What the events of every kind have in common; `kind` is the part after "call."."""
    fields = {"cid": "default:1", "session_id": "s-1", "snapshot": CallSnapshot()}
    return {"type": f"call.{kind}", "at": at} | fields | changes


def an_event_user(user: str) -> EventUser:
    """A user named after the id."""
    return EventUser(user, user.title())


def a_ring_event(at: int | None, *users: str, **changes: Any) -> Ring:
    """A call.ring of Sara's for these users (default: ben)."""
    fields = event_fields("ring", at) | {
        "caller": an_event_user("sara"),
        "members": tuple(an_event_user(user) for user in users or ("ben",)),
        "created_by_id": "sara",
        "call_name": "",
        "video": True,
        "ring_ms": 30_000,
    }
    return Ring(**fields | changes)


def web_settings(redis_url: str, **changes: Any) -> Settings:
    """Settings of a web process with one Stream app; its key is "key" and its secret "secret"."""
    return Settings(**{"redis_url": redis_url, "stream_api_key": ["key"], "stream_api_secret": ["secret"]} | changes)


def apple_that_is_away(folder: Path) -> dict[str, str]:
    """The settings, without their prefix, of an Apple app whose pushes go to an address where nothing listens."""
    key_file = folder / "apns-key.p8"
    key_file.write_text(new_signing_key()[0])
    return {
        "APNS_KEY_FILE": str(key_file),
        "APNS_KEY_ID": "K" * 10,
        "APNS_TEAM_ID": "T" * 10,
        "APNS_TOPIC": "com.example",
        "APNS_URL": "https://127.0.0.1:1",
        "APNS_SANDBOX_URL": "https://127.0.0.1:1",
    }
