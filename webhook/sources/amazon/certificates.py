"""The certificates that verify messages of Amazon SNS: each is fetched when a message needs it, then kept in memory.

The certificate's URL comes from a message that is not verified yet, so any sender can cause a request to Amazon.
Requests are therefore limited: one at a time, one every REQUEST_EVERY_S on average, and a pause after a failure.
"""

import http.client
import threading
import time
from collections.abc import Callable

Fetch = Callable[[str], bytes]
Clock = Callable[[], float]
"""Returns monotonic seconds."""

MAX_CERTIFICATES = 16
"""Certificates in memory. Amazon has one for each region, and replaces it about once a year."""
FAILED_S = 60.0
"""Pause before a certificate that could not be fetched is requested again."""
REQUEST_EVERY_S, BURST = 2.0, 10
"""A token bucket: one request in REQUEST_EVERY_S on average, at most BURST at once."""
LOCK_TIMEOUT_S = 1.0
"""How long a message waits while another message fetches a certificate. A message that waits occupies a thread, and
webhooks need the threads."""


class NotFetchedError(Exception):
    """The certificate cannot be fetched now. SNS posts the message again."""


class Certificates:
    """Fetches certificates and keeps them. Each web process has one object of this class; thread-safe."""

    def __init__(self, fetch: Fetch, clock: Clock = time.monotonic) -> None:
        self._fetch, self._clock = fetch, clock
        self._fetching = threading.Lock()
        self._kept: dict[str, bytes] = {}
        self._retry_at_s: dict[str, float] = {}
        """By URL, when a certificate that could not be fetched may be requested again."""
        self._budget_used_until_s = clock() - REQUEST_EVERY_S * BURST
        """The token bucket: each request adds REQUEST_EVERY_S. A request is refused unless this is in the past."""

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
        """Request a certificate. Raises NotFetchedError if that fails, or if a limit does not allow it now."""
        now_s = self._clock()
        self._retry_at_s = {failed: retry_at_s for failed, retry_at_s in self._retry_at_s.items() if retry_at_s > now_s}
        if url in self._retry_at_s:
            raise NotFetchedError("the last attempt has just failed")
        if self._budget_used_until_s >= now_s:
            raise NotFetchedError("too many requests for certificates")
        full_budget_s = now_s - REQUEST_EVERY_S * BURST
        self._budget_used_until_s = max(self._budget_used_until_s, full_budget_s) + REQUEST_EVERY_S
        try:
            certificate = self._fetch(url)
        except (OSError, http.client.HTTPException) as error:
            self._retry_at_s[url] = self._clock() + FAILED_S
            raise NotFetchedError(type(error).__name__) from None
        if len(self._kept) >= MAX_CERTIFICATES:
            self._kept.clear()
        self._kept[url] = certificate
        return certificate
