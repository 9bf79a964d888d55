"""Connects to a host through an HTTP proxy."""

import asyncio
import base64
import socket
from urllib.parse import SplitResult, unquote

from aiohappyeyeballs import start_connection

MAX_ANSWER_BYTES = 8192
NEXT_ADDRESS_S = 0.25
"""If one of the proxy's addresses does not answer within this time, the next one is tried in parallel (RFC 8305)."""


async def open_tunnel(proxy: SplitResult, host: str, port: int) -> socket.socket:
    """Open a tunnel through an HTTP proxy (CONNECT, RFC 9110, section 9.3.6). Raises OSError if the proxy refuses."""
    loop = asyncio.get_running_loop()
    addresses = await loop.getaddrinfo(proxy.hostname, proxy.port or 80, type=socket.SOCK_STREAM)
    tunnel = await start_connection(addresses, happy_eyeballs_delay=NEXT_ADDRESS_S)
    try:
        request = f"CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n"
        if proxy.username is not None:
            credentials = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
            request += f"Proxy-Authorization: Basic {base64.b64encode(credentials.encode()).decode()}\r\n"
        await loop.sock_sendall(tunnel, f"{request}\r\n".encode())
        answer = b""
        while b"\r\n\r\n" not in answer:
            part = await loop.sock_recv(tunnel, 1024)
            answer += part
            if not part or len(answer) > MAX_ANSWER_BYTES:
                raise ConnectionRefusedError("the proxy gives no answer to CONNECT")
        status = answer.split(b"\r\n", 1)[0].split(b" ")[1:2]
        if not status or not status[0].startswith(b"2"):
            raise ConnectionRefusedError(f"the proxy refuses: {status[0].decode('ascii', 'replace') if status else ''}")
    except BaseException:
        tunnel.close()
        raise
    return tunnel
