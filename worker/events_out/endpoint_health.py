"""Decides when nothing is sent to an endpoint for a while. Pure."""

from dataclasses import dataclass, field

from bellhop.clock import Seconds

FAILURES_TO_PAUSE = 5
"""After this many failed requests in a row, one request at a time tries whether the endpoint is back."""
REFUSED_TO_REPORT = 5
"""After so many different events were refused, and none was accepted since, the endpoint seems to refuse all."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 5.0, 60.0
"""The pause before each of these tries doubles from the first to the longest."""
GONE_S = Seconds(3_600.0)
"""How long nothing is sent after the answer 410 Gone."""


@dataclass
class EndpointHealth:
    """What the latest requests to an endpoint showed. Times are of the monotonic clock, in seconds."""

    failures: int = 0
    """Failed requests in a row."""
    reason: str = ""
    """Why the latest request failed; empty if it did not."""
    gone: bool = False
    """Whether the endpoint answered 410 Gone, and nothing is sent for `GONE_S`."""
    paused_until: float = 0.0
    refused_events: set[str] = field(default_factory=set)
    """The ids of events that were refused since one was accepted; at most `REFUSED_TO_REPORT`."""

    @property
    def away(self) -> bool:
        """Whether so many requests failed that only single tries are sent."""
        return self.gone or self.failures >= FAILURES_TO_PAUSE

    @property
    def takes_nothing(self) -> str:
        """Why the endpoint takes no events; empty if it takes some. It may refuse every event and not be away."""
        return self.reason if self.away or len(self.refused_events) >= REFUSED_TO_REPORT else ""

    def admit(self, now: float) -> Seconds:
        """Let a request be sent now, and return 0; or return how long it must wait.

        While the endpoint is away, one request at a time is let through, as a try.
        """
        if now < self.paused_until:
            return Seconds(self.paused_until - now)
        if self.away:
            self.paused_until = now + self._pause_s()  # other requests wait for the outcome of this one
        return Seconds(0.0)

    def succeeded(self) -> None:
        """Note a request that was accepted."""
        self._end_pause("")
        self.refused_events.clear()

    def refused(self, reason: str, event_id: str) -> None:
        """Note an answer that is about one event: the endpoint is there, so nothing is paused."""
        self._end_pause(reason)
        if len(self.refused_events) < REFUSED_TO_REPORT:
            self.refused_events.add(event_id)

    def failed(self, reason: str, now: float, *, gone: bool = False, retry_after_s: float = 0.0) -> None:
        """Note a request that failed. `retry_after_s`: how long the endpoint asks to wait."""
        self.failures, self.reason, self.gone = self.failures + 1, reason, gone
        self.paused_until = max(self.paused_until, now + max(self._pause_s(), retry_after_s))

    def _end_pause(self, reason: str) -> None:
        self.failures, self.reason, self.gone, self.paused_until = 0, reason, False, 0.0

    def _pause_s(self) -> float:
        """Return how long nothing is sent, by the failures so far."""
        if self.gone or self.failures < FAILURES_TO_PAUSE:
            return GONE_S if self.gone else 0.0
        doublings = min(self.failures - FAILURES_TO_PAUSE, 10)
        return min(FIRST_PAUSE_S * float(2**doublings), LONGEST_PAUSE_S)
