"""The form of each event that is sent to the team's backend: the models behind the JSON schemas and OpenAPI. Pure.

`bellhop.domain.announcement` makes the events. The form is public: a field keeps its name and meaning, and new fields
may be added.
"""

from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, Field

from bellhop.domain.announcement import AnnouncementType

Timestamp = Annotated[str, Field(json_schema_extra={"format": "date-time"})]


class RingData(BaseModel):
    """One user in one ring of a call."""

    app: Annotated[str, Field(description="The Stream app's name in Bellhop.")]
    call_cid: Annotated[str, Field(description="The call's type and id, joined by a colon.")]
    ring_started_at: Annotated[Timestamp, Field(description="When the call rang. It names the ring within the call.")]
    ring_ends_at: Annotated[Timestamp, Field(description="When the ring is over if nobody answers.")]
    caller_id: Annotated[str, Field(description="The user who called.")]
    user_id: Annotated[str, Field(description="The user who is called.")]


class UnreachableData(RingData):
    """A ring that no phone of the user shows."""

    reason: Annotated[str, Field(description="An outcome (docs/outcomes.md), such as no_devices or muted.")]


class EndedData(RingData):
    """A ring that is over for the user."""

    standing: Annotated[str, Field(description="The user's final standing (docs/outcomes.md), such as answered.")]


class MissedNoticeData(RingData):
    """A missed-call notice that was sent to the user."""

    by: Annotated[Literal["push", "email"], Field(description="How the notice was sent.")]


class RemovedDeviceData(BaseModel):
    """A push token that left the registry."""

    app: Annotated[str, Field(description="The Stream app's name in Bellhop.")]
    user_id: Annotated[str, Field(description="The user who had the device.")]
    device: Annotated[str, Field(description="The device's id, as in GET /v1/users/<id>/devices.")]
    provider: Annotated[str, Field(description="apns, fcm or another provider of pushes.")]
    app_id: Annotated[str, Field(description="The bundle id or the Firebase project.")]
    reason: Annotated[
        str, Field(description="`removed` by an app, a backend or a command, else the provider's reason.")
    ]


class AlarmData(BaseModel):
    """Something in the installation that needs an operator."""

    name: Annotated[str, Field(description="The kind of alarm; docs/events.md lists them.")]
    subject: Annotated[str, Field(description="What it is about: a provider and an app, or the name of an endpoint.")]
    sentence: Annotated[str, Field(description="What is wrong, for people.")]


class EventDocument(BaseModel):
    """What every event has."""

    id: Annotated[
        str, Field(pattern="^evt_[0-9a-f]{32}$", description="The same for each repeat; also the header webhook-id.")
    ]
    timestamp: Annotated[Timestamp, Field(description="When it happened.")]


class EventForm(NamedTuple):
    """A type of event, its meaning and the form of its data."""

    name: AnnouncementType
    summary: str
    data: type[BaseModel]


FORMS = (
    EventForm(AnnouncementType.REACHED, "A push provider accepted the first push of a ring for this user.", RingData),
    EventForm(AnnouncementType.RINGING, "A phone of this user reported that it rings.", RingData),
    EventForm(AnnouncementType.UNREACHABLE, "No phone of this user can ring.", UnreachableData),
    EventForm(AnnouncementType.ENDED, "The ring is over for this user.", EndedData),
    EventForm(AnnouncementType.MISSED_NOTICE, "This user was told about a missed call.", MissedNoticeData),
    EventForm(AnnouncementType.DEVICE_REMOVED, "A device left the registry.", RemovedDeviceData),
    EventForm(AnnouncementType.ALARM, "Something in the installation needs an operator.", AlarmData),
)


def schema(form: EventForm) -> dict[str, Any]:
    """Return the JSON schema of the documents of one type."""
    document = EventDocument.model_json_schema()
    document["title"] = form.name
    document["description"] = form.summary
    document["properties"] |= {"type": {"const": str(form.name)}, "data": form.data.model_json_schema()}
    document["required"] += ["type", "data"]
    return document
