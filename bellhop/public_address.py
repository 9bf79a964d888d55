"""Connections to addresses that other people choose: only to public ones.

The check is where the socket is made, so the address that is checked is the address that is connected to. A check of
the URL or of a name's addresses is not enough: a name can lead elsewhere at the next lookup, and an IPv4 address can be
written in many ways. Use it with a session that follows no redirects and uses no proxy:

    connector = aiohttp.TCPConnector(socket_factory=public_socket())
"""

import errno
import socket
from collections.abc import Callable, Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the settings need this module, and most commands need no HTTP
    from aiohttp import AddrInfoType

    SocketFactory = Callable[[AddrInfoType], socket.socket]

Networks = tuple[IPv4Network | IPv6Network, ...]

IPV6_INTERNET = IPv6Network("2000::/3")
"""The only part of IPv6 from which public addresses are given out."""
NAT64 = IPv6Network("64:ff9b::/96")
"""Addresses that a gateway translates to the IPv4 address in their last 32 bits (RFC 6052)."""
SPECIAL: Networks = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8",  # this host; Linux connects to itself
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # shared by a carrier's customers; some clouds' own services
        "127.0.0.0/8",  # this host
        "168.63.129.16/32",  # services of Azure for the virtual machine
        "169.254.0.0/16",  # this link; the metadata of clouds
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocols of the IETF; the metadata of one cloud
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # relays of 6to4
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved; broadcast
        "2001::/23",  # protocols of the IETF; Teredo, which carries IPv4
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4, which carries IPv4
        "3fff::/20",  # documentation
    )
)
"""What IANA's registries of special-purpose addresses contain (RFC 6890), and what some clouds use.

`ipaddress.is_global` is not used: it calls multicast and 6to4 global, and its answers depend on Python's version.
"""


class NotPublicError(OSError):
    """The address is private, local or reserved, or outside the allowed networks. Nothing was sent to it."""

    def __init__(self, address: object) -> None:
        super().__init__(errno.EACCES, f"the address {address} is not public, or not allowed")


def parse_networks(texts: Iterable[str]) -> Networks:
    """Parse networks and single addresses. Raises ValueError."""
    return tuple(ip_network(text) for text in texts)


def is_public(address: str, allowed: Networks = ()) -> bool:
    """Return whether everybody on the internet can reach `address`, or it is in one of the allowed networks."""
    ip = _parse(address)
    if ip is None:
        return False
    reachable = ip.version == 4 or ip in IPV6_INTERNET
    return _within(ip, allowed) or (reachable and not _within(ip, SPECIAL))


def is_allowed(address: str, allowed: Networks) -> bool:
    """Return whether `address` is in one of the allowed networks."""
    ip = _parse(address)
    return ip is not None and _within(ip, allowed)


def _parse(address: str) -> IPv4Address | IPv6Address | None:
    """Parse an address; None if it is not one. An IPv4 address that is written as IPv6 becomes an IPv4 address."""
    try:
        return _without_wrapping(ip_address(address.partition("%")[0]))
    except ValueError:
        return None


def _within(ip: IPv4Address | IPv6Address, networks: Networks) -> bool:
    return any(ip in network for network in networks)


def _without_wrapping(ip: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Return the IPv4 address that a connection to this IPv6 address ends at, or the address itself."""
    if isinstance(ip, IPv6Address) and ip in NAT64:
        return IPv4Address(ip.packed[-4:])
    return (ip.ipv4_mapped if isinstance(ip, IPv6Address) else None) or ip


def public_socket(allowed: Networks = ()) -> "SocketFactory":
    """Make a `socket_factory` for aiohttp that raises NotPublicError for any address that is not public or allowed."""
    return _socket_if(lambda address: is_public(address, allowed))


def allowed_socket(allowed: Networks) -> "SocketFactory":
    """Make a `socket_factory` that raises NotPublicError for any address outside the allowed networks."""
    return _socket_if(lambda address: is_allowed(address, allowed))


def _socket_if(permits: Callable[[str], bool]) -> "SocketFactory":
    def open_socket(info: "AddrInfoType") -> socket.socket:
        family, kind, protocol, _, address = info
        if not permits(str(address[0])):
            raise NotPublicError(address[0])
        return socket.socket(family, kind, protocol)

    return open_socket
