"""Something that we need is away: one log line when that begins, one now and then, and one when it is over."""

import threading
import time

import structlog

log = structlog.get_logger()

REMIND_S = 30.0
"""How long it is silent about what goes on being away."""


class Outage:
    """Of one thing, such as Redis. May be told of by several threads."""

    def __init__(self, away: str, back: str, **facts: str) -> None:
        self._away, self._back, self._facts = away, back, facts
        self._lock = threading.Lock()
        self._began = self._said = 0.0
        """On the monotonic clock; 0 while all is well."""

    def goes_on(self, error: str, **facts: str) -> None:
        """Say that it is away, unless that was said a moment ago."""
        now = time.monotonic()
        with self._lock:
            if self._said and now - self._said < REMIND_S:
                return
            self._began, self._said = self._began or now, now
            since_s = round(now - self._began)
        log.error(self._away, error=error, **self._facts, **facts, **({"since_s": since_s} if since_s else {}))

    def is_over(self) -> None:
        """Say that it answers, if it was away."""
        if not self._said:  # every webhook asks
            return
        with self._lock:
            began, self._began, self._said = self._began, 0.0, 0.0
        if began:
            log.info(self._back, after_s=round(time.monotonic() - began, 1), **self._facts)


def redis_outage(address: str) -> Outage:
    """The outage that every process may meet."""
    return Outage("redis_away", "redis_back", address=address, advice="does it run? else check BELLHOP_REDIS_URL")
