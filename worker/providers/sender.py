"""The interface of a provider's sender: one push in, one result out."""

import math
from typing import Protocol

from bellhop.clock import Seconds
from bellhop.domain.device import Environment
from bellhop.domain.outcomes import AttemptResult
from bellhop.domain.push import Push


class Sender(Protocol):
    """Sends pushes to one app at one provider."""

    async def prepare(self, environment: Environment, within_s: Seconds) -> None:
        """Wait for what a push needs, a connection and an access token, but not longer than `within_s`."""
        ...

    async def send(self, push: Push, timeout_s: Seconds, start_s: Seconds = Seconds(math.inf)) -> AttemptResult:
        """Make exactly one attempt, and return its result within `timeout_s`. Raises nothing but CancelledError.

        A push that is not on the wire within `start_s`, because there is no connection or no access token yet, is not
        sent: the result is DELAYED.
        """
        ...

    async def close(self) -> None:
        """Let what is in flight finish, then close the connections."""
        ...
