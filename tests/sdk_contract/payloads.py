"""Print as JSON what Bellhop sends to phones, and what it reads from Stream's webhooks. The code itself is asked.

The tests of this folder (JavaScript) run this script once and compare its output with Stream's packages.
"""

import json
import sys
from collections import defaultdict
from typing import Any
from unittest import mock

from pydantic_core import to_json

from bellhop.clock import Micros
from bellhop.domain.device import Provider
from bellhop.domain.event_types import HANDLED_EVENT_TYPES
from bellhop.domain.payloads import payload
from bellhop.domain.push import RINGING, PushKind
from bellhop.domain.round import Recipient, Round
from bellhop.domain.stream_json import StreamJson, decode
from bellhop.domain.web_push import from_base64url, to_base64url
from bellhop.sandbox.stream_webhooks import SAMPLES
from bellhop.vapid_keys import new_key_pair
from webhook.intake import parsing
from webhook.intake.events import Ring
from worker.providers.web_push.message_encryption import encrypt

SENT_AT_MS, EXPIRES_AT_MS = 1_795_000_000_000, 1_795_000_030_000


class Recorder:
    """An object of an event that records the path of every field that the parser reads."""

    def __init__(self, content: StreamJson, path: str, read: set[str]) -> None:
        self._content, self._path, self._read = content, path, read

    @property
    def __class__(self) -> type[Any]:  # the parser checks the type of an object
        return type(self._content)

    def __getattr__(self, name: str) -> Any:
        path = f"{self._path}{name}"
        self._read.add(path)
        return recording(getattr(self._content, name), path, self._read)


class CustomFields(dict[str, Any]):
    """The custom fields of an object. They record the path of each field that the parser reads."""

    def __init__(self, content: dict[str, Any], path: str, read: set[str]) -> None:
        super().__init__(content)
        self._path, self._read = path, read

    def get(self, key: str, default: Any = None) -> Any:
        """Read a field, present or not."""
        self._read.add(self._path + key)
        return super().get(key, default)


def recording(value: Any, path: str, read: set[str]) -> Any:
    """Wrap a value and all objects in it. The path of a list's entries ends with []."""
    below = f"{path}." if path else ""
    if isinstance(value, StreamJson):
        return Recorder(value, below, read)
    if isinstance(value, dict):
        return CustomFields(value, below, read)
    if isinstance(value, list):
        return [recording(entry, f"{path}[]", read) for entry in value]
    return value


def samples() -> dict[str, list[dict[str, Any]]]:
    """Every sample of a webhook, by its type."""
    by_type = defaultdict(list)
    for path in sorted(SAMPLES.glob("*.json")):
        event = json.loads(path.read_bytes())
        if "type" in event:
            by_type[event["type"]].append(event)
    return by_type


def fields_read() -> dict[str, list[str]]:
    """The paths that the parser reads in the events that Bellhop handles, by type."""
    read: dict[str, set[str]] = {event_type: set() for event_type in HANDLED_EVENT_TYPES}
    for event_type, events in samples().items():
        for event in events if event_type in read else []:
            decoded = decode(json.dumps(event).encode())
            assert decoded is not None
            with mock.patch.object(parsing, "decode", return_value=recording(decoded, "", read[event_type])):
                parsing.parse(b"")
    return {event_type: sorted(paths) for event_type, paths in sorted(read.items())}


def pushes() -> dict[str, dict[str, Any]]:
    """Every kind of push for the first member of the sample ring, by provider and kind."""
    ring = parsing.parse((SAMPLES / "call.ring.json").read_bytes())
    assert isinstance(ring, Ring)
    assert ring.at is not None
    round_ = Round(
        tenant="default",
        cid=ring.cid,
        session_id=ring.session_id,
        started_at=ring.at,
        deadline=Micros(ring.at + 30_000_000),
        caller_id=ring.caller.id,
        caller_name=ring.caller.name,
        call_name=ring.call_name,
        video=ring.video,
    )
    recipient = Recipient(id=ring.members[0].id)

    def build(provider: Provider, kind: PushKind) -> Any:
        receipt = "a.ticket" if kind in RINGING else ""
        return payload(provider, kind, round_, recipient, SENT_AT_MS, EXPIRES_AT_MS, receipt=receipt)

    return {provider: {kind: build(provider, kind) for kind in PushKind} for provider in Provider}


def encrypted() -> dict[str, Any]:
    """Every push to a browser as it is sent, and the browser's keys."""
    pair, auth = new_key_pair(), "BTBZMqHH6r4Tts7J_aSIgg"

    def send(text: bytes) -> str:
        return to_base64url(encrypt(text, from_base64url(pair.public), from_base64url(auth)))

    bodies = {kind: send(to_json(dict(data))) for kind, data in pushes()[Provider.WEB_PUSH].items()}
    return {"private_key": pair.private, "auth": auth, "bodies": bodies, "largest": send(bytes(3_993))}


if __name__ == "__main__":
    json.dump({"encrypted": encrypted(), "pushes": pushes(), "read": fields_read(), "samples": samples()}, sys.stdout)
