"""Only public addresses are connected to, however the address is written or found."""

import asyncio
import socket
from ipaddress import IPv6Address, ip_address

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bellhop.public_address import SPECIAL, NotPublicError, is_public, parse_networks, public_socket

IPV4 = st.ip_addresses(v=4)
IPV6 = st.ip_addresses(v=6)
WRITTEN = ("127.0.0.1", "127.1", "2130706433", "0x7f.1", "0177.0.0.1", "0", "localhost", "LOCALHOST", "[::1]", "[::]")
WRAPPED = (
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]",
    "[fe80::1]",
    "[::127.0.0.1]",
)

NOT_IN_A_URL = ("127.1", "2130706433", "0x7f.1", "0177.0.0.1", "0")
"""Spellings that aiohttp refuses by itself."""


@pytest.fixture(scope="module")
def listening():
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        yield server


@given(IPV4)
def test_an_ipv4_address_means_the_same_inside_ipv6(ip):
    public = is_public(str(ip))
    assert is_public(f"::ffff:{ip}") == public
    assert is_public(f"64:ff9b::{ip}") == public
    assert not is_public(f"::{ip}")
    assert not is_public(str(IPv6Address(b"\x20\x02" + ip.packed + bytes(10))))


@given(st.one_of(IPV4, IPV6))
def test_no_address_is_public_that_python_calls_special(ip):
    if is_public(str(ip)) and not (isinstance(ip, IPv6Address) and str(ip).startswith("64:ff9b::")):
        plain = getattr(ip, "ipv4_mapped", None) or ip
        assert plain.is_global and not plain.is_multicast and not plain.is_reserved and not plain.is_unspecified


@given(st.sampled_from(SPECIAL), st.data())
def test_no_address_of_a_special_network_is_public(network, data):
    ip = data.draw(st.ip_addresses(network=network))
    assert not is_public(str(ip))
    assert is_public(str(ip), (network,))


@pytest.mark.parametrize("network", SPECIAL, ids=str)
def test_the_first_and_last_address_are_not_public(network):
    assert not is_public(str(network[0])) and not is_public(str(network[-1]))


@given(st.text("0123456789abfx.:%/[] ", max_size=40))
def test_a_text_that_is_not_an_address_is_not_public(text):
    assert not is_public(text) or ip_address(text.partition("%")[0])


@pytest.mark.parametrize("address", ["1.1.1.1", "8.8.8.8", "193.0.6.139", "2606:4700::1111", "2a00:1450:4001::8"])
def test_an_address_on_the_internet_is_public(address):
    assert is_public(address)


def test_an_allowed_network_is_allowed_in_each_spelling():
    allowed = parse_networks(("10.1.0.0/16", "fd00::7"))
    assert is_public("10.1.2.3", allowed) and is_public("::ffff:10.1.2.3", allowed) and is_public("fd00::7", allowed)
    assert not is_public("10.2.0.1", allowed) and not is_public("fd00::8", allowed)


@pytest.mark.parametrize("host", WRITTEN + WRAPPED)
async def test_nothing_connects_to_this_host(host, listening):
    url = f"http://{host}:{listening.getsockname()[1]}/"
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(socket_factory=public_socket())) as session:
        with pytest.raises((aiohttp.ClientConnectorError, aiohttp.InvalidURL)) as raised:
            await session.get(url, timeout=aiohttp.ClientTimeout(total=5))
    assert isinstance(getattr(raised.value, "os_error", None), NotPublicError) or host in NOT_IN_A_URL
    with pytest.raises(BlockingIOError):
        listening.accept()


async def test_the_error_says_that_the_address_is_not_public():
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(socket_factory=public_socket())) as session:
        with pytest.raises(aiohttp.ClientConnectorError) as raised:
            await session.get("http://169.254.169.254/latest/meta-data")
    assert isinstance(raised.value.os_error, NotPublicError)


async def test_an_allowed_network_is_connected_to(listening):
    factory = public_socket(parse_networks(("127.0.0.0/8",)))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(socket_factory=factory)) as session:
        asking = asyncio.create_task(session.get(f"http://127.0.0.1:{listening.getsockname()[1]}/"))
        accepted, _ = await asyncio.get_running_loop().sock_accept(listening)
        asking.cancel()
    accepted.close()
