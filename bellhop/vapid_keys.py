"""The key pair of a web app (VAPID, RFC 8292), in base64url as the settings and browsers have it."""

from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bellhop.domain.web_push import from_base64url, to_base64url

CURVE = ec.SECP256R1()
PRIVATE_BYTES = 32


class KeyPair(NamedTuple):
    """Both halves as texts."""

    public: str
    private: str


def new_key_pair() -> KeyPair:
    """Make a key pair."""
    key = ec.generate_private_key(CURVE)
    return KeyPair(_public(key), to_base64url(key.private_numbers().private_value.to_bytes(PRIVATE_BYTES, "big")))


def read_private_key(text: str) -> ec.EllipticCurvePrivateKey:
    """Read the private half. Raises ValueError."""
    data = from_base64url(text)
    if len(data) != PRIVATE_BYTES:
        raise ValueError("a private key has 32 bytes")
    return ec.derive_private_key(int.from_bytes(data, "big"), CURVE)


def public_key_of(private: str) -> str:
    """Return the public half for the private one. Raises ValueError."""
    return _public(read_private_key(private))


def _public(key: ec.EllipticCurvePrivateKey) -> str:
    return to_base64url(key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint))
