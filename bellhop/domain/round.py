"""One ringing of one call, and the users it is for. Pure.

Both classes are written to Redis as JSON: a field keeps its name and meaning, and a new field has a default.
"""

from collections.abc import Mapping
from functools import cache
from itertools import filterfalse
from operator import not_
from typing import Annotated, Any

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from bellhop.clock import Micros

Moment = Annotated[Micros, Field(ge=0)]
"""Unix time in microseconds, checked when the value comes from outside."""
FOREVER = Micros(2**53 - 1)
"""Later than any moment of a call. Lua and JavaScript can still count with it."""


Rare = Field(exclude_if=not_)
"""For a field that is written only if it says something. Most rounds are then as older versions write them."""


class FrozenModel(BaseModel):
    """A value that is also stored as JSON. Fields of a newer version are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    def as_json(self, **changed: object) -> str:
        """Write as `model_dump_json` does, in half the time, with other values for the fields in `changed`."""
        return _encode(_written(self, changed)).decode()


def _written(model: FrozenModel, changed: Mapping[str, object] = {}) -> dict[str, Any]:
    """Return the fields by name, without the rare fields that say nothing."""
    fields = {**model.__dict__, **changed}
    for name in filterfalse(fields.__getitem__, _rare(type(model))):
        del fields[name]
    return fields


_encode = msgspec.json.Encoder(enc_hook=_written).encode


@cache
def _rare(model: type[FrozenModel]) -> tuple[str, ...]:
    return tuple(name for name, field in model.model_fields.items() if field.exclude_if)


class Recipient(FrozenModel):
    """A user that an event is for. The caller is never a recipient."""

    id: str
    name: str = ""
    language: str = ""
    email: str = ""
    muted_until: Annotated[Moment, Rare] = Micros(0)
    """Until when Stream's user object wants no push; FOREVER without an end."""
    blocks_caller: Annotated[bool, Rare] = False
    """Whether this user has blocked the caller at Stream."""


class Round(FrozenModel):
    """One ringing of one call, or one quiet notification about it."""

    tenant: str
    cid: str
    session_id: str
    started_at: Moment
    """Stream's created_at of the event. With the call it names the round."""
    deadline: Moment
    """No push is sent from this moment on."""
    missed_due: Annotated[Moment, Rare] = Micros(0)
    """When Stream sends call.missed, if that is later than the deadline."""
    caller_id: str
    caller_name: str
    callers: tuple[str, ...] = ()
    """The user who rings and the user who created the call, unless they are rung. Their rejection ends the ring for
    all recipients."""
    call_name: str = ""
    custom: dict[str, str] = Field(default_factory=dict)  # pydantic would copy a default of {} each time, in Python
    """The call's custom fields that an e-mail may show (BELLHOP_MAIL_CUSTOM_FIELDS)."""
    call_fields: Annotated[dict[str, str], Rare] = Field(default_factory=dict)
    """The call's custom fields that a team's own pushes may use (BELLHOP_PUSH_CALL_FIELDS)."""
    caller_fields: Annotated[dict[str, str], Rare] = Field(default_factory=dict)
    """The caller's picture and custom fields that they may use (BELLHOP_PUSH_CALLER_FIELDS)."""
    video: bool = False
    recipients: tuple[Recipient, ...] = ()
    test: Annotated[bool, Rare] = False
    """Whether it is a test (`bellhop.domain.round_of_test`). Nobody but its user hears of it."""
    shown_cid: Annotated[str, Rare] = ""
    """Of a test: the call that its pushes name, if it is not `cid`."""
    ringless: bool = False
    """True if only the round's call.missed has arrived: no phone was rung."""
