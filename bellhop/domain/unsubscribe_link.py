"""The signed link that switches a user's e-mails off, without a login (RFC 8058).

E-mails are kept for years. So the salt, the digest, the serializer and the field order of Subscriber must not change:
links in e-mails that were sent long ago must stay valid.
"""

from collections.abc import Sequence
from hashlib import sha256
from typing import NamedTuple

from itsdangerous import BadData, URLSafeSerializer
from pydantic import SecretStr

from bellhop.domain.mailbox import MailboxHashes

SALT = "bellhop.unsubscribe"
ADDRESS = "to"
"""The parameter with the hash of the address. Links of older versions have none."""


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
        self._signer = URLSafeSerializer(keys, SALT, signer_kwargs={"digest_method": sha256})

    def link(self, subscriber: Subscriber, address: str) -> str:
        """Make the link for one user and the address that the e-mail goes to. It does not expire.

        It holds the keyed hash of the address, which nobody can make for another address.
        """
        hashed = self.mailboxes.of(subscriber.tenant, address)[0]
        return f"{self._url}/unsubscribe/{self._signer.dumps(subscriber)}?{ADDRESS}={hashed}"

    def read(self, token: str) -> Subscriber | None:
        """Read the last part of a link; None if it was not signed with one of the secrets."""
        try:
            return Subscriber(*self._signer.loads(token))
        except (BadData, TypeError):
            return None
