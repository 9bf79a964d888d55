"""The HTTP session to a provider: how many connections there are, and how long each step may take."""

import socket
import ssl
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiohttp import AddrInfoType, SocketFactoryType
from aiohttp.connector import Connection

from bellhop.clock import Seconds
from worker.providers.posted_body import PostedBody


@dataclass(frozen=True, slots=True)
class SessionPolicy:
    """The limits for the connections to a provider. Tests pass smaller ones."""

    connections: int = 128
    """HTTP/1.1 carries one push at a time on each: enough for several hundred a second at Google's usual speed."""
    connect_timeout_s: Seconds = Seconds(3.0)
    idle_s: Seconds = Seconds(120.0)
    """An unused connection is kept this long. Firewalls on the way forget a connection later than that."""
    unacknowledged_ms: int = 4000
    """A connection ends if the network does not acknowledge what was written to it within this time."""
    token_timeout_s: Seconds = Seconds(5.0)
    """How long a request for an access token may take, if the provider wants one."""


def new_socket(info: AddrInfoType) -> socket.socket:
    """Make a socket for any address."""
    return socket.socket(*info[:3])


def open_session(
    policy: SessionPolicy, tls: ssl.SSLContext, proxy: str, make_socket: SocketFactoryType = new_socket
) -> aiohttp.ClientSession:
    """Make the session. It connects when the first request needs it, through `proxy` unless that is empty."""

    def open_socket(info: AddrInfoType) -> socket.socket:
        opened = make_socket(info)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, policy.unacknowledged_ms)
        return opened

    connector = _Connector(
        limit=0,
        limit_per_host=policy.connections,
        ssl=tls,
        keepalive_timeout=policy.idle_s,
        socket_factory=open_socket,
    )
    return aiohttp.ClientSession(
        connector=connector,
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=policy.connect_timeout_s),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": "bellhop"},
        proxy=proxy or None,
    )


class _Connector(aiohttp.TCPConnector):
    async def connect(self, req: aiohttp.ClientRequest, *args: Any, **kwargs: Any) -> Connection:
        """Connect. If that took so long that the request must not be sent any more, keep the connection for another."""
        connection = await super().connect(req, *args, **kwargs)
        try:
            if isinstance(req.body, PostedBody):
                req.body.check_time()
        except ConnectionAbortedError:
            connection.release()
            raise
        return connection
