"""The ticket of a ring: a push carries it, and the phone sends it back when it rings. Pure.

Only a phone that got the push can show its ticket, so only that phone can report that it rang. The public names are
"receipt": the field in the push, and POST /v1/receipts. A ticket names the round and the device and is signed:
base64url of `[tenant, cid, stamp, provider, device key]` as JSON, a dot, and the first 16 bytes of its HMAC-SHA256.
The form must not change while pushes are under way: phones return tickets that an older version has signed.
"""

import hashlib
import hmac
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import NamedTuple

from bellhop.clock import Micros

MAC_BYTES = 16
LONGEST_TICKET = 2_048
"""Characters. The longest ticket that Bellhop signs has 1,541."""


class Ticket(NamedTuple):
    """Names one ring of one device."""

    tenant: str
    cid: str
    started_at: Micros
    """The round's stamp."""
    provider: str
    device: str
    """The device's key."""


def sign_ticket(secret: bytes, ticket: Ticket) -> str:
    """Write a ticket as the text that a push carries."""
    body = _base64(json.dumps(ticket, separators=(",", ":"), ensure_ascii=False).encode())
    return f"{body}.{_base64(_mac(secret, body))}"


def read_ticket(secret: bytes, text: str) -> Ticket | None:
    """Read a ticket; None if it was not signed with `secret`."""
    body, _, mac = text.partition(".")
    # Compared as bytes: compare_digest raises on text that is not ASCII, and a sender may send any text.
    expected, given = _base64(_mac(secret, body)).encode(), mac.encode("utf-8", "replace")
    if len(text) > LONGEST_TICKET or not hmac.compare_digest(expected, given):
        return None
    return Ticket(*json.loads(urlsafe_b64decode(body + "=" * (-len(body) % 4))))


def _mac(secret: bytes, body: str) -> bytes:
    # The purpose is signed too, so that a signature made for another purpose with the same secret is not valid here.
    return hmac.digest(secret, b"bellhop receipt " + body.encode("utf-8", "replace"), hashlib.sha256)[:MAC_BYTES]


def _base64(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()
