"""Addresses of clients, and whether they belong to given networks. Pure."""

import re
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

Networks = tuple[IPv4Network | IPv6Network, ...]

WITH_PORT = re.compile(r"\[([^]]*)\](?::\d+)?|([\d.]+):\d+")


def networks(texts: Iterable[str]) -> Networks:
    """Parse networks or single addresses. Raises ValueError."""
    return tuple(ip_network(text) for text in texts)


def parse_address(text: str | None) -> IPv4Address | IPv6Address | None:
    """Parse a client's address as sockets and proxies write it; None if it is not an address."""
    # Azure's Application Gateway adds the port: 192.0.2.1:4711, [2001:db8::1]:4711.
    with_port = WITH_PORT.fullmatch(text or "")
    try:
        address = ip_address(with_port[1] or with_port[2] if with_port else text or "")
    except ValueError:
        return None
    # On a socket that listens on IPv6, an IPv4 client has an address like ::ffff:192.0.2.1.
    return getattr(address, "ipv4_mapped", None) or address


def within(address: str | None, allowed: Networks) -> bool:
    """Return whether `address` is in one of the networks; False if it is not an address."""
    parsed = parse_address(address)
    return parsed is not None and any(parsed in network for network in allowed)


def client_name(address: str | None) -> str:
    """Name a client whose attempts are counted. An IPv6 client is its /64, since it can use any address in there."""
    parsed = parse_address(address)
    if parsed is None:
        return "unknown"
    return str(IPv6Network((int(parsed), 64), strict=False)) if parsed.version == 6 else str(parsed)


def forwarded_client(forwarded: str, peer: str, hops: int) -> str:
    """Return the client's address, as ProxyFix does: `hops` trusted proxies have added to X-Forwarded-For."""
    addresses = [address.strip() for address in forwarded.split(",")]
    return addresses[-hops] if 0 < hops <= len(addresses) and addresses[-hops] else peer


def peer(environ: Mapping[str, Any]) -> str | None:
    """Return the address at the other end of the connection, before ProxyFix applied X-Forwarded-For."""
    address: str | None = environ.get("werkzeug.proxy_fix.orig", environ).get("REMOTE_ADDR")
    return address
