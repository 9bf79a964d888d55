"""One ringing of one call, and the users it is for. Pure."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from bellhop.clock import Micros


class FrozenModel(BaseModel):
    """A value that crosses the queue: fields of a newer version are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Caused(FrozenModel):
    """What ties a job to its cause (`bellhop.telemetry.correlation`); older jobs, and the watchdog's, name none."""

    webhook: str = ""
    """The digest of the webhook that it came from: the id that log lines share."""
    queued_at: Annotated[int, Field(ge=0)] = 0
    """When it was queued, unix time in microseconds."""
    trace: str = ""
    """The span it belongs to, as W3C's traceparent."""


class Recipient(FrozenModel):
    """A user that an event is for; the caller never is one."""

    id: str
    name: str = ""
    language: str = ""
    email: str = ""


class Round(Caused):
    """One ringing of one call, or of one quiet notification."""

    v: Literal[1] = 1
    tenant: str
    cid: str
    session_id: str
    started_at: Annotated[Micros, Field(ge=0)]
    """Stream's created_at of the event: with the call and session, the name of the round."""
    deadline: Annotated[Micros, Field(ge=0)]
    """No push is sent from here on."""
    caller_id: str
    caller_name: str
    callers: tuple[str, ...] = ()
    """Whose rejection ends the ring for everybody: who rings and who created the call, unless they are rung."""
    call_name: str = ""
    custom: dict[str, str] = {}
    """The call's custom fields that an e-mail may show, as the settings say."""
    video: bool = False
    recipients: tuple[Recipient, ...] = ()
    ringless: bool = False
    """Known from its call.missed alone: nothing was rung."""
