"""Access to the console: with a password, or through a trusted proxy that has logged the user in.

The cookie holds the id of a login, and Redis keeps the logins that are valid, so logging out ends a login for good.
"""

import hmac
from collections.abc import Sequence

import structlog
from flask import Request, request, session
from redis import Redis

from bellhop.settings import Settings
from bellhop.settings.console import CONSOLE_PASSWORD, ConsoleRight
from bellhop.store.blocking_client import together
from bellhop.store.keys import console_attempts_key
from bellhop.telemetry import metrics
from webhook.client_address import Networks, client_name, networks, peer, within
from webhook.console.logins import Logins
from webhook.console.passwords import passwords_of
from webhook.console.rights import FULL_RIGHT, Login, LoginWay, new_login, proxy_name, rights_of_groups
from webhook.console.session_cookie import signing_key

log = structlog.get_logger()

MAX_ATTEMPTS, ATTEMPTS_WINDOW_S = 10, 900
"""Wrong passwords that one address may send in the window; then it has to wait for the window's end."""
REFRESH_HEADER = "X-Bellhop-Refresh"
"""The header of a request by which a list refreshes itself (static/console.js)."""
PROXY_SECRET_HEADER = "X-Bellhop-Proxy-Secret"  # noqa: S105 - a header's name


class Guard:
    """Logs users of the console in and out. Each web process has one object of this class."""

    def __init__(self, settings: Settings, redis: Redis) -> None:
        self._redis = redis
        self._tenants = settings.tenants
        self._header, self._groups_header = settings.console_proxy_header, settings.console_groups_header
        self._groups = settings.console_groups
        self.logins = Logins(redis, settings.console_idle_s)
        self._passwords = passwords_of(settings)
        self._proxy_secret = settings.console_proxy_secret.get_secret_value().encode()
        self._proxies = _trusted_proxies(settings)
        self.signing_key = signing_key(settings)

    @property
    def has_password(self) -> bool:
        """Whether users log in with a password of the console, rather than at a proxy."""
        return bool(self._passwords)

    def proxy_login(self, request: Request) -> Login | None:
        """Return the user that a trusted proxy has logged in; None if there is none.

        A user whose groups give no right may see no Stream app.
        """
        if not self._header or not self._comes_through_proxy(request):
            return None
        name = proxy_name(_proxy_text(request, self._header))
        if not name:
            return None
        return new_login(name, LoginWay.PROXY, self._rights_by_proxy(request), self._tenants)

    def _rights_by_proxy(self, request: Request) -> Sequence[ConsoleRight]:
        if not self._groups_header:
            return [FULL_RIGHT]
        return rights_of_groups(_proxy_text(request, self._groups_header), self._groups)

    def _comes_through_proxy(self, request: Request) -> bool:
        """Return whether the other end of the connection is a trusted proxy, and knows the secret if there is one."""
        given = request.headers.get(PROXY_SECRET_HEADER, "").encode("utf-8", "replace")
        knows_secret = not self._proxy_secret or hmac.compare_digest(given, self._proxy_secret)
        return knows_secret and (self._proxies is None or within(peer(request.environ), self._proxies))

    def password_login(self) -> Login | None:
        """Return the valid login that the cookie holds; None if there is none."""
        login = session.get("login")
        # A cookie of an older version has no name.
        password = self._passwords.get(session.get("name", CONSOLE_PASSWORD))
        if password is None or not isinstance(login, str):
            return None
        if not self.logins.is_valid(login, active=is_opened_by_a_person()):
            return None
        return new_login(password.name, LoginWay.PASSWORD, [password.right], self._tenants)

    def log_in(self, password: str, request: Request) -> int | None:
        """Log in; returns None on success, else the seconds to wait before another attempt (0: none)."""
        address = client_name(request.remote_addr)
        wait_s = self._count_attempt(address)
        if wait_s:
            metrics.CONSOLE_LOGINS.add("too_many_attempts")
            log.warning("console_login_refused", reason="too_many_attempts", address=address)
            return wait_s
        name = self._name_of(password)
        if name is None:
            metrics.CONSOLE_LOGINS.add("wrong_password")
            log.warning("console_login_failed", reason="wrong_password", address=address)
            return 0
        self._redis.delete(console_attempts_key(address))
        self._start_login(name)
        metrics.CONSOLE_LOGINS.add("login")
        log.info("console_login", address=address)
        return None

    def _count_attempt(self, address: str) -> int:
        """Count an attempt; returns the seconds to wait if the address has made too many, else 0."""
        attempts = console_attempts_key(address)
        _, made, left_s = together(
            self._redis,
            ("SET", attempts, 0, "NX", "EX", ATTEMPTS_WINDOW_S),
            ("INCR", attempts),
            ("TTL", attempts),
        )
        if left_s < 0:  # the key expired after SET, and INCR made another
            self._redis.expire(attempts, ATTEMPTS_WINDOW_S)
        return max(int(left_s), 1) if made > MAX_ATTEMPTS else 0

    def _name_of(self, password: str) -> str | None:
        """Return the name of the login that has this password; None if it is wrong."""
        names = [known.name for known in self._passwords.values() if known.matches(password)]
        return names[0] if names else None

    def _start_login(self, name: str) -> None:
        if former := session.get("login"):
            self.logins.end(former)
        login = self.logins.start()
        # Start a new session with a new form token: a cookie from before the login must not be valid after it.
        session.clear()
        session["login"], session["name"] = login, name

    def log_out(self) -> None:
        """End the login in Redis too, so that a copy of the cookie is worthless."""
        if login := session.get("login"):
            self.logins.end(login)
            metrics.CONSOLE_LOGINS.add("logout")
            log.info("console_logout", address=client_name(request.remote_addr))
        session.clear()

    def log_all_out(self) -> None:
        """End every login with a password."""
        self.logins.end_all()
        metrics.CONSOLE_LOGINS.add("logout_all")
        log.warning("console_logout_all", address=client_name(request.remote_addr))


def _proxy_text(request: Request, header: str) -> str:
    """Return a header that the proxy sets. WSGI reads it as Latin-1, and proxies write names in UTF-8."""
    text = request.headers.get(header, "")
    try:
        return text.encode("latin-1").decode()
    except UnicodeError:
        return text


def is_opened_by_a_person() -> bool:
    """Return whether a person has opened this page; False if a list refreshes itself by a script.

    Browsers send Sec-Fetch-Dest only with https and to their own machine, so the console's script says it, too.
    """
    return request.headers.get("Sec-Fetch-Dest") != "empty" and REFRESH_HEADER not in request.headers


def _trusted_proxies(settings: Settings) -> Networks | None:
    """Return the networks of the proxies; None for any address, if the proxy is recognised by its secret alone."""
    by_secret = bool(settings.console_proxy_secret.get_secret_value())
    if by_secret and "console_trusted_proxies" not in settings.model_fields_set:
        return None
    return networks(settings.console_trusted_proxies)
