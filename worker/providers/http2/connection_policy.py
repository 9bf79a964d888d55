"""Every time limit and number that decides how HTTP/2 connections are opened, used and given up."""

import math
from dataclasses import dataclass

from bellhop.clock import Seconds


@dataclass(frozen=True, slots=True)
class ConnectionPolicy:
    """The limits for the connections to one host. Tests pass smaller ones."""

    # One connection
    ping_every_s: Seconds = Seconds(60.0)
    """A PING is sent this often, so that a dead connection is found before a push needs it."""
    ping_timeout_s: Seconds = Seconds(3.0)
    """The connection is aborted if a PING is not answered within this time."""
    quiet_s: Seconds = Seconds(10.0)
    """If the peer was silent for this long, the next request takes a PING along. A dead connection shows sooner."""
    max_streams: int = 500
    """Requests in flight on one connection, even if the peer allows more."""
    idle_s: Seconds = Seconds(math.inf)
    """A connection that no request used for this long is closed at the next regular PING, and not opened again before a
    push needs it. Apple wants connections kept."""
    last_stream_id: int = 2**31 - 1001
    """After this stream id the connection is replaced: HTTP/2 has 31 bits for stream ids and never reuses one."""

    # Opening connections
    connect_timeout_s: Seconds = Seconds(3.0)
    happy_eyeballs_s: Seconds = Seconds(0.25)
    """If one of the host's addresses does not answer within this time, the next one is tried in parallel (RFC 8305)."""
    first_pause_s: Seconds = Seconds(0.1)
    """The pause before the next attempt to connect, if the last one failed or its connection did not last."""
    longest_pause_s: Seconds = Seconds(0.25)
    """That pause doubles with each failure, up to this. It is short, since rings wait for the provider to come back."""

    # Choosing and replacing connections
    spread_at: int = 10
    """Another connection is opened when the least busy one carries this many requests: Apple wants bursts spread."""
    pile_at: int = 100
    """At this many requests, a push waits for the new connection. A flow-control window holds about as many."""
    patience_s: Seconds = Seconds(0.5)
    """How long it waits for it."""
    avoid_s: Seconds = Seconds(5.0)
    """A connection on which a push failed is chosen last for this long."""
    min_life_s: Seconds = Seconds(10.0)
    """A connection that lived shorter than this is replaced only when a push needs it: the peer may be refusing us."""
    max_failures: int = 5
    """A connection is replaced after this many failed pushes in a row."""
