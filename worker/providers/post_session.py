"""The HTTP session to a provider: how many connections there are, and how long each step may take."""

import socket
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import AddrInfoType, SocketFactoryType
from aiohttp.connector import Connection

from bellhop.clock import Seconds
from worker.providers.client_tls import check_files, client_tls
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


class PostSession:
    """The session of one sender. The first request opens it."""

    def __init__(
        self, policy: SessionPolicy, ca_file: Path | None, proxy: str, make_socket: SocketFactoryType = new_socket
    ) -> None:
        """Connections go through `proxy` unless that is empty. Raises OSError for an unreadable CA file."""
        check_files(ca_file)
        self._open = partial(_open_session, policy, ca_file, proxy, make_socket)
        self._session: aiohttp.ClientSession | None = None

    def get(self) -> aiohttp.ClientSession:
        """Return the open session."""
        if self._session is None:
            self._session = self._open()
        return self._session

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()


def _open_session(
    policy: SessionPolicy, ca_file: Path | None, proxy: str, make_socket: SocketFactoryType
) -> aiohttp.ClientSession:
    def open_socket(info: AddrInfoType) -> socket.socket:
        opened = make_socket(info)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, policy.unacknowledged_ms)
        return opened

    connector = _Connector(
        limit=0,
        limit_per_host=policy.connections,
        ssl=client_tls(ca_file),
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
