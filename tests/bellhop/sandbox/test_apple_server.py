"""The stand-in for Apple answers as Apple does. Tested with an HTTP/2 client that is not ours."""

import asyncio
import json
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import h2.connection
import h2.events
import jwt
import pytest

from bellhop.sandbox.apple_script import AppleReply
from bellhop.sandbox.apple_server import AppleRequest, AppleStandIn, new_signing_key
from bellhop.sandbox.tls import Authority

TOKEN = "a1" * 32
PATH = f"/3/device/{TOKEN}"
KEY, PUBLIC_KEY = new_signing_key()


def bearer(age_s: float = 0, key: str = KEY, team: str = "TEAM", headers: dict[str, str] | None = None) -> str:
    claims = {"iss": team, "iat": int(time.time() - age_s)}
    return "bearer " + jwt.encode(claims, key, "ES256", headers={"kid": "KEY"} if headers is None else headers)


GOOD_TOKEN = bearer()
RING = {"apns-topic": "com.example.app.voip", "apns-push-type": "voip", "authorization": GOOD_TOKEN}
ALERT = {"apns-topic": "com.example.app", "apns-push-type": "alert", "authorization": GOOD_TOKEN}


class Client:
    """Sends one request after the other."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.h2 = h2.connection.H2Connection()
        self.h2.initiate_connection()

    async def post(
        self, headers: dict[str, str], body: bytes = b'{"aps":{}}', path: str = PATH, method: str = "POST"
    ) -> tuple[int, dict[str, Any], dict[str, str]]:
        stream = self.h2.get_next_available_stream_id()
        pseudo = {":method": method, ":scheme": "https", ":authority": "localhost", ":path": path}
        self.h2.send_headers(stream, list((pseudo | headers).items()), end_stream=not body)
        if body:
            self.h2.send_data(stream, body, end_stream=True)
        answer: dict[str, str] = {}
        explanation = b""
        while True:
            self.writer.write(self.h2.data_to_send())
            for event in self.h2.receive_data(await self.reader.read(65_536)):
                if isinstance(event, h2.events.ResponseReceived):
                    answer = {name.decode(): value.decode() for name, value in event.headers or ()}
                elif isinstance(event, h2.events.DataReceived):
                    explanation += event.data or b""
                elif isinstance(event, h2.events.StreamEnded):
                    return int(answer.pop(":status")), json.loads(explanation or b"{}"), answer


@pytest.fixture
async def apple(tmp_path: Path) -> AsyncIterator[AppleStandIn]:
    async with AppleStandIn(Authority(tmp_path), public_key=PUBLIC_KEY) as apple:
        yield apple


@asynccontextmanager
async def connected(apple: AppleStandIn) -> AsyncIterator[Client]:
    context = ssl.create_default_context(cafile=apple.ca_file)
    context.set_alpn_protocols(["h2"])
    reader, writer = await asyncio.open_connection("127.0.0.1", apple.port, ssl=context)
    yield Client(reader, writer)
    writer.transport.abort()


@pytest.fixture
async def client(apple: AppleStandIn) -> AsyncIterator[Client]:
    async with connected(apple) as client:
        yield client


async def test_a_good_push_is_accepted_and_its_id_echoed(apple: AppleStandIn, client: Client) -> None:
    heard: list[AppleRequest] = []
    apple.on_push = heard.append
    apns_id = "0f8fad5b-d9cb-469f-a165-70867728950e"
    assert await client.post(RING | {"apns-id": apns_id}) == (200, {}, {"apns-id": apns_id})
    assert heard == apple.received
    assert (heard[0].token, heard[0].payload, heard[0].connection) == (TOKEN, {"aps": {}}, 1)
    assert abs(heard[0].at - time.time()) < 30


@pytest.mark.parametrize(
    ("status", "reason", "headers", "request_"),
    [
        (405, "MethodNotAllowed", RING, {"method": "PUT"}),
        (404, "BadPath", RING, {"path": "/4/device/" + TOKEN}),
        (400, "MissingDeviceToken", RING, {"path": "/3/device/"}),
        (400, "BadDeviceToken", RING, {"path": "/3/device/xyz"}),
        (400, "BadDeviceToken", RING, {"path": PATH + "0"}),
        (400, "MissingTopic", {"authorization": GOOD_TOKEN}, {}),
        (400, "BadMessageId", RING | {"apns-id": "42"}, {}),
        (400, "BadPriority", RING | {"apns-priority": "11"}, {}),
        (400, "BadExpirationDate", RING | {"apns-expiration": "soon"}, {}),
        (400, "BadCollapseId", ALERT | {"apns-collapse-id": "é" * 33}, {}),
        (400, "InvalidPushType", RING | {"apns-push-type": "phone"}, {}),
        (400, "DeviceTokenNotForTopic", ALERT | {"apns-push-type": "voip"}, {}),
        (400, "DeviceTokenNotForTopic", RING | {"apns-push-type": "alert"}, {}),
        (400, "PayloadEmpty", RING, {"body": b""}),
        (413, "PayloadTooLarge", RING, {"body": b'{"a":"%s"}' % (b"x" * 5113)}),
        (413, "PayloadTooLarge", ALERT, {"body": b'{"a":"%s"}' % (b"x" * 4089)}),
        (403, "MissingProviderToken", {"apns-topic": "t"}, {}),
        (403, "InvalidProviderToken", RING | {"authorization": "bearer rubbish"}, {}),
        (403, "InvalidProviderToken", RING | {"authorization": bearer(key=new_signing_key()[0])}, {}),
        (403, "InvalidProviderToken", RING | {"authorization": bearer(headers={})}, {}),
        (403, "ExpiredProviderToken", RING | {"authorization": bearer(age_s=3700)}, {}),
    ],
)
async def test_a_bad_push_is_refused_in_apples_words(
    apple: AppleStandIn, client: Client, status: int, reason: str, headers: dict[str, str], request_: dict[str, Any]
) -> None:
    assert (await client.post(headers, **request_))[:2] == (status, {"reason": reason})
    assert not apple.received
    assert len(apple.requests) == 1


@pytest.mark.parametrize(("headers", "size"), [(RING, 5120), (ALERT, 4096)])
async def test_a_body_of_exactly_the_limit_is_taken(client: Client, headers: dict[str, str], size: int) -> None:
    assert (await client.post(headers, b'{"a":"%s"}' % (b"x" * (size - 8))))[0] == 200


async def test_a_second_provider_token_on_a_connection_is_one_too_many(apple: AppleStandIn, client: Client) -> None:
    other = RING | {"authorization": bearer(age_s=5)}
    assert (await client.post(RING))[0] == (await client.post(other))[0] == 200
    apple.limit_token_updates = True
    assert (await client.post(RING | {"authorization": bearer(age_s=9)}))[:2] == (
        429,
        {"reason": "TooManyProviderTokenUpdates"},
    )
    assert (await client.post(other))[0] == 200


async def test_a_script_is_followed_once_line_by_line(apple: AppleStandIn, client: Client) -> None:
    apple.script(
        TOKEN, AppleReply(410, "Unregistered", timestamp_ms=7), AppleReply(429, "TooManyRequests", retry_after="3")
    )
    apple.script_connection(1, AppleReply(500, "InternalServerError"))
    assert (await client.post(RING))[:2] == (410, {"reason": "Unregistered", "timestamp": 7})
    assert (await client.post(RING))[2]["retry-after"] == "3"
    assert [(await client.post(RING))[0] for _ in range(2)] == [500, 200]


async def test_one_stream_is_allowed_until_the_first_accepted_push(apple: AppleStandIn) -> None:
    apple.one_stream_at_first = True
    async with connected(apple) as client:
        await client.post(ALERT | {"apns-priority": "11"})
        assert client.h2.remote_settings.max_concurrent_streams == 1
        await client.post(ALERT)
        await client.post(ALERT)
        assert client.h2.remote_settings.max_concurrent_streams == 1000
