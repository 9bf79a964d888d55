"""Where a request comes from, and whether that is somewhere we know. Pure."""

import re
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

Networks = tuple[IPv4Network | IPv6Network, ...]

WITH_PORT = re.compile(r"\[([^]]*)\](?::\d+)?|([\d.]+):\d+")


def networks(texts: Iterable[str]) -> Networks:
    """Read networks, or single addresses. Raises ValueError."""
    return tuple(ip_network(text) for text in texts)


def read(text: str | None) -> IPv4Address | IPv6Address | None:
    """Read a client's address as sockets and proxies write it; None for what is none."""
    # Azure's Application Gateway adds the port: 192.0.2.1:4711, [2001:db8::1]:4711.
    with_port = WITH_PORT.fullmatch(text or "")
    try:
        found = ip_address(with_port[1] or with_port[2] if with_port else text or "")
    except ValueError:
        return None
    # An IPv4 client of a socket that listens on IPv6 comes as ::ffff:192.0.2.1.
    return getattr(found, "ipv4_mapped", None) or found


def within(address: str | None, known: Networks) -> bool:
    """Tell whether `address` is in one of the networks; what is no address is in none."""
    found = read(address)
    return found is not None and any(found in network for network in known)


def whose(address: str | None) -> str:
    """Name who is at a client's address; of IPv6 its network, for whoever has one address of it has them all."""
    found = read(address)
    if found is None:
        return "unknown"
    return str(IPv6Network((int(found), 64), strict=False)) if found.version == 6 else str(found)


def peer(environ: Mapping[str, Any]) -> str | None:
    """Who made the connection, whatever X-Forwarded-For says (ProxyFix keeps it)."""
    address: str | None = environ.get("werkzeug.proxy_fix.orig", environ).get("REMOTE_ADDR")
    return address
