"""The console's cookie: where it is sent, the key that signs it, and the token of each form.

The signing key is made of the passwords and Stream's API secrets. With the passwords alone, an attacker could take any
signed cookie (the login page sets one, against forged forms) and guess passwords offline.
"""

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from typing import Any, cast

from flask import Flask, request, session
from flask.sessions import SecureCookieSessionInterface

from bellhop.settings import Settings
from webhook.security_headers import is_https

COOKIE = "bellhop_console"
SECURE_COOKIE = f"__Secure-{COOKIE}"
"""With this name, browsers take the cookie only from https. Not "__Host-": that needs the path "/", and the cookie is
for /console alone."""


class ConsoleSessions(SecureCookieSessionInterface):
    """Flask's signed cookie, limited to the console, and Secure if the browser uses https."""

    def get_cookie_name(self, app: Flask) -> str:
        """Return the cookie's name."""
        return SECURE_COOKIE if is_https(request.environ) else COOKIE

    def get_cookie_path(self, app: Flask) -> str:
        """Limit the cookie to the console's pages, also below the prefix at which Bellhop is mounted."""
        return f"{request.script_root}/console"

    def get_cookie_httponly(self, app: Flask) -> bool:
        """Hide the cookie from scripts."""
        return True

    def get_cookie_samesite(self, app: Flask) -> str:
        """Keep the cookie out of requests that other sites cause."""
        return "Strict"

    def get_cookie_secure(self, app: Flask) -> bool:
        """Use Secure with https. The header can be trusted: a client that forges it only breaks its own login."""
        return is_https(request.environ)


def form_token() -> str:
    """Return the token that this browser's forms carry, and that other sites cannot know."""
    if "form" not in session:
        session["form"] = secrets.token_urlsafe(32)
    return cast(str, session["form"])


def is_valid_form(form: Mapping[str, Any]) -> bool:
    """Return whether a submitted form carries this browser's token."""
    expected, given = str(session.get("form", "")), str(form.get("token", ""))
    return bool(expected) and hmac.compare_digest(expected.encode(), given.encode("utf-8", "replace"))


def signing_key(settings: Settings) -> bytes:
    """Make the key that signs cookies.

    Without BELLHOP_CONSOLE_LOGINS, it is the key of older versions. With them, it is another key: otherwise an
    older version would let each of these logins do everything.
    """
    api_secrets = [secret for app in settings.stream_apps for secret in app.api_secrets]
    passwords = [login.password for login in settings.console_logins]
    secrets_ = (settings.console_password, *api_secrets, *passwords)
    material = b"\0".join(secret.get_secret_value().encode() for secret in secrets_)
    return hmac.digest(b"bellhop console cookie", material, hashlib.sha256)
