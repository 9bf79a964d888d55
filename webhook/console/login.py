"""Access to the console: with its password, or through a trusted proxy that has logged the user in.

The cookie holds the id of a login, and Redis keeps the logins that are valid, so logging out ends a login for good.
The cookie's signing key is made of the password and Stream's API secrets. With the password alone, an attacker could
take any signed cookie (the login page sets one, against forged forms) and guess passwords offline.
"""

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from typing import Any, cast

import structlog
from flask import Flask, Request, request, session
from flask.sessions import SecureCookieSessionInterface
from redis import Redis

from bellhop.settings import Settings
from bellhop.store.keys import console_attempts_key
from bellhop.telemetry import metrics
from webhook.client_address import Networks, client_name, networks, peer, within
from webhook.console.logins import Logins
from webhook.security_headers import is_https

log = structlog.get_logger()

COOKIE = "bellhop_console"
SECURE_COOKIE = f"__Secure-{COOKIE}"
"""With this name, browsers take the cookie only from https. Not "__Host-": that needs the path "/", and the cookie is
for /console alone."""
MAX_ATTEMPTS, ATTEMPTS_WINDOW_S = 10, 900
"""Wrong passwords that one address may send in the window; then it has to wait for the window's end."""
MAX_NAME = 100
PROXY_SECRET_HEADER = "X-Bellhop-Proxy-Secret"  # noqa: S105 - a header's name


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


class Guard:
    """Logs users of the console in and out. Each web process has one object of this class."""

    def __init__(self, settings: Settings, redis: Redis) -> None:
        self._redis = redis
        self._password = settings.console_password.get_secret_value().encode()
        self._header = settings.console_proxy_header
        self.logins = Logins(redis, settings.console_idle_s)
        self._proxy_secret = settings.console_proxy_secret.get_secret_value().encode()
        self._proxies = _trusted_proxies(settings)
        self.signing_key = _signing_key(settings)

    @property
    def has_password(self) -> bool:
        """Whether users log in with the console's password, rather than at a proxy."""
        return bool(self._password)

    def proxy_user(self, request: Request) -> str:
        """Return the user that a trusted proxy has logged in; empty if none."""
        if not self._header or not self._comes_through_proxy(request):
            return ""
        name = request.headers.get(self._header, "").strip()
        # A comma means two headers: the client sent one, and the proxy added its own.
        return name[:MAX_NAME] if name.isprintable() and "," not in name else ""

    def _comes_through_proxy(self, request: Request) -> bool:
        """Return whether the other end of the connection is a trusted proxy, and knows the secret if there is one."""
        given = request.headers.get(PROXY_SECRET_HEADER, "").encode("utf-8", "replace")
        knows_secret = not self._proxy_secret or hmac.compare_digest(given, self._proxy_secret)
        return knows_secret and (self._proxies is None or within(peer(request.environ), self._proxies))

    def logged_in(self) -> bool:
        """Return whether the cookie holds a valid login."""
        login = session.get("login")
        # The list refreshes itself by a script. That does not show that somebody is there.
        active = request.headers.get("Sec-Fetch-Dest") != "empty"
        return self.has_password and isinstance(login, str) and self.logins.is_valid(login, active=active)

    def log_in(self, password: str, request: Request) -> int | None:
        """Log in; returns None on success, else the seconds to wait before another attempt (0: none)."""
        address = client_name(request.remote_addr)
        wait_s = self._count_attempt(address)
        if wait_s:
            metrics.CONSOLE_LOGINS.add("too_many_attempts")
            log.warning("console_login_refused", reason="too_many_attempts", address=address)
            return wait_s
        if not self._is_password(password):
            metrics.CONSOLE_LOGINS.add("wrong_password")
            log.warning("console_login_failed", reason="wrong_password", address=address)
            return 0
        self._redis.delete(console_attempts_key(address))
        self._start_login()
        metrics.CONSOLE_LOGINS.add("login")
        log.info("console_login", address=address)
        return None

    def _count_attempt(self, address: str) -> int:
        """Count an attempt; returns the seconds to wait if the address has made too many, else 0."""
        attempts = console_attempts_key(address)
        pipeline = self._redis.pipeline()
        pipeline.set(attempts, 0, nx=True, ex=ATTEMPTS_WINDOW_S)
        pipeline.incr(attempts)
        pipeline.ttl(attempts)
        _, made, left_s = pipeline.execute()
        return max(int(left_s), 1) if made > MAX_ATTEMPTS else 0

    def _is_password(self, password: str) -> bool:
        # Compare digests, so that the time taken does not reveal the password's length.
        given = hashlib.sha256(password.encode("utf-8", "replace")).digest()
        expected = hashlib.sha256(self._password).digest()
        return bool(self._password) and hmac.compare_digest(given, expected)

    def _start_login(self) -> None:
        if former := session.get("login"):
            self.logins.end(former)
        login = self.logins.start()
        # Start a new session with a new form token: a cookie from before the login must not be valid after it.
        session.clear()
        session["login"] = login

    def log_out(self) -> None:
        """End the login in Redis too, so that a copy of the cookie is worthless."""
        if login := session.get("login"):
            self.logins.end(login)
            metrics.CONSOLE_LOGINS.add("logout")
            log.info("console_logout", address=client_name(request.remote_addr))
        session.clear()

    def log_all_out(self) -> None:
        """End every login with the password."""
        self.logins.end_all()
        metrics.CONSOLE_LOGINS.add("logout_all")
        log.warning("console_logout_all", address=client_name(request.remote_addr))


def form_token() -> str:
    """Return the token that this browser's forms carry, and that other sites cannot know."""
    if "form" not in session:
        session["form"] = secrets.token_urlsafe(32)
    return cast(str, session["form"])


def is_valid_form(form: Mapping[str, Any]) -> bool:
    """Return whether a submitted form carries this browser's token."""
    expected, given = str(session.get("form", "")), str(form.get("token", ""))
    return bool(expected) and hmac.compare_digest(expected.encode(), given.encode("utf-8", "replace"))


def _trusted_proxies(settings: Settings) -> Networks | None:
    """Return the networks of the proxies; None for any address, if the proxy is recognised by its secret alone."""
    by_secret = bool(settings.console_proxy_secret.get_secret_value())
    if by_secret and "console_trusted_proxies" not in settings.model_fields_set:
        return None
    return networks(settings.console_trusted_proxies)


def _signing_key(settings: Settings) -> bytes:
    api_secrets = [secret for app in settings.stream_apps for secret in app.api_secrets]
    material = b"\0".join(secret.get_secret_value().encode() for secret in (settings.console_password, *api_secrets))
    return hmac.digest(b"bellhop console cookie", material, hashlib.sha256)
