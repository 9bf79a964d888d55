"""The HTTP session to Google: how many connections there are, and how long each step may take."""

import socket
import ssl
from dataclasses import dataclass
from functools import partial
from typing import Any

import aiohttp
from aiohttp.connector import Connection

from bellhop.clock import Seconds
from worker.providers.fcm.fcm_request import FcmPayload


@dataclass(frozen=True, slots=True)
class SessionPolicy:
    """The limits for the connections to Google. Tests pass smaller ones."""

    connections: int = 128
    """HTTP/1.1 carries one push at a time on each: enough for several hundred a second at Google's usual speed."""
    connect_timeout_s: Seconds = Seconds(3.0)
    idle_s: Seconds = Seconds(120.0)
    """An unused connection is kept this long. Firewalls on the way forget a connection later than that."""
    unacknowledged_ms: int = 4000
    """A connection ends if the network does not acknowledge what was written to it within this time."""
    token_timeout_s: Seconds = Seconds(5.0)
    """How long a request for an access token may take."""


def open_session(policy: SessionPolicy, tls: ssl.SSLContext, proxy: str) -> aiohttp.ClientSession:
    """Make the session. It connects when the first request needs it, through `proxy` unless that is empty."""
    connector = _FcmConnector(
        limit=policy.connections,
        ssl=tls,
        keepalive_timeout=policy.idle_s,
        socket_factory=partial(_open_socket, unacknowledged_ms=policy.unacknowledged_ms),
    )
    return aiohttp.ClientSession(
        connector=connector,
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=policy.connect_timeout_s),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": "bellhop"},
        proxy=proxy or None,
    )


class _FcmConnector(aiohttp.TCPConnector):
    async def connect(self, req: aiohttp.ClientRequest, *args: Any, **kwargs: Any) -> Connection:
        """Connect. If that took so long that the request must not be sent any more, keep the connection for another."""
        connection = await super().connect(req, *args, **kwargs)
        try:
            if isinstance(req.body, FcmPayload):
                req.body.check_time()
        except ConnectionAbortedError:
            connection.release()
            raise
        return connection


def _open_socket(address: tuple[Any, ...], unacknowledged_ms: int) -> socket.socket:
    family, kind, protocol = address[:3]
    opened = socket.socket(family, kind, protocol)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, unacknowledged_ms)
    return opened
