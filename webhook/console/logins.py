"""The logins to the console that are valid. Redis keeps them, so logging out ends a login in every process."""

import hashlib
import secrets
import time
from typing import Any

from redis import Redis

from bellhop.store.keys import CONSOLE_LOGINS, console_login_key

LOGIN_S = 12 * 3600
"""How long a login is valid."""
OF_OLDER_VERSION = 1
"""The value of a login of an older version. It has no idle time-out."""


class Logins:
    """All logins of an installation. A login ends if nobody uses it for `idle_s`."""

    def __init__(self, redis: Redis, idle_s: int) -> None:
        self._redis, self._idle_s = redis, min(idle_s, LOGIN_S)

    def start(self) -> str:
        """Start a login; returns its id."""
        login = secrets.token_urlsafe(32)
        now_s = int(time.time())
        ends_at_s = now_s + LOGIN_S
        self._redis.set(_key(login), ends_at_s, ex=self._idle_s)
        self._redis.zadd(CONSOLE_LOGINS, {_digest(login): ends_at_s})
        self._redis.zremrangebyscore(CONSOLE_LOGINS, "-inf", now_s)
        self._redis.expire(CONSOLE_LOGINS, LOGIN_S)
        return login

    def is_valid(self, login: str, *, active: bool) -> bool:
        """Return whether a login is valid. `active`: a person uses it now, so the idle time begins again."""
        stored: Any = self._redis.get(_key(login))
        if stored is None:
            return False
        if int(stored) == OF_OLDER_VERSION:
            return True
        left_s = int(stored) - int(time.time())
        if active:
            self._redis.expire(_key(login), max(1, min(self._idle_s, left_s)))
        return left_s > 0

    def end(self, login: str) -> None:
        """End a login, so that a copy of its cookie is worthless."""
        self._redis.delete(_key(login))
        self._redis.zrem(CONSOLE_LOGINS, _digest(login))

    def count(self) -> int:
        """Return how many logins are valid, without those of an older version."""
        keys = [console_login_key(digest) for digest in self._digests()]
        return int(self._redis.exists(*keys)) if keys else 0

    def end_all(self) -> None:
        """End all logins, without those of an older version."""
        keys = [console_login_key(digest) for digest in self._digests()]
        self._redis.delete(CONSOLE_LOGINS, *keys)

    def _digests(self) -> list[str]:
        listed: Any = self._redis.zrange(CONSOLE_LOGINS, 0, -1)
        return [digest.decode() for digest in listed]


def _digest(login: str) -> str:
    # Redis holds a digest: reading Redis must not be enough to log in.
    return hashlib.sha256(login.encode("utf-8", "replace")).hexdigest()


def _key(login: str) -> str:
    return console_login_key(_digest(login))
