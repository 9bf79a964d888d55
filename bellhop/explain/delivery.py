"""The result of one push, as the verdict on a user and its short reason need it. Pure."""

from dataclasses import dataclass

from bellhop.domain.outcomes import Tone
from bellhop.explain.timeline import TimelineEntry


@dataclass(slots=True)
class Delivery:
    """The result of one push: one kind of push to one device. Nothing changes it (see `TimelineEntry`)."""

    device: str
    """The device's key."""
    label: str
    """The name of the device, such as "Jane's iPhone"."""
    kind: str
    provider: str
    outcome: str
    """The outcome that decides the result; for a push that waits, the reason why it waits."""
    tone: Tone
    sentence: str
    attempts: tuple[TimelineEntry, ...]
    rang: bool
    """Whether the phone reported that it rang."""
