"""Notes which clients lately sent many webhooks with a wrong signature. In memory, for each process."""

import threading
from collections import Counter

MINUTE_S = 60
MAX_CLIENTS = 10_000
"""How many clients are counted in a minute. The failures of further clients are not counted."""

Client = tuple[str, str]
"""An address (`webhook.client_address.client_name`), and the API key that the client named."""


class FailureLimit:
    """Counts the failures of each client in this minute and the last one. Safe to use from several threads."""

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._lock = threading.Lock()
        self._minute = 0
        self._now: Counter[Client] = Counter()
        self._before: Counter[Client] = Counter()

    def note(self, client: Client, now_s: float) -> None:
        """Count a failure. `now_s` is monotonic."""
        with self._lock:
            self._begin_minute(now_s)
            if client in self._now or len(self._now) < MAX_CLIENTS:
                self._now[client] += 1

    def forget(self, client: Client) -> None:
        """Forget the failures of a client whose signature was right."""
        with self._lock:
            self._now.pop(client, None)
            self._before.pop(client, None)

    def exceeded(self, client: Client, now_s: float) -> bool:
        """Return whether the client had more failures than one minute allows."""
        with self._lock:
            self._begin_minute(now_s)
            return self._now[client] + self._before[client] > self._per_minute

    def _begin_minute(self, now_s: float) -> None:
        minute = int(now_s // MINUTE_S)
        if minute != self._minute:
            self._before = self._now if minute == self._minute + 1 else Counter()
            self._now, self._minute = Counter(), minute
