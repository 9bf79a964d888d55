"""What a test can make the stand-in for Apple do instead of accepting a push."""

from dataclasses import dataclass
from typing import Literal

from bellhop.clock import Seconds


@dataclass(frozen=True, slots=True)
class AppleReply:
    """An answer. The default is Apple's 200."""

    status: int = 200
    reason: str = ""
    timestamp_ms: int | None = None
    retry_after: str = ""
    apns_id: Literal["echo", "none", "upper"] | str = "echo"
    body: bytes | None = None
    """Sent instead of Apple's JSON; b"" sends no body."""
    split: bool = False
    """Send the body in two DATA frames."""
    delay_s: Seconds = Seconds(0.0)


@dataclass(frozen=True, slots=True)
class Reset:
    """RST_STREAM with this error code (RFC 9113, section 7)."""

    code: int


@dataclass(frozen=True, slots=True)
class Silence:
    """No answer to this request. With `whole_connection`, the connection answers nothing more, not even PING."""

    whole_connection: bool = False


@dataclass(frozen=True, slots=True)
class GoAway:
    """Send GOAWAY, then answer this request with `reply`, or not at all (None).

    `drain`: answer the requests in flight before closing. Otherwise close at once, without any answer.
    """

    drain: bool = True
    reply: AppleReply | None = AppleReply()
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Drop:
    """Close the TCP connection without an answer."""


Behaviour = AppleReply | Reset | Silence | GoAway | Drop
