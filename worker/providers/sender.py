"""The interface of a provider's sender: one push in, one result out."""

import math
from typing import Protocol

from bellhop.clock import Seconds
from bellhop.domain.outcomes import AttemptResult
from bellhop.domain.push import Push


class Sender(Protocol):
    """Carries one push to its provider: a value in, an answer out."""

    async def send(self, push: Push, timeout_s: Seconds, start_s: Seconds = Seconds(math.inf)) -> AttemptResult:
        """Make exactly one attempt and say what came of it within `timeout_s`; never raises but for cancellation.

        What has not left within `start_s` (for want of a connection, or of credentials) does not leave: DELAYED.
        """
        ...

    async def close(self) -> None:
        """Let what is in flight finish, then close the connections."""
        ...
