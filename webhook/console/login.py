"""Who may use the console: whoever knows its password, or whom a trusted proxy has logged in.

A cookie names a login, and Redis knows which logins are alive, so that logging out ends it for good. The cookie is
signed with a key made of the password and Stream's API secrets: with the password alone, anybody who was given a
cookie (the login page gives one, against forged forms) could try passwords at home until the signature fits.
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
from bellhop.store.keys import console_attempts_key, console_login_key
from webhook.client_address import networks, peer, whose, within

log = structlog.get_logger()

COOKIE = "bellhop_console"
LOGIN_S = 12 * 3600
"""How long a login lasts."""
ATTEMPTS, ATTEMPTS_WINDOW_S = 10, 900
"""Wrong passwords from one address before it has to wait, and how long they count."""
LONGEST_NAME = 100


class ConsoleSessions(SecureCookieSessionInterface):
    """Flask's signed cookie, sent to the console alone; Secure wherever the browser came by https."""

    def get_cookie_name(self, app: Flask) -> str:
        """Name it."""
        return COOKIE

    def get_cookie_path(self, app: Flask) -> str:
        """Keep it from the rest of the site."""
        return "/console"

    def get_cookie_httponly(self, app: Flask) -> bool:
        """Keep it from scripts."""
        return True

    def get_cookie_samesite(self, app: Flask) -> str:
        """Keep it from requests that other sites make."""
        return "Strict"

    def get_cookie_secure(self, app: Flask) -> bool:
        """Whoever claims https without having it harms only their own login, so the header is believed."""
        return request.is_secure or request.headers.get("X-Forwarded-Proto", "").lower() == "https"


class Guard:
    """Lets people in, and out. Made once for each web process."""

    def __init__(self, settings: Settings, redis: Redis) -> None:
        self._redis = redis
        self._password = settings.console_password.get_secret_value().encode()
        self._header = settings.console_proxy_header
        self._proxies = networks(settings.console_trusted_proxies)
        self.signing_key = _signing_key(settings)

    @property
    def has_password(self) -> bool:
        """Whether people can log in here, rather than at a proxy."""
        return bool(self._password)

    def proxy_user(self, request: Request) -> str:
        """Whom a trusted proxy has logged in; empty for nobody."""
        if not self._header or not within(peer(request.environ), self._proxies):
            return ""
        name = request.headers.get(self._header, "").strip()
        # Two names mean that the proxy added its own to one that it was sent.
        return name[:LONGEST_NAME] if name.isprintable() and "," not in name else ""

    def logged_in(self) -> bool:
        """Whether the cookie names a login that is alive."""
        login = session.get("login")
        return self.has_password and isinstance(login, str) and bool(self._redis.exists(_login_key(login)))

    def log_in(self, password: str, request: Request) -> int | None:
        """Log in; returns None when that worked, else for how many seconds (maybe 0) trying again is no use."""
        address = whose(request.remote_addr)
        attempts = console_attempts_key(address)
        pipeline = self._redis.pipeline()
        pipeline.set(attempts, 0, nx=True, ex=ATTEMPTS_WINDOW_S)
        pipeline.incr(attempts)
        pipeline.ttl(attempts)
        _, made, left_s = pipeline.execute()
        if made > ATTEMPTS:
            log.warning("console_login_refused", reason="too_many_attempts", address=address)
            return max(int(left_s), 1)
        # Digests, so that not even the password's length shows in the time that comparing takes.
        given, wanted = (
            hashlib.sha256(text).digest() for text in (password.encode("utf-8", "replace"), self._password)
        )
        if not self._password or not hmac.compare_digest(given, wanted):
            log.warning("console_login_failed", reason="wrong_password", address=address)
            return 0
        login = secrets.token_urlsafe(32)
        self._redis.delete(attempts)
        self._redis.set(_login_key(login), 1, ex=LOGIN_S)
        # A new cookie, with a new form token: nothing that was known before the login is worth anything after it.
        session.clear()
        session["login"] = login
        log.info("console_login", address=address)
        return None

    def log_out(self) -> None:
        """End the login, also for whoever kept its cookie."""
        if login := session.get("login"):
            self._redis.delete(_login_key(login))
        session.clear()


def form_token() -> str:
    """What every form of this browser carries, and no other site can know."""
    if "form" not in session:
        session["form"] = secrets.token_urlsafe(32)
    return cast(str, session["form"])


def form_is_ours(form: Mapping[str, Any]) -> bool:
    """Whether a form that was sent is one that we showed to this browser."""
    expected, given = str(session.get("form", "")), str(form.get("token", ""))
    return bool(expected) and hmac.compare_digest(expected.encode(), given.encode("utf-8", "replace"))


def _login_key(login: str) -> str:
    # Who can read Redis shall not be able to log in with what is there.
    return console_login_key(hashlib.sha256(login.encode("utf-8", "replace")).hexdigest())


def _signing_key(settings: Settings) -> bytes:
    secrets_ = [secret for app in settings.stream_apps for secret in app.api_secrets]
    material = b"\0".join(secret.get_secret_value().encode() for secret in (settings.console_password, *secrets_))
    return hmac.digest(b"bellhop console cookie", material, hashlib.sha256)
