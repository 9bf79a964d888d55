"""A Web Push subscription (W3C Push API): the address of its push service, and the keys for its messages. Pure.

The app in the browser gives us all of it. So an endpoint is an address that a stranger chose: only those of known push
services are accepted, and the sender checks the address that the connection goes to as well.
"""

import hashlib
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable

KNOWN_SERVICES = (
    "fcm.googleapis.com",
    "*.push.apple.com",
    "updates.push.services.mozilla.com",
    "*.notify.windows.com",
    "jmt17.google.com",
)
"""The push services of Chrome, Safari, Firefox, Edge, and of Debian's Chromium."""
_LABEL = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
"""A part of a host's name: 1 to 63 characters (RFC 1035, section 2.3.4). For an empty or a longer part, Python's
look-up raises UnicodeError."""
_HOST = rf"{_LABEL}(?:\.{_LABEL})*(?::[0-9]{{1,5}})?"
ENDPOINT = re.compile(rf"https://({_HOST})/[!\"$-\[\]-~]*")
"""An https URL without user, fragment and backslash. A browser writes the host in lower case."""
SERVICE = re.compile(rf"(?:\*\.)?{_HOST}")
"""The host of a push service, with a port unless it is 443; *. stands for one or more names."""
BASE64 = re.compile(r"[A-Za-z0-9_-]+={0,2}")
UNKNOWN_PUSH_SERVICE = "is not of a push service that Bellhop sends to: BELLHOP_WEB_PUSH_HOSTS can add its host"
AUTH_BYTES, POINT_BYTES = 16, 65
LONGEST_TOPIC = 32
"""Characters of base64url (RFC 8030, section 5.4)."""

# The curve P-256, y² = x³ - 3x + B modulo P (SEC 2, section 2.4.2).
P = 2**256 - 2**224 + 2**192 + 2**96 - 1
B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B


def host_of(endpoint: str) -> str:
    """Return the host of an endpoint, with its port if it has one. Raises ValueError for any other text."""
    matched = ENDPOINT.fullmatch(endpoint)
    if matched is None:
        raise ValueError("an endpoint must be an https URL, as the browser gives it")
    return matched[1]


def push_host(endpoint: str) -> str:
    """Return the host of an endpoint as settings write it: with its port, unless that is 443. Raises ValueError."""
    return host_of(endpoint).removesuffix(":443")


def service_of(endpoint: str, services: Iterable[str]) -> str | None:
    """Return the push service of an endpoint, as it is written in `services`; None if it belongs to none."""
    host = push_host(endpoint)
    return next((service for service in services if _is_of(host, service)), None)


def _is_of(host: str, service: str) -> bool:
    return host.endswith(service[1:]) and host != service[2:] if service.startswith("*.") else host == service


def read_public_key(text: str) -> str:
    """Return the browser's public key (`p256dh`) in the usual form. Raises ValueError."""
    data = from_base64url(text)
    x, y = int.from_bytes(data[1:33], "big"), int.from_bytes(data[33:], "big")
    on_curve = x < P and y < P and (y * y - (x * x * x - 3 * x + B)) % P == 0
    if len(data) != POINT_BYTES or data[0] != 4 or not on_curve:
        raise ValueError("p256dh must be an uncompressed point of the curve P-256, in base64url")
    return to_base64url(data)


def read_auth(text: str) -> str:
    """Return the secret of a subscription (`auth`) in the usual form. Raises ValueError."""
    data = from_base64url(text)
    if len(data) != AUTH_BYTES:
        raise ValueError("auth must be 16 bytes in base64url")
    return to_base64url(data)


def topic(tenant: str, cid: str) -> str:
    """Return the Topic of all messages about a call: while one waits for the browser, a later one replaces it."""
    return to_base64url(hashlib.sha256(f"{tenant}|{cid}".encode()).digest())[:LONGEST_TOPIC]


def to_base64url(data: bytes) -> str:
    """Write bytes in base64url without padding."""
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def from_base64url(text: str) -> bytes:
    """Read base64url, with or without padding. Returns no bytes for any other text."""
    if BASE64.fullmatch(text) is None:
        return b""
    unpadded = text.rstrip("=")
    return urlsafe_b64decode(unpadded + "=" * (-len(unpadded) % 4)) if len(unpadded) % 4 != 1 else b""
