"""Which address a webhook comes from, with and without proxies, and what a client may claim."""

import socket
import subprocess
import sys
import time

import pytest

from bellhop.sandbox.child_process import free_port
from tests.factories import web_settings
from webhook.app import create_app
from webhook.client_address import client_name, networks, within

STREAM, STRANGER, PROXY = "34.225.10.29", "203.0.113.7", "10.0.0.5"


@pytest.fixture
def post(redis_url):
    def post(peer, forwarded=None, *, hops=0, allowed=(STREAM,), path="/webhooks/stream", **settings):
        """Post a webhook without a signature: 401 when the address is welcome, 403 when not."""
        client = create_app(
            web_settings(
                redis_url,
                web_trusted_hops=hops,
                webhook_networks=list(allowed),
                **settings,
            )
        ).test_client()
        headers = [("X-Forwarded-For", value) for value in forwarded or ()]
        return client.post(path, data=b"{}", headers=headers, environ_base={"REMOTE_ADDR": peer}).status_code

    return post


def test_without_a_list_every_address_is_welcome(post):
    assert post(STRANGER, allowed=()) == 401


def test_with_a_list_others_are_refused(post):
    assert post(STREAM) == 401
    assert post(STRANGER) == 403
    assert post(f"::ffff:{STREAM}") == 401, "a socket that listens on IPv6 as well"


@pytest.mark.parametrize("claimed", [[STREAM], [STREAM, STREAM], [f"{STREAM}, {STREAM}"]])
def test_without_trusted_hops_forwarded_addresses_are_ignored(post, claimed):
    assert post(STRANGER, claimed) == 403


@pytest.mark.parametrize(
    ("hops", "forwarded", "status"),
    [
        (1, [STREAM], 401),
        (1, [f"{STREAM}, {STRANGER}"], 403),
        (1, [STREAM, STRANGER], 403),
        (1, [f"{STRANGER}, {STREAM}"], 401),
        (1, [f"{STREAM}:41234"], 401),
        (1, None, 403),
        (1, ["nonsense"], 403),
        (1, ["é"], 403),
        (2, [f"{STREAM}, 192.0.2.1"], 401),
        (2, [f"{STREAM}, {STRANGER}, 192.0.2.1"], 403),
        (2, [STREAM], 403),
    ],
)
def test_the_outermost_trusted_proxy_says_who_it_was(post, hops, forwarded, status):
    assert post(PROXY, forwarded, hops=hops) == status


def test_only_webhooks_are_limited_to_the_list(post):
    assert post(STRANGER, path="/v1/receipts") != 403


@pytest.mark.parametrize(
    ("text", "who"),
    [
        ("34.225.10.29", "34.225.10.29"),
        ("34.225.10.29:41234", "34.225.10.29"),
        ("::ffff:34.225.10.29", "34.225.10.29"),
        ("[::ffff:34.225.10.29]:41234", "34.225.10.29"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("[2001:db8:1:2:3::4]:41234", "2001:db8:1:2::/64"),
        ("[2001:db8:1:2:3::4]", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("localhost", "unknown"),
        ("34.225.10.29:x", "unknown"),
        (None, "unknown"),
    ],
)
def test_a_client_is_known_by_its_address_in_any_notation(text, who):
    assert client_name(text) == who
    assert within(text, networks([STREAM])) is (who == STREAM)


@pytest.mark.parametrize("text", ["", "localhost", "34.225.10.29:", ":443", "34.225.10.29/33", "[34.225.10.29", None])
def test_an_invalid_address_is_in_no_network(text):
    assert not within(text, networks(["0.0.0.0/0", "::/0"]))


@pytest.mark.parametrize("server", ["bellhop", "gunicorn"])
def test_two_headers_count_as_one_list_under(server, redis_url):
    """A proxy may add a header of its own rather than extend what the client sent, and know no underscores."""
    port = free_port()
    environment = {
        "BELLHOP_REDIS_URL": redis_url,
        "BELLHOP_STREAM_API_KEY": "key",
        "BELLHOP_STREAM_API_SECRET": "secret",
        "BELLHOP_WEB_PORT": str(port),
        "BELLHOP_WEB_TRUSTED_HOPS": "1",
        "BELLHOP_WEBHOOK_NETWORKS": STREAM,
    }
    commands = {
        "bellhop": ["-m", "bellhop", "web"],
        "gunicorn": ["-m", "gunicorn", "-k", "gthread", "-b", f"127.0.0.1:{port}", "webhook.wsgi:app"],
    }
    process = subprocess.Popen([sys.executable, *commands[server]], env=environment, stderr=subprocess.DEVNULL)
    try:
        assert raw_post(port, STREAM, STRANGER) == 403
        assert raw_post(port, STRANGER, STREAM) == 401
        assert raw_post(port, STRANGER, STREAM, name="X_Forwarded_For") == 403
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def raw_post(port, *forwarded, name="X-Forwarded-For"):
    lines = ["POST /webhooks/stream HTTP/1.1", "Host: here", "Content-Length: 2", "Connection: close"]
    lines += [f"{name}: {address}" for address in forwarded]
    give_up = time.monotonic() + 60
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
                connection.sendall("\r\n".join([*lines, "", "{}"]).encode())
                return int(connection.recv(1000).split()[1])
        except OSError:
            assert time.monotonic() < give_up
            time.sleep(0.1)


@pytest.mark.parametrize(("peer", "forwarded", "let_in"), [(PROXY, STRANGER, True), (STRANGER, PROXY, False)])
def test_the_console_trusts_the_connecting_proxy_and_no_imitator(redis_url, peer, forwarded, let_in):
    settings = web_settings(
        redis_url,
        web_trusted_hops=1,
        console_proxy_header="X-Forwarded-User",
        console_trusted_proxies=[PROXY],
    )
    headers = {"X-Forwarded-User": "ops", "X-Forwarded-For": forwarded}
    reply = create_app(settings).test_client().get("/console/", headers=headers, environ_base={"REMOTE_ADDR": peer})
    assert (reply.status_code == 200) is let_in
