"""Where a request comes from, and whether that is somewhere we know. Pure."""

from collections.abc import Iterable, Mapping
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any

Networks = tuple[IPv4Network | IPv6Network, ...]


def networks(texts: Iterable[str]) -> Networks:
    """Read networks, or single addresses. Raises ValueError."""
    return tuple(ip_network(text) for text in texts)


def within(address: str | None, known: Networks) -> bool:
    """Tell whether `address` is in one of the networks; what is no address is in none."""
    try:
        found = ip_address(address or "")
    except ValueError:
        return False
    # An IPv4 client of a socket that listens on IPv6 comes as ::ffff:192.0.2.1.
    found = getattr(found, "ipv4_mapped", None) or found
    return any(found in network for network in known)


def peer(environ: Mapping[str, Any]) -> str | None:
    """Who made the connection, whatever X-Forwarded-For says (ProxyFix keeps it)."""
    address: str | None = environ.get("werkzeug.proxy_fix.orig", environ).get("REMOTE_ADDR")
    return address
