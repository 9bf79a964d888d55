"""Log lines about a server that cannot be reached: one when it begins, one every 30 seconds, one when it is over."""

import threading
import time

import structlog
from redis.exceptions import RedisError

from bellhop.store.refusals import advice_on

log = structlog.get_logger()

REMIND_S = 30.0
"""Pause between two log lines about the same outage."""


class Outage:
    """Logs the outages of one server, such as Redis. Safe to use from several threads.

    `away` and `back` are the names of its log events.
    """

    def __init__(self, away: str, back: str, **facts: str) -> None:
        self._away, self._back, self._facts = away, back, facts
        self._lock = threading.Lock()
        self._began_s = self._logged_s = 0.0
        """When the outage began and when it was last logged, by the monotonic clock; 0 if there is no outage."""

    def note_error(self, error: str, **facts: str) -> None:
        """Note that the server failed. Log it, unless the last log line is less than REMIND_S old."""
        now_s = time.monotonic()
        with self._lock:
            if self._logged_s and now_s - self._logged_s < REMIND_S:
                return
            self._began_s, self._logged_s = self._began_s or now_s, now_s
            since_s = round(now_s - self._began_s)
        if since_s:
            log.error(self._away, error=error, **self._facts, **facts, since_s=since_s)
        else:
            log.error(self._away, error=error, **self._facts, **facts)

    def note_answer(self) -> None:
        """Note that the server answered. Log the end of the outage, if there was one."""
        if not self._logged_s:  # every webhook calls this: without an outage it takes no lock
            return
        with self._lock:
            began_s, self._began_s, self._logged_s = self._began_s, 0.0, 0.0
        if began_s:
            log.info(self._back, after_s=round(time.monotonic() - began_s, 1), **self._facts)


class RedisOutage(Outage):
    """The outages of Redis. A Redis that refuses writes counts as an outage too."""

    def note_redis_error(self, error: RedisError, setting: str = "BELLHOP_REDIS_URL") -> None:
        """Note an error. The log line says what to do about it; `setting` is the one with the URL."""
        self.note_error(type(error).__name__, advice=advice_on(error, setting))


def redis_outage(address: str) -> RedisOutage:
    """Make the Outage for Redis, with the same log events in every process."""
    return RedisOutage("redis_away", "redis_back", address=address)
