"""The certificates that Amazon signs SNS's messages with, fetched when a message names one.

A message names its certificate before anything of it is verified, so anybody may make us ask Amazon: one question at a
time, of a few a minute, and none again that has just failed.
"""

import http.client
import threading
import time
from collections.abc import Callable

Fetch = Callable[[str], bytes]
Clock = Callable[[], float]
"""Seconds since some moment."""

MOST = 16
"""Amazon has one for each region, and changes it about once a year."""
FAILED_S = 60.0
"""How long a certificate that could not be had is not asked for again."""
EVERY_S, AT_ONCE = 2.0, 10
"""How often Amazon is asked in the long run, and how often in a row before that."""
PATIENCE_S = 1.0
"""How long a message waits for another's question: a thread, which webhooks wait for."""


class NotFetchedError(Exception):
    """The certificate is not to be had now. SNS posts the message again."""


class Certificates:
    """Those that Amazon's host gave are kept. Made once for each web process, used by all of its threads."""

    def __init__(self, fetch: Fetch, clock: Clock = time.monotonic) -> None:
        self._fetch, self._clock = fetch, clock
        self._asking = threading.Lock()
        self._had: dict[str, bytes] = {}
        self._failed: dict[str, float] = {}
        self._paid_until = clock() - EVERY_S * AT_ONCE

    def get(self, url: str) -> bytes:
        """Find a certificate. Raises NotFetchedError."""
        if had := self._had.get(url):
            return had
        if not self._asking.acquire(timeout=PATIENCE_S):
            raise NotFetchedError("another one is being fetched")
        try:
            return self._had.get(url) or self._ask(url)
        finally:
            self._asking.release()

    def _ask(self, url: str) -> bytes:
        now = self._clock()
        if now < self._failed.get(url, now):
            raise NotFetchedError("it has just failed")
        if self._paid_until >= now:
            raise NotFetchedError("too many were asked for")
        self._paid_until = max(self._paid_until, now - EVERY_S * AT_ONCE) + EVERY_S
        self._failed = {failed: until for failed, until in self._failed.items() if until > now}
        try:
            certificate = self._fetch(url)
        except (OSError, http.client.HTTPException) as error:
            self._failed[url] = self._clock() + FAILED_S
            raise NotFetchedError(type(error).__name__) from None
        if len(self._had) >= MOST:
            self._had.clear()
        self._had[url] = certificate
        return certificate
