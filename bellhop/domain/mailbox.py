"""The keyed hash of an e-mail address: limits and unsubscribes are stored under it, not under the address. Pure."""

import hmac
from collections.abc import Sequence
from hashlib import sha256

from pydantic import SecretStr

HASH_DIGITS = 32
PURPOSE = b"bellhop mailbox\0"


def mailbox(address: str) -> str:
    """Return what the spellings of an address have in common: ann+shop@Example.com goes to ann@example.com."""
    local, _, domain = address.rpartition("@")
    return f"{local.partition('+')[0] or local}@{domain}".lower()


class KeyedHashes:
    """Hashes texts for one purpose, with each secret. The first makes new hashes, the others find older ones."""

    def __init__(self, secrets: Sequence[SecretStr], purpose: bytes) -> None:
        self._keys = [hmac.digest(secret.get_secret_value().encode(), purpose, sha256) for secret in secrets]

    def of(self, text: str) -> list[str]:
        """Return the hashes of a text, the newest first."""
        data = text.encode("utf-8", "replace")
        return [hmac.digest(key, data, sha256).hex()[:HASH_DIGITS] for key in self._keys]


class MailboxHashes:
    """The keyed hashes of addresses."""

    def __init__(self, secrets: Sequence[SecretStr]) -> None:
        self._hashes = KeyedHashes(secrets, PURPOSE)

    def of(self, tenant: str, address: str) -> list[str]:
        """Return the hashes of an address of a user of this tenant, the newest first."""
        return self._hashes.of(f"{tenant}\0{mailbox(address)}")
