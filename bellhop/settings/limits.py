"""Settings: how much one caller, one call or one callee may cost. docs/security.md says why each has its default."""

from typing import Annotated

from pydantic import Field

from bellhop.settings.field_types import SettingsSection

MOST_MEMBERS = 1_000


class LimitSettings(SettingsSection):
    """Limits of rings. What exceeds them is turned away, so that it does not delay other people's calls."""

    ring_members: Annotated[int, Field(ge=1, le=MOST_MEMBERS)] = MOST_MEMBERS
    """How many members of one call.ring or call.notification are called: the first ones."""
    rings_per_caller: Annotated[int, Field(ge=1)] = 3_000
    """How many people one caller may ring in a minute. A ring for 100 people counts as 100. What exceeds a bound rings
    nobody, and the call's trail says why (docs/security.md)."""
    rings_per_call: Annotated[int, Field(ge=1)] = 1_000
    """How many people one call may ring in a minute, counted in the same way."""
    rings_per_callee: Annotated[int, Field(ge=1)] = 120
    """How often one user may be rung in a minute."""
    open_rounds_per_call: Annotated[int, Field(ge=1)] = 200
    """How many rings of one call may go on at the same time."""
    rings_waiting_per_app: Annotated[int, Field(ge=1)] = 10_000
    """With several Stream apps: how many rings of one app may wait for a worker, and how many notifications. Bellhop
    answers 503 to further webhooks that call people, and Stream sends them again (docs/tenants.md)."""
