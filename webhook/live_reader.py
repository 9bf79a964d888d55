"""Who reads a live stream. The view decides it, and hands the reader to the server that keeps the stream open."""

from collections.abc import Mapping, MutableMapping
from typing import Any, NamedTuple

from bellhop.clock import Seconds

_SERVES_STREAMS = "bellhop.serves_live_streams"
"""The WSGI variable that exists if the server can keep streams open."""
_READER = "bellhop.live_reader"
"""The WSGI variable by which the view says that its response begins a stream for this reader."""


class LiveReader(NamedTuple):
    """A token that may read a call's stream."""

    tenant: str
    cid: str
    user_id: str | None
    """None for a server token, which may read all. A user reads no private fields."""
    expires_at_s: Seconds | None = None
    """When the token expires (unix time), if it does."""


def offer_streams(environ: MutableMapping[str, Any]) -> None:
    """Tell the view that the server can keep streams open."""
    environ[_SERVES_STREAMS] = True


def offers_streams(environ: Mapping[str, Any]) -> bool:
    """Return whether the server can keep streams open."""
    return _SERVES_STREAMS in environ


def begin_stream(environ: MutableMapping[str, Any], reader: LiveReader) -> None:
    """Let the server begin a stream with the view's response."""
    environ[_READER] = reader


def reader_of(environ: Mapping[str, Any]) -> LiveReader | None:
    """Return the reader of the stream that the view's response begins; None if it begins none."""
    reader: LiveReader | None = environ.get(_READER)
    return reader
