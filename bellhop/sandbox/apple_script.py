"""What a test can have the stand-in for Apple do instead of accepting a push. Values."""

from dataclasses import dataclass
from typing import Literal

from bellhop.clock import Seconds


@dataclass(frozen=True, slots=True)
class AppleReply:
    """An answer; the default is Apple's 200."""

    status: int = 200
    reason: str = ""
    timestamp_ms: int | None = None
    retry_after: str = ""
    apns_id: Literal["echo", "none", "upper"] | str = "echo"
    body: bytes | None = None
    """Instead of the JSON that Apple sends; b"" for none."""
    split: bool = False
    """Send the body in two DATA frames."""
    delay_s: Seconds = Seconds(0.0)


@dataclass(frozen=True, slots=True)
class Reset:
    """RST_STREAM with this error code (RFC 9113, section 7)."""

    code: int


@dataclass(frozen=True, slots=True)
class Silence:
    """No answer to this request; `whole_connection`: nor to anything else on its connection, PING included."""

    whole_connection: bool = False


@dataclass(frozen=True, slots=True)
class GoAway:
    """Announce the end of the connection, then give `reply`, or take nothing (None).

    `drain`: answer what is in flight before closing; otherwise close at once, without a reply to anything.
    """

    drain: bool = True
    reply: AppleReply | None = AppleReply()
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Drop:
    """Close the TCP connection without a word."""


Behaviour = AppleReply | Reset | Silence | GoAway | Drop
