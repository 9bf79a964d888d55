"""Settings: the team's own pushes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from bellhop.clock import Seconds
from bellhop.domain.push import PushKind
from bellhop.settings.field_types import ListOf, SettingsSection

SHORTEST_PAUSE_S = 2


def _not_too_often(every_s: Seconds) -> Seconds:
    if 0 < every_s < SHORTEST_PAUSE_S:
        raise ValueError(f"must be 0, or at least {SHORTEST_PAUSE_S}")
    return every_s


class PushSettings(SettingsSection):
    """What pushes say and carry beside what Bellhop puts into them (docs/pushes.md)."""

    pushes_file: Path | None = None
    """TOML file with your own texts, sounds and data for pushes (docs/pushes.md). Workers read it when they start."""
    push_call_fields: ListOf[str] = []
    """Custom fields of the call that your own pushes may use; several separated by commas. The web process reads it."""
    push_caller_fields: ListOf[str] = []
    """Custom fields of the caller that your own pushes may use; several separated by commas. `image` is the caller's
    picture, a URL. The web process reads it."""
    push_live_started: ListOf[str] = []
    """Types of calls whose members get a push when a call goes live (call.live_started); several separated by commas.
    The web process reads it."""
    push_session_started: ListOf[str] = []
    """Types of calls whose members get a push when the first person joins (call.session_started); several separated by
    commas. The web process reads it."""

    second_way: bool = False
    """Whether Bellhop rings a phone once more if it sends no receipt for a ring, although it has sent receipts for
    earlier rings (docs/receipts.md). It needs BELLHOP_RECEIPT_SECRET. Workers read it."""
    second_way_after: Annotated[Seconds, Field(ge=1, le=60)] = Seconds(4)
    """How many seconds Bellhop waits for the receipt after the provider accepted the ring."""
    alert_ring_every: Annotated[Seconds, Field(ge=0, le=30), AfterValidator(_not_too_often)] = Seconds(0)
    """Seconds between two alerts of a ring, 2 to 30; 0: the alert is not repeated. These alerts ring iPhones whose app
    does not use CallKit (docs/alert-rings.md). The web process and workers read it."""
    badge: bool = False
    """Whether notices on iPhones carry the number of missed calls that the user has not seen, for the app's icon
    (docs/calls.md). It needs BELLHOP_USER_CALLS. Workers read it."""

    @property
    def started_pushes(self) -> Mapping[PushKind, frozenset[str]]:
        """The types of calls that each of these pushes is switched on for."""
        return {
            PushKind.LIVE_STARTED: frozenset(self.push_live_started),
            PushKind.SESSION_STARTED: frozenset(self.push_session_started),
        }
