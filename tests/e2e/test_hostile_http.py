"""Any bytes in any header and body: a typed one-line refusal, never a 500, and the next webhook is taken."""

import gzip
import hashlib
import hmac
import json
import random
import socket

import pytest
import pytest_asyncio

from bellhop.sandbox.installation import API_KEY, SECRET, Installation
from bellhop.sandbox.stream_webhooks import SampleCall

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def installation(tmp_path_factory):
    settings = {"WEBHOOK_MAX_BYTES": str(1 << 20), "WEBHOOK_FAILURES_PER_MINUTE": "1000"}
    async with Installation(tmp_path_factory.mktemp("installation"), settings) as installation:
        yield installation


def sign(body):
    return hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()


def raw(installation, head, body=b""):
    """Send bytes as they are; returns the status and the JSON answer."""
    with socket.create_connection(("127.0.0.1", installation.port), timeout=10) as connection:
        connection.sendall(head + b"Connection: close\r\n\r\n" + body)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    status_line, _, rest = answer.partition(b"\r\n")
    return int(status_line.split()[1]), rest.partition(b"\r\n\r\n")[2]


def post(installation, body, *headers):
    lines = [b"POST /webhooks/stream HTTP/1.1", b"Host: x", b"Content-Length: %d" % len(body), *headers]
    return raw(installation, b"\r\n".join(lines) + b"\r\n", body)


BODY = json.dumps(SampleCall().accepted("ben-osei")).encode()
GOOD = [b"X-Signature: " + sign(BODY).encode(), b"X-Api-Key: " + API_KEY.encode()]
BOMB = gzip.compress(b" " * (64 << 20))


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        pytest.param(BODY, [GOOD[1]], 401, id="no signature"),
        pytest.param(BODY, [b"X-Signature: " + b"0" * 64, GOOD[1]], 401, id="wrong signature"),
        pytest.param(BODY, [b"X-Signature: \xff\xfe\x80", GOOD[1]], 401, id="signature that is no text"),
        pytest.param(BODY, [GOOD[0], b"X-Api-Key: \xc3\x28"], 401, id="key that is no text"),
        pytest.param(BODY, [GOOD[0], b"X-Api-Key: nobody"], 401, id="unknown app"),
        pytest.param(b"x" * (1 << 20) + b"x", GOOD, 413, id="body over a MiB"),
        pytest.param(BOMB, [b"X-Signature: " + sign(b"").encode(), b"Content-Encoding: gzip"], 413, id="gzip bomb"),
        pytest.param(BODY, [*GOOD, b"Content-Encoding: br"], 415, id="brotli"),
        pytest.param(b"\x1f\x8bnonsense", [*GOOD, b"Content-Encoding: gzip"], 400, id="broken gzip"),
        pytest.param(b"", GOOD, 401, id="empty body"),
    ],
)
async def test_a_bad_request_is_refused_with_one_line_that_says_why(installation, body, headers, status):
    got, answer = post(installation, body, *headers)
    assert got == status
    assert set(json.loads(answer)) == {"error"}
    assert answer.count(b"\n") <= 1


@pytest.mark.parametrize("header", [b"X-Webhook-Id", b"X-Webhook-Attempt", b"Content-Type", b"User-Agent"])
async def test_odd_bytes_in_the_other_headers_do_no_harm(installation, header):
    for value in (b"\xff\xfe", b"a" * 4000, b"\xf0\x9f\x93\x9e", b"-1", b"9" * 400):
        status, _ = post(installation, BODY, *GOOD, header + b": " + value)
        assert status == 200


async def test_random_bytes_never_make_a_500(installation):
    rng = random.Random(7)
    for _ in range(150):
        body = rng.randbytes(rng.randrange(200))
        headers = [rng.choice(GOOD), b"Content-Encoding: " + rng.choice([b"gzip", b"", b"identity", b"\x80"])]
        status, _ = post(installation, body, *headers)
        assert status in {400, 401, 413, 415}


async def test_a_chunked_body_without_a_length_is_read_and_bounded(installation):
    head = b"POST /webhooks/stream HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
    head += b"".join(line + b"\r\n" for line in GOOD)
    chunk = b"%x\r\n%s\r\n" % (len(BODY), BODY)
    assert raw(installation, head, chunk + b"0\r\n\r\n")[0] == 200
    too_much = (b"10000\r\n" + b"x" * 65536 + b"\r\n") * 17 + b"0\r\n\r\n"
    assert raw(installation, head, too_much)[0] == 413


async def test_other_paths_and_methods_are_refused_in_json(installation):
    for line, status in ((b"GET /webhooks/stream", 405), (b"GET /", 404), (b"POST /nothing", 404)):
        got, answer = raw(installation, line + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n")
        assert got == status
        assert "error" in json.loads(answer)


async def test_after_hostile_requests_webhooks_are_still_accepted(installation):
    assert (await installation.stream.post(SampleCall().accepted("ben-osei"))).status == 200
    assert "Traceback" not in installation.log("web")
