"""The signed link that switches a user's e-mails off, without a login (RFC 8058).

E-mails are kept for years. So the salts, the digests, the serializer and the field order of Subscriber must not change:
links in e-mails that were sent long ago must stay valid.
"""

import hmac
import re
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import NamedTuple

from itsdangerous import BadData, URLSafeSerializer
from pydantic import SecretStr

from bellhop.domain.mailbox import HASH_DIGITS, KeyedHashes, MailboxHashes

SALT = "bellhop.unsubscribe"
ADDRESS = "to"
"""The parameter with the hash of the address. Links of older versions have none."""
PROOF = "by"
"""The parameter that proves that the hash belongs to this link. Links of older versions have none."""
PROOF_PURPOSE = b"bellhop unsubscribe address\0"
HASH = re.compile(rf"[0-9a-f]{{{HASH_DIGITS}}}")


class Subscriber(NamedTuple):
    """The user whose e-mails a link switches off, and the language of the page behind it."""

    tenant: str
    user_id: str
    language: str = ""


class UnsubscribeLinks:
    """Makes and reads links under `url`. The first secret signs; all of them verify, so that secrets can be rotated."""

    def __init__(self, url: str, secrets: Sequence[SecretStr]) -> None:
        keys = [secret.get_secret_value() for secret in reversed(secrets)]  # itsdangerous signs with the last
        self._url = url.rstrip("/")
        self.mailboxes = MailboxHashes(secrets)
        self._proofs = KeyedHashes(secrets, PROOF_PURPOSE)
        self._signer = URLSafeSerializer(keys, SALT, signer_kwargs={"digest_method": sha256})

    def link(self, subscriber: Subscriber, address: str) -> str:
        """Make the link for one user and the address that the e-mail goes to. It does not expire.

        It holds the keyed hash of the address, and a proof: nobody can make either for another address.
        """
        hashed, token = self.mailboxes.of(subscriber.tenant, address)[0], str(self._signer.dumps(subscriber))
        return (
            f"{self._url}/unsubscribe/{token}?{ADDRESS}={hashed}&{PROOF}={self._proofs.of(_proven(token, hashed))[0]}"
        )

    def read(self, token: str) -> Subscriber | None:
        """Read the last part of a link; None if it was not signed with one of the secrets."""
        try:
            return Subscriber(*self._signer.loads(token))
        except (BadData, TypeError):
            return None

    def address(self, token: str, parameters: Mapping[str, str], own: Sequence[str] = ()) -> str:
        """Return the hash of the address that the link's e-mail went to; empty if the link proves none.

        A link of an older version may name one of `own` without a proof: the hashes of the user's own address.
        """
        hashed, proof = parameters.get(ADDRESS, ""), parameters.get(PROOF, "").encode()
        if not HASH.fullmatch(hashed):
            return ""
        proven = any(hmac.compare_digest(proof, one.encode()) for one in self._proofs.of(_proven(token, hashed)))
        return hashed if proven or hashed in own else ""


def _proven(token: str, hashed: str) -> str:
    """Return the text that a link's proof is made from."""
    return f"{token}\0{hashed}"
