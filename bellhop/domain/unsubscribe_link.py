"""The signed link that switches a user's e-mails off, without a login (RFC 8058)."""

from collections.abc import Sequence
from hashlib import sha256
from typing import NamedTuple

from itsdangerous import BadData, URLSafeSerializer
from pydantic import SecretStr

SALT = "bellhop.unsubscribe"


class Subscriber(NamedTuple):
    """Whose e-mails a link switches, and the language to say so in."""

    tenant: str
    user_id: str
    language: str = ""


class Links:
    """Makes and reads links under `url`. The first secret signs; each of them verifies, while one is being rotated."""

    def __init__(self, url: str, secrets: Sequence[SecretStr]) -> None:
        keys = [secret.get_secret_value() for secret in reversed(secrets)]  # itsdangerous signs with the last
        self._url, self._signer = (
            url.rstrip("/"),
            URLSafeSerializer(keys, SALT, signer_kwargs={"digest_method": sha256}),
        )

    def link(self, subscriber: Subscriber) -> str:
        """The link for one user. It holds no e-mail address, and does not expire: e-mails are kept for years."""
        return f"{self._url}/unsubscribe/{self._signer.dumps(subscriber)}"

    def read(self, token: str) -> Subscriber | None:
        """Whom a link's last part is for; None when it was not signed here."""
        try:
            return Subscriber(*self._signer.loads(token))
        except (BadData, TypeError):
            return None
