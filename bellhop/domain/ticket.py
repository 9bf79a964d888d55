"""Receipts: what a push carries so that the phone can say "I rang", and nobody can say it for it. Pure.

A receipt names the round and the device, and is signed: base64url of `[tenant, cid, stamp, provider, device key]` as
JSON, a dot, and the first 16 bytes of its HMAC-SHA256.
"""

import hashlib
import hmac
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import NamedTuple

MAC_BYTES = 16
MOST_CHARACTERS = 2_048


class Ticket(NamedTuple):
    """Which ring of which device."""

    tenant: str
    cid: str
    started_at: int
    """The round's stamp, unix µs."""
    provider: str
    device: str
    """The device's key."""


def sign(secret: bytes, receipt: Ticket) -> str:
    """Word a receipt for a push."""
    body = _encoded(json.dumps(receipt, separators=(",", ":"), ensure_ascii=False).encode())
    return f"{body}.{_encoded(_mac(secret, body))}"


def read(secret: bytes, text: str) -> Ticket | None:
    """Read a receipt; None for what was not signed with `secret`."""
    body, _, mac = text.partition(".")
    # Everything that signs is ASCII; compared as bytes, since compare_digest refuses other text.
    if len(text) > MOST_CHARACTERS or not hmac.compare_digest(
        _encoded(_mac(secret, body)).encode(), mac.encode("utf-8", "replace")
    ):
        return None
    return Ticket(*json.loads(urlsafe_b64decode(body + "=" * (-len(body) % 4))))


def _mac(secret: bytes, body: str) -> bytes:
    # The purpose is part of what is signed, should the same secret ever sign something else.
    return hmac.digest(secret, b"bellhop receipt " + body.encode("utf-8", "replace"), hashlib.sha256)[:MAC_BYTES]


def _encoded(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()
