"""What the fuzzers feed: bytes in, nothing out, and an exception for what must never happen."""

import hashlib
import hmac
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from bellhop.domain.round import Round
from bellhop.queue.job_payloads import read_payload
from bellhop.queue.names import JOB_TIMEOUT_S, QUEUE_OF, RING_JOB
from bellhop.store.scripts import Command
from webhook.intake.apply import Verdict, apply
from webhook.intake.effects import EffectRules, effects
from webhook.intake.events import UnreadableEvent
from webhook.intake.parsing import parse
from webhook.intake.signature import DEFAULT_LIMITS, KeyRing, RefusedWebhook, SigningApp, verify

CORPUS = Path(__file__).parent / "corpus"
SECRET = b"a-secret-of-no-real-app"
RING = KeyRing([SigningApp("default", ("key",), (b"an-old-secret", SECRET))])
NOW = 1_800_000_000_000_000
SETTINGS = EffectRules("default", ring_default_s=30, missed_grace_s=5, custom_fields=("topic",))
LONGEST_RING_US = 180_000_000


def signature(data: bytes) -> None:
    """Headers, a line each, then the body. Only what a secret signed is taken, and no more than the limit."""
    head, _, body = data.partition(b"\n\n")
    given, key, encoding = ([line.decode("latin-1") for line in head.split(b"\n")] + [""] * 3)[:3]
    try:
        verified = verify(RING, body, signature=given, api_key=key or None, content_encoding=encoding or None)
    except RefusedWebhook:
        verified = None
    else:
        good = [hmac.digest(secret, verified.body, "sha256").hex() for secret in (b"an-old-secret", SECRET)]
        assert given.strip().lower() in good, "taken without a signature"
    # The same body with the right signature, whatever its encoding: inflated within bounds or refused.
    try:
        signed = hmac.new(SECRET, body, hashlib.sha256).hexdigest()
        taken = verify(RING, body, signature=signed, api_key="key", content_encoding=encoding or None)
    except RefusedWebhook:
        return
    assert len(taken.body) <= DEFAULT_LIMITS.max_bytes


def reading(data: bytes) -> None:
    """Any bytes are an event, or say why they are none without showing any of themselves."""
    try:
        event = parse(data)
    except UnreadableEvent as error:
        assert error.__cause__ is None, "a cause carries the body"
        return
    assert event.type
    hash_of = repr(event).encode()  # everything in it is text that UTF-8 can spell
    assert hash_of


def effects_(data: bytes) -> None:
    """What can be read can be taken in: one document for Redis whose job a worker reads back."""
    try:
        event = parse(data)
    except UnreadableEvent:
        return
    found = effects(event, NOW, SETTINGS)
    for _, at in found.stamps:
        assert 0 <= at <= NOW + 60_000_000, "a stamp of the far future would outlive every other"
    if found.round:
        assert found.round.started_at < found.round.deadline <= found.round.started_at + LONGEST_RING_US
        assert found.round.caller_id not in {recipient.id for recipient in found.round.recipients}
    documents: list[dict[str, Any]] = []

    def run(command: Command, *behind: object) -> bytes:
        assert all(key.encode() for key in command.keys)
        documents.append(msgspec.msgpack.decode(command.args[-1]))
        return b"taken"

    if apply(run, "default", "id", event, found, NOW, listed=True) is Verdict.IGNORED:
        assert not documents
        return
    (document,) = documents
    for job in document["jobs"]:
        name, _, (payload,), _ = json.loads(job["data"])
        assert QUEUE_OF[name] == job["queue"]
        assert int(job["timeout"]) == JOB_TIMEOUT_S
        round_ = read_payload(name, payload)
        if name == RING_JOB:
            assert isinstance(round_, Round)
            assert round_.recipients


TARGETS: dict[str, Callable[[bytes], None]] = {"signature": signature, "reading": reading, "effects": effects_}
