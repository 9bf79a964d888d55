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


class MailboxHashes:
    """Hashes addresses with each of the secrets. The first secret makes new hashes, the others find older ones."""

    def __init__(self, secrets: Sequence[SecretStr]) -> None:
        self._keys = [hmac.digest(secret.get_secret_value().encode(), PURPOSE, sha256) for secret in secrets]

    def of(self, tenant: str, address: str) -> list[str]:
        """Return the hashes of an address of a user of this tenant, the newest first."""
        text = f"{tenant}\0{mailbox(address)}".encode("utf-8", "replace")
        return [hmac.digest(key, text, sha256).hex()[:HASH_DIGITS] for key in self._keys]
