"""Clients that take their time, by the thousand: webhooks are answered meanwhile, in bounded memory."""

import hashlib
import hmac
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from bellhop.sandbox.child_process import free_port

SECRET = "a-secret-of-no-real-app"
BODY = b'{"type":"call.session_started","call_cid":"default:a","created_at":"2026-11-25T20:00:00Z"}'
HEAD = b"POST /webhooks/stream HTTP/1.1\r\nHost: x\r\n"
GOOD = HEAD + b"X-Signature: %s\r\nContent-Length: %d\r\n" % (
    hmac.new(SECRET.encode(), BODY, hashlib.sha256).hexdigest().encode(),
    len(BODY),
)
KIB = 1024


class Web:
    """`bellhop web`, started."""

    def __init__(self, redis_url, **settings):
        self.port = free_port()
        ours = {"REDIS_URL": redis_url, "STREAM_API_KEY": "key", "STREAM_API_SECRET": SECRET, "WEB_PORT": self.port}
        environment = {f"BELLHOP_{name}": str(value) for name, value in (ours | settings).items()}
        self.process = subprocess.Popen([sys.executable, "-m", "bellhop", "web"], env=os.environ | environment)

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    def ask(self, request):
        """Send one request whole; returns everything that comes back."""
        with self.connect() as connection:
            connection.sendall(request)
            return b"".join(iter(lambda: connection.recv(65536), b""))

    def takes_a_webhook(self):
        return self.ask(GOOD + b"Connection: close\r\n\r\n" + BODY).startswith(b"HTTP/1.1 200")

    def serving(self):
        pid = self.process.pid
        (serving,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return int(serving)

    def memory_mib(self):
        serving = self.serving()
        fields = dict(line.split(":", 1) for line in Path(f"/proc/{serving}/status").read_text().splitlines())
        return int(fields["VmHWM"].split()[0]) / KIB


@contextmanager
def started(redis_url, **settings):
    web = Web(redis_url, **settings)
    try:
        give_up = time.monotonic() + 60
        while True:
            try:
                web.connect().close()
                break
            except OSError:
                assert web.process.poll() is None and time.monotonic() < give_up
                time.sleep(0.1)
        yield web
    finally:
        web.process.terminate()
        try:
            web.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            web.process.kill()
            web.process.wait()


@pytest.fixture
def web(redis_url):
    with started(redis_url) as web:
        yield web


@contextmanager
def many(web, count, opening):
    """Connections that each send `opening`, and then nothing more."""
    with ExitStack() as stack:
        connections = [stack.enter_context(web.connect()) for _ in range(count)]
        for connection in connections:
            with suppress(OSError):  # it may have had to go already
                connection.sendall(opening)
        yield connections


OPENINGS = {
    "a byte of the body": HEAD + b"Content-Length: 1000\r\n\r\n{",
    "a byte of a chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\n400\r\n{",
    "no body": HEAD + b"Content-Length: 1000\r\n\r\n",
    "half of the headers": HEAD + b"X-Signature: 00",
    "nothing": b"",
}


@pytest.mark.parametrize("opening", OPENINGS.values(), ids=OPENINGS)
def test_a_thousand_clients_that_stop_after(web, opening):
    with many(web, 40, opening):
        assert web.takes_a_webhook()
        with many(web, 960, opening):
            assert web.takes_a_webhook()


def test_a_client_that_sends_byte_by_byte_gets_a_408(web):
    with web.connect() as connection:
        connection.sendall(HEAD + b"Content-Length: 1000\r\n\r\n")
        connection.settimeout(0.2)
        answer = b""
        for _ in range(999):
            try:
                answer = connection.recv(65536)
                break
            except TimeoutError:
                connection.sendall(b"x")
    assert answer.startswith(b"HTTP/1.1 408")
    assert b'{"error":' in answer
    assert web.takes_a_webhook()


def test_the_bodies_of_all_slow_clients_together_are_bounded(web):
    assert web.takes_a_webhook()
    before = web.memory_mib()
    with many(web, 500, HEAD + b"Content-Length: 1000000\r\n\r\n" + b"x" * 600 * KIB):
        assert web.takes_a_webhook()
        assert web.memory_mib() - before < 200, "they sent 300 MiB"


@pytest.mark.parametrize("header", [b"Accept-Language: " + b"a-" * 200_000, b"X-Signature: " + b"0" * 100_000])
def test_headers_are_bounded(web, header):
    assert web.ask(HEAD + header + b"\r\nConnection: close\r\n\r\n").startswith(b"HTTP/1.1 431")


def test_a_client_that_leaves_in_the_middle_reaches_no_thread(web):
    with web.connect() as connection:
        connection.sendall(GOOD.replace(b"Content-Length: ", b"Content-Length: 1") + b"\r\n" + BODY)
    assert web.takes_a_webhook()


def test_requests_that_share_a_connection_are_answered_in_turn(web):
    requests = GOOD + b"\r\n" + BODY + b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" + HEAD
    answers = web.ask(requests + b"Content-Length: 0\r\nConnection: close\r\n\r\n")
    assert [part.split()[0] for part in answers.split(b"HTTP/1.1 ")[1:]] == [b"200", b"200", b"401"]


@pytest.mark.parametrize("processes", [1, 2])
def test_a_stop_waits_for_the_request_that_is_on_its_way(redis_url, processes):
    with started(redis_url, WEB_PROCESSES=processes) as web, web.connect() as connection:
        connection.sendall(GOOD + b"\r\n" + BODY[:10])
        assert web.takes_a_webhook()
        web.process.send_signal(signal.SIGTERM)
        give_up = time.monotonic() + 10
        with suppress(ConnectionError):
            while time.monotonic() < give_up:  # until nobody listens any more
                web.connect().close()
        connection.sendall(BODY[10:])
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        assert web.process.wait(timeout=60) == 0


def test_a_stop_answers_what_was_sent_before(redis_url):
    with started(redis_url) as web:
        assert web.takes_a_webhook()
        serving = web.serving()
        with web.connect() as idle, ExitStack() as stack:
            idle.sendall(GOOD + b"\r\n" + BODY)
            assert idle.recv(65536).startswith(b"HTTP/1.1 200")
            os.kill(serving, signal.SIGSTOP)
            new = [stack.enter_context(web.connect()) for _ in range(30)]
            for connection in [idle, *new]:
                connection.sendall(GOOD + b"\r\n" + BODY)
            web.process.send_signal(signal.SIGTERM)
            os.kill(serving, signal.SIGTERM)
            os.kill(serving, signal.SIGCONT)
            for connection in [idle, *new]:
                assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        assert web.process.wait(timeout=60) == 0
