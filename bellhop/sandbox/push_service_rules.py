"""The checks that a browser's push service and the browser itself make on a message. Pure."""

import re
import struct
import time
from collections.abc import Mapping
from typing import NamedTuple

import jwt
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bellhop.domain.web_push import from_base64url

CURVE = ec.SECP256R1()
MOST_BYTES = 4_096
KEY_BYTES, TAG_BYTES = 65, 16
LONGEST_TTL_S, LONGEST_TOKEN_S = 28 * 86_400, 86_400
URGENCIES = {"very-low", "low", "normal", "high"}
VAPID = re.compile(r"vapid t=([\w-]+\.[\w-]+\.[\w-]+), ?k=([\w-]+)")
OTHER_KEY = (
    "the VAPID credentials in the authorization header do not correspond to the credentials used to create the "
    "subscriptions."
)


class PushRefusal(NamedTuple):
    """The status and the text of a refusal."""

    status: int
    text: str


def refused_headers(headers: Mapping[str, str]) -> PushRefusal | None:
    """Check a request's headers, except Authorization (RFC 8030, section 5; RFC 8291, section 4)."""
    ttl, topic = headers.get("TTL", ""), headers.get("Topic")
    if not (ttl.isascii() and ttl.isdigit() and int(ttl) <= LONGEST_TTL_S):
        return PushRefusal(400, "TTL must be a number of seconds")
    if headers.get("Urgency", "normal") not in URGENCIES:
        return PushRefusal(400, "Urgency is not known")
    if topic is not None and not re.fullmatch(r"[\w-]{1,32}", topic, re.ASCII):
        return PushRefusal(400, "Topic must be at most 32 characters of base64url")
    if headers.get("Content-Encoding") != "aes128gcm":
        return PushRefusal(415, "Content-Encoding must be aes128gcm")
    return None


def refused_sender(authorization: str, origin: str, subscribed_with: str) -> PushRefusal | None:
    """Check who sends (RFC 8292): the token's signature, its audience, its times and its subject, and the key."""
    matched = VAPID.fullmatch(authorization)
    if matched is None:
        return PushRefusal(401, "no VAPID token")
    try:
        key = ec.EllipticCurvePublicKey.from_encoded_point(CURVE, from_base64url(matched[2]))
        claims = jwt.decode(matched[1], key, ["ES256"], audience=origin, options={"require": ["exp", "aud", "sub"]})
    except (ValueError, jwt.InvalidTokenError) as error:
        return PushRefusal(403, f"invalid JWT: {error}")
    if claims["exp"] > time.time() + LONGEST_TOKEN_S:
        return PushRefusal(403, "the token lives longer than a day")
    if not re.fullmatch(r"mailto:\S+@\S+|https://\S+", claims["sub"]):
        return PushRefusal(403, "sub must be mailto: or https:")
    return None if matched[2] == subscribed_with else PushRefusal(403, OTHER_KEY)


def decrypt(body: bytes, key: ec.EllipticCurvePrivateKey, auth: bytes) -> bytes:
    """Decrypt a message as the browser does. Raises ValueError.

    It uses another part of `cryptography` than the sender, so that the same mistake cannot be in both.
    """
    if len(body) > MOST_BYTES:
        raise ValueError("the message is too large")
    if len(body) < 16 + 5 + KEY_BYTES + TAG_BYTES + 1:
        raise ValueError("the message is too short")
    salt, (record, length) = body[:16], struct.unpack(">IB", body[16:21])
    if length != KEY_BYTES or record < len(body) - 21 - KEY_BYTES:
        raise ValueError("the message is not one record, or has no key of its sender")
    theirs, record_text = body[21 : 21 + KEY_BYTES], body[21 + KEY_BYTES :]
    ours = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    shared = key.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(CURVE, theirs))
    secret = HKDF(hashes.SHA256(), 32, auth, b"WebPush: info\x00" + ours + theirs).derive(shared)
    content_key = HKDF(hashes.SHA256(), 16, salt, b"Content-Encoding: aes128gcm\x00").derive(secret)
    nonce = HKDF(hashes.SHA256(), 12, salt, b"Content-Encoding: nonce\x00").derive(secret)
    try:
        padded = AESGCM(content_key).decrypt(nonce, record_text, None)
    except InvalidTag:
        raise ValueError("the message is not for this browser") from None
    text = padded.rstrip(b"\0")
    if text.endswith(b"\2"):
        return text[:-1]
    raise ValueError("the record does not end as the last one")
