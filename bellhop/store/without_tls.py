"""A check for a server without TLS whose URL asks for TLS (rediss://): such a connection waits until its timeout."""

import contextlib
import socket

from bellhop.store.redis_url import PORT, parse

TIMEOUT_S = 1.0


def answers_without_tls(url: str) -> bool:
    """Return whether the URL asks for TLS and the server answers without it. No password is sent."""
    address = parse(url)
    if not address.tls or address.sentinels:
        return False
    own = (address.server.get("host", "localhost"), int(address.server.get("port", PORT)))
    server = address.nodes[0] if address.nodes else own
    with contextlib.suppress(OSError), socket.create_connection(server, TIMEOUT_S) as connection:
        connection.settimeout(TIMEOUT_S)
        connection.sendall(b"PING\r\n")
        return connection.recv(1) in (b"+", b"-")
    return False


NO_TLS = "the server speaks no TLS on this port: use redis:// in BELLHOP_REDIS_URL, or its port for TLS"
