"""Finds out from the answers of the provider why the pushes of an app do not arrive; for the worker's status. Pure."""

from dataclasses import dataclass, field

from bellhop.domain.outcomes import AttemptResult, Outcome
from worker.delivery.circuit_breaker import NOT_SERVED

SURELY_WRONG = 3
"""If devices of so many users in a row belong to another app, the credentials are wrong, even if a push was accepted
before."""
ABOUT_THE_DEVICE = frozenset({Outcome.ACCEPTED, Outcome.TOKEN_DEAD, Outcome.BAD_TOKEN})
"""Answers that a provider gives only to credentials of the device's app."""


@dataclass
class ChannelTrouble:
    """Remembers the answers that say what is wrong with an app, not with one device."""

    not_served: AttemptResult | None = None
    """The last attempt that the provider did not serve."""
    _wrong_app: AttemptResult | None = None
    _users_of_other_apps: set[str] = field(default_factory=set)
    _was_right: bool = False

    @property
    def wrong_app(self) -> AttemptResult | None:
        """The answer, if the credentials seem to be for another app than the devices.

        One user is not enough once a push was accepted: any user can register tokens of another app.
        """
        return self._wrong_app if not self._was_right or len(self._users_of_other_apps) >= SURELY_WRONG else None

    def record(self, result: AttemptResult, user: str) -> None:
        """Note the result of an attempt for this user."""
        if result.outcome in NOT_SERVED:
            self.not_served = result
        elif result.outcome is Outcome.WRONG_APP:
            self._wrong_app = result
            if len(self._users_of_other_apps) < SURELY_WRONG:
                self._users_of_other_apps.add(user)
        elif result.outcome in ABOUT_THE_DEVICE:
            self._was_right, self._wrong_app = True, None
            self._users_of_other_apps.clear()
