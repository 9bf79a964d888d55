"""How many live streams one process keeps open. Pure."""

from typing import NamedTuple

from bellhop.clock import Seconds
from webhook.api_errors import ApiErrorKind
from webhook.live_reader import LiveReader


class LiveBounds(NamedTuple):
    """Limits for the streams of one process (docs/security.md says why)."""

    streams: int
    per_call: int
    per_user: int
    lasts_s: Seconds
    """After how long a stream ends."""

    def refusal(self, reader: LiveReader, *, streams: int, of_token: int, of_call: int) -> ApiErrorKind | None:
        """Return why the reader gets no stream if so many are open; None if it gets one."""
        if streams >= self.streams:
            return ApiErrorKind.STREAMS_FULL
        if of_token >= self._per_token(reader) or of_call >= self.per_call:
            return ApiErrorKind.TOO_MANY_STREAMS
        return None

    def stream_lasts_s(self, reader: LiveReader, unix_s: float) -> float:
        """Return how long a stream that begins at `unix_s` lasts: never longer than its token is valid."""
        if reader.expires_at_s is None or reader.expires_at_s > unix_s + self.lasts_s:
            return self.lasts_s
        return max(0.0, reader.expires_at_s - unix_s)

    def _per_token(self, reader: LiveReader) -> int:
        """Return how many streams the reader's tokens may have. One backend reads the streams of many calls."""
        return max(1, self.streams // 2) if reader.user_id is None else self.per_user
