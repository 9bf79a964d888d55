"""The certificates of Amazon SNS, fetched when a message needs one, then kept.

The certificate's URL comes from a message that is not verified yet, so any sender can cause a request to Amazon.
Requests are therefore limited: one at a time, a few a minute, and no repetition of one that has just failed.
"""

import http.client
import threading
import time
from collections.abc import Callable

Fetch = Callable[[str], bytes]
Clock = Callable[[], float]
"""Returns monotonic seconds."""

MAX_KEPT = 16
"""Amazon has one certificate for each region, and replaces it about once a year."""
FAILED_S = 60.0
"""Pause before a certificate that could not be fetched is requested again."""
EVERY_S, BURST = 2.0, 10
"""A token bucket: one request in EVERY_S on average, at most BURST at once."""
LOCK_TIMEOUT_S = 1.0
"""How long a message waits while another fetches a certificate. It occupies a thread that webhooks need."""


class NotFetchedError(Exception):
    """The certificate cannot be fetched now. SNS posts the message again."""


class Certificates:
    """Fetches certificates and keeps them. One for each web process; thread-safe."""

    def __init__(self, fetch: Fetch, clock: Clock = time.monotonic) -> None:
        self._fetch, self._clock = fetch, clock
        self._fetching = threading.Lock()
        self._kept: dict[str, bytes] = {}
        self._failed: dict[str, float] = {}
        self._paid_until = clock() - EVERY_S * BURST

    def get(self, url: str) -> bytes:
        """Return the certificate at `url` (PEM). Raises NotFetchedError."""
        if kept := self._kept.get(url):
            return kept
        if not self._fetching.acquire(timeout=LOCK_TIMEOUT_S):
            raise NotFetchedError("another certificate is being fetched")
        try:
            return self._kept.get(url) or self._fetch_within_limits(url)
        finally:
            self._fetching.release()

    def _fetch_within_limits(self, url: str) -> bytes:
        now = self._clock()
        if now < self._failed.get(url, now):
            raise NotFetchedError("the last attempt has just failed")
        if self._paid_until >= now:
            raise NotFetchedError("too many requests for certificates")
        self._paid_until = max(self._paid_until, now - EVERY_S * BURST) + EVERY_S
        self._failed = {failed: until for failed, until in self._failed.items() if until > now}
        try:
            certificate = self._fetch(url)
        except (OSError, http.client.HTTPException) as error:
            self._failed[url] = self._clock() + FAILED_S
            raise NotFetchedError(type(error).__name__) from None
        if len(self._kept) >= MAX_KEPT:
            self._kept.clear()
        self._kept[url] = certificate
        return certificate
