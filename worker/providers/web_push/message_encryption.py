"""Encrypts a message for one browser, as RFC 8291 says: the body is one record of RFC 8188 (aes128gcm)."""

import hmac
import os
import struct

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

CURVE = ec.SECP256R1()
RECORD_BYTES = 4_096
"""What every push service accepts (RFC 8030, section 7.2)."""
LAST_RECORD = b"\2"
"""The delimiter after the text of the last record (RFC 8188, section 2)."""


def encrypt(
    text: bytes,
    public_key: bytes,
    auth: bytes,
    own_key: ec.EllipticCurvePrivateKey | None = None,
    salt: bytes | None = None,
) -> bytes:
    """Return the body to POST with `Content-Encoding: aes128gcm`.

    `public_key` (65 bytes) and `auth` (16 bytes) are the browser's. `own_key` and `salt` are for this message alone;
    only tests give them. Raises ValueError for a key that is not a point of the curve.
    """
    own_key = own_key or ec.generate_private_key(CURVE)
    salt = salt or os.urandom(16)
    own_public = own_key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    shared = own_key.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(CURVE, public_key))
    secret = _hkdf(auth, shared, b"WebPush: info\0" + public_key + own_public, 32)
    extracted = hmac.digest(salt, secret, "sha256")
    key = _expand(extracted, b"Content-Encoding: aes128gcm\0", 16)
    nonce = _expand(extracted, b"Content-Encoding: nonce\0", 12)
    header = salt + struct.pack(">IB", RECORD_BYTES, len(own_public)) + own_public
    return header + AESGCM(key).encrypt(nonce, text + LAST_RECORD, None)


def _hkdf(salt: bytes, material: bytes, info: bytes, length: int) -> bytes:
    return _expand(hmac.digest(salt, material, "sha256"), info, length)


def _expand(key: bytes, info: bytes, length: int) -> bytes:
    """Return the first block of HKDF-Expand with SHA-256 (RFC 5869, section 2.3), cut to `length` bytes."""
    return hmac.digest(key, info + b"\1", "sha256")[:length]
