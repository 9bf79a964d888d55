"""URLs of Redis, and clients that leave a server that is no primary any more."""

import asyncio
from urllib.parse import quote

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st
from redis.exceptions import ConnectionError as RedisConnectionError

from bellhop.sandbox.tls import Authority
from bellhop.store.async_client import Store
from bellhop.store.blocking_client import blocking
from bellhop.store.redis_url import (
    MOST_PARTITIONS,
    PARTITIONS,
    parse,
    shown,
    shown_database,
    with_ca,
    with_partitions,
)


def test_sentinels_service_and_database_come_from_the_url():
    address = parse("redis+sentinel://bell:p%40ss@one:26380,two,[::1]:26381/calls/3?socket_keepalive=yes")
    assert address.sentinels == (("one", 26380), ("two", 26379), ("::1", 26381))
    assert (address.service, address.tls) == ("calls", False)
    assert address.server == {"username": "bell", "password": "p@ss", "db": 3, "socket_keepalive": True}
    assert "password" not in address.sentinel, "Redis's password is none of the Sentinels' business"


def test_sentinels_may_have_a_login_of_their_own_and_tls():
    url = "rediss+sentinel://one/calls?sentinel_username=watch&sentinel_password=a%26b"
    address = parse(with_ca(url, "/etc/ca file.pem"))
    assert address.tls
    assert address.server == {"ssl_ca_certs": "/etc/ca file.pem"}
    expected = {"username": "watch", "password": "a&b", "ssl": True, "ssl_ca_certs": "/etc/ca file.pem"}
    assert expected.items() <= address.sentinel.items()


HOSTS = st.lists(
    st.tuples(st.sampled_from(["one", "two.example", "10.0.0.3", "::1"]), st.integers(1, 65535)), min_size=1, max_size=4
)
PASSWORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8)


def written(host, port):
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@given(HOSTS, PASSWORDS, st.booleans(), st.none() | st.integers(1, MOST_PARTITIONS))
def test_a_cluster_is_read_from_its_url_as_it_was_written(hosts, password, tls, partitions):
    login = f"bell:{quote(password, safe='')}@"
    url = f"redis{'s' if tls else ''}+cluster://{login}{','.join(written(*host) for host in hosts)}"
    if tls:
        url = with_ca(url, "/etc/ca file.pem")
    address = parse(url if partitions is None else with_partitions(url, partitions))
    assert (address.nodes, address.tls, address.sentinels) == (tuple(hosts), tls, ())
    assert address.partitions == (partitions or PARTITIONS)
    expected = {"username": "bell", "password": password} | ({"ssl_ca_certs": "/etc/ca file.pem"} if tls else {})
    assert address.server == expected, "neither a host nor a database"


def test_the_nodes_of_a_cluster_are_shown_without_a_password():
    url = "redis+cluster://bell:hunter2@one:7000,two/?partitions=32&socket_keepalive=yes"
    assert shown(url) == "one:7000, two:6379"
    assert shown_database(url) == "the cluster at one:7000, two:6379"
    assert parse(url).server == {"username": "bell", "password": "hunter2", "socket_keepalive": True}


@pytest.mark.parametrize("url", ["redis://one", "unix:///run/redis.sock", "redis+sentinel://one/calls/0"])
def test_a_redis_that_is_no_cluster_has_one_partition(url):
    assert (parse(url).nodes, parse(url).partitions) == ((), 1)


@pytest.mark.parametrize(
    "url",
    [
        "redis+cluster://",
        "redis+cluster://:hunter2@one,,two",
        "redis+cluster://:hunter2@one:port",
        "redis+cluster://:hunter2@one/1",
        "redis+cluster://:hunter2@one?db=1",
        "redis+cluster://:hunter2@one?partitions=0",
        "redis+cluster://:hunter2@one?partitions=1025",
        "redis+cluster://:hunter2@one?partitions=many",
        "unix+cluster:///run/redis.sock",
        "redis+sentinel://one:26379",
        "redis+sentinel:///calls/0",
        "redis+sentinel://one,,two/calls/0",
        "redis+sentinel://one:port/calls/0",
        "redis+sentinel://one/calls/zero",
        "redis://:hunter2/x@one/0",
        "redis://one:hunter2/0",
        "http://one",
    ],
)
def test_an_invalid_address_is_refused_without_showing_it(url):
    with pytest.raises(ValueError, match=r"^(must|names|is no)") as refused:
        parse(url)
    assert "hunter2" not in str(refused.value)


@pytest.fixture
def pair(own_redis, tmp_path_factory):
    """A primary and its replica, and a name (a port) that leads to either, as a managed Redis has."""
    from bellhop.sandbox.redis_server import RedisServer  # noqa: PLC0415

    with RedisServer(tmp_path_factory.mktemp("other")) as other:
        yield own_redis, other


class Name:
    """Where connections lead is decided when they are made."""

    def __init__(self):
        self.port = 0
        self.pipes = set()

    async def forward(self, reader, writer):
        other_reader, other_writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.pipes |= {
            asyncio.create_task(pipe(reader, other_writer)),
            asyncio.create_task(pipe(other_reader, writer)),
        }


async def pipe(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
    writer.close()


SET = ("EVAL", "return redis.call('SET', KEYS[1], ARGV[1])", 1)
"""Redis before 7.0 says it in other words to a script."""


@pytest.mark.parametrize("command", [("SET",), SET], ids=["command", "script"])
async def test_a_connection_to_what_became_a_replica_is_made_anew(pair, command):
    primary, other = pair
    name = Name()
    name.port = primary.port
    server = await asyncio.start_server(name.forward, "127.0.0.1", 0)
    url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
    store, client = Store.from_url(url), blocking(url, timeout_s=2)
    await store.call("SET", "key", "1")
    await asyncio.to_thread(client.set, "key", "2")
    with redis.Redis(port=primary.port) as admin:
        admin.replicaof("127.0.0.1", other.port)
    name.port = other.port
    for set_key in (
        lambda: store.call(*command, "key", "3"),
        lambda: asyncio.to_thread(client.execute_command, *command, "key", "4"),
    ):
        with pytest.raises(RedisConnectionError):
            await set_key()
        await set_key()
    with redis.Redis(port=other.port) as admin:
        assert admin.get("key") == b"4"
    await store.close()
    client.close()
    server.close()
    await asyncio.gather(*name.pipes)


@pytest.fixture
def tls_server(own_redis, tmp_path):
    """A server that speaks TLS, and asks for no password. `own_redis` marks a test that starts a Redis."""
    from bellhop.sandbox.redis_server import NoTlsError, RedisServer  # noqa: PLC0415

    try:
        with RedisServer(tmp_path, authority=Authority(tmp_path)) as server:
            yield server
    except NoTlsError as error:
        pytest.skip(str(error))


def test_tls_without_a_login_is_ready_at_once(tls_server):
    """A server sends session tickets behind the handshake. A client that finds them unread drops the connection."""
    for _ in range(60):
        with blocking(tls_server.url, timeout_s=5) as client:
            assert client.get("key") is None
