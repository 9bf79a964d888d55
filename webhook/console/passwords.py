"""The passwords of the console, and what each gives. Pure."""

import hashlib
import hmac
from typing import NamedTuple

from bellhop.settings import Settings
from bellhop.settings.console import CONSOLE_PASSWORD, ConsoleRight
from webhook.console.rights import FULL_RIGHT


class KnownPassword(NamedTuple):
    """A password of the console."""

    name: str
    digest: bytes
    right: ConsoleRight

    def matches(self, password: str) -> bool:
        """Return whether this is the password. The comparison of digests does not reveal the length."""
        return hmac.compare_digest(_digest(password), self.digest)


def passwords_of(settings: Settings) -> dict[str, KnownPassword]:
    """Return the passwords by the names of their logins."""
    own = settings.console_password.get_secret_value()
    logins = [KnownPassword(CONSOLE_PASSWORD, _digest(own), FULL_RIGHT)] if own else []
    logins += [
        KnownPassword(login.name, _digest(login.password.get_secret_value()), login)
        for login in settings.console_logins
    ]
    return {login.name: login for login in logins}


def _digest(password: str) -> bytes:
    return hashlib.sha256(password.encode("utf-8", "replace")).digest()
