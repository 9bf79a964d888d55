import asyncio
import json
import ssl
import time

import aiohttp
import google.auth.jwt
import pytest
from google.auth.crypt import RSASigner

from bellhop.sandbox.google_script import DROP, EMPTY, SILENCE, GoogleReply, fcm_error, html, slow
from bellhop.sandbox.google_server import AUDIENCE, GRANT, TOKEN_ENDPOINT, GoogleStandIn
from tests.waiting import come_true

SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
MESSAGE = {"message": {"token": "phone", "data": {"type": "call.ring"}, "android": {"priority": "HIGH", "ttl": "30s"}}}


class Client:
    """Someone who talks to Google with plain HTTP."""

    def __init__(self, stand_in, folder):
        self.stand_in = stand_in
        self.account = json.loads(stand_in.write_service_account(folder / "account.json").read_text())
        tls = ssl.create_default_context(cafile=stand_in.ca_file)
        self.session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls))

    async def token(self, **changed):
        now = int(time.time())
        claims = {"iss": self.account["client_email"], "aud": AUDIENCE, "scope": SCOPE, "iat": now, "exp": now + 3600}
        signer = RSASigner.from_service_account_info(self.account)
        assertion = google.auth.jwt.encode(signer, claims | changed).decode()
        async with self.session.post(
            self.account["token_uri"], data={"grant_type": GRANT, "assertion": assertion}
        ) as response:
            return response.status, await response.json()

    async def send(self, body, access_token, project="bellhop-sandbox"):
        url = f"{self.stand_in.url}/v1/projects/{project}/messages:send"
        headers = {"Authorization": f"Bearer {access_token}"}
        async with self.session.post(url, json=body, headers=headers) as response:
            return response.status, await response.json(content_type=None)


@pytest.fixture
def told():
    return []


@pytest.fixture
async def stand_in(tmp_path, told):
    async with GoogleStandIn(tmp_path, "bellhop-sandbox", "other", on_push=told.append) as stand_in:
        yield stand_in


@pytest.fixture
async def client(stand_in, tmp_path):
    client = Client(stand_in, tmp_path)
    async with client.session:
        yield client


@pytest.fixture
async def bearer(client):
    return (await client.token())[1]["access_token"]


async def test_a_signed_assertion_gets_an_access_token(client):
    status, answer = await client.token()
    assert (status, answer["expires_in"], answer["token_type"]) == (200, 3600, "Bearer")


@pytest.mark.parametrize(
    "changed",
    [
        {"iss": "stranger@example.com"},
        {"aud": "https://example.com"},
        {"scope": "https://www.googleapis.com/auth/drive"},
        {"iat": 1_700_000_000, "exp": 1_700_003_600},
    ],
    ids=min,
)
async def test_a_wrong_assertion_is_refused(client, changed):
    status, answer = await client.token(**changed)
    assert (status, answer["error"]) == (400, "invalid_grant")


async def test_a_forged_assertion_is_refused(client):
    async with client.session.post(
        client.account["token_uri"], data={"grant_type": GRANT, "assertion": "e30.e30.e30"}
    ) as response:
        assert (response.status, (await response.json())["error"]) == (400, "invalid_grant")


async def test_an_accepted_message_is_kept_and_told(stand_in, client, bearer, told):
    before = time.time()
    status, answer = await client.send(MESSAGE, bearer)
    assert status == 200
    assert answer["name"].startswith("projects/bellhop-sandbox/messages/")
    [push] = stand_in.received
    assert (push.token, push.message, push.name) == ("phone", MESSAGE["message"], answer["name"])
    assert before <= push.received_at <= time.time()
    assert push.headers["Authorization"] == f"Bearer {bearer}"
    assert told == [push]


async def test_validate_only_delivers_nothing(stand_in, client, bearer):
    status, answer = await client.send({**MESSAGE, "validate_only": True}, bearer)
    assert (status, answer) == (200, {"name": "projects/bellhop-sandbox/messages/fake_message_id"})
    assert stand_in.received == []


async def test_unknown_expired_and_foreign_access_tokens_are_refused(stand_in, client, bearer):
    status, answer = await client.send(MESSAGE, "made-up")
    assert (status, answer["error"]["details"][0]["reason"]) == (401, "ACCESS_TOKEN_TYPE_UNSUPPORTED")
    status, answer = await client.send(MESSAGE, bearer, project="other")
    assert (status, answer["error"]["details"][0]["reason"]) == (403, "IAM_PERMISSION_DENIED")
    stand_in.forget_access_tokens()
    status, answer = await client.send(MESSAGE, bearer)
    assert (status, answer["error"]["details"][0]["reason"]) == (401, "ACCESS_TOKEN_EXPIRED")
    assert stand_in.received == []


def changed(**parts):
    return {"message": MESSAGE["message"] | parts}


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {},
        {"message": []},
        {"message": {}},
        {**MESSAGE, "priority": "high"},
        changed(to="phone"),
        changed(topic="news"),
        changed(data={"video": True}),
        changed(data=["video"]),
        changed(data={"from": "ann"}),
        changed(data={"message_type": "x"}),
        changed(data={"google.x": "x"}),
        changed(data={"gcm.x": "x"}),
        changed(data={"key": "x" * 4094}),
        changed(data={"key": "é" * 2047}),
        changed(android={"ttl": 30}),
        changed(android={"ttl": "30"}),
        changed(android={"ttl": "-1s"}),
        changed(android={"ttl": "2419201s"}),
        changed(android={"priority": "URGENT"}),
        changed(android={"time_to_live": "30s"}),
    ],
    ids=lambda body: str(body)[:60],
)
async def test_what_google_would_refuse_is_an_invalid_argument(stand_in, client, bearer, body):
    status, answer = await client.send(body, bearer)
    assert (status, answer["error"]["status"]) == (400, "INVALID_ARGUMENT")
    assert stand_in.received == []


async def test_a_payload_of_exactly_the_limit_is_taken(client, bearer):
    assert (await client.send(changed(data={"key": "x" * 4093}), bearer))[0] == 200


async def test_a_script_is_followed_once_for_its_token_only(stand_in, client, bearer):
    stand_in.script("phone", fcm_error(429, "RESOURCE_EXHAUSTED", code="QUOTA_EXCEEDED"), EMPTY, html(503))
    assert (await client.send(changed(token="other"), bearer))[0] == 200
    url = f"{stand_in.url}/v1/projects/bellhop-sandbox/messages:send"
    headers = {"Authorization": f"Bearer {bearer}"}
    seen = []
    for _ in range(4):
        async with client.session.post(url, json=MESSAGE, headers=headers) as response:
            seen.append((response.status, response.content_type, len(await response.read()) > 0))
    assert seen == [
        (429, "application/json", True),
        (200, "application/json", False),
        (503, "text/html", True),
        (200, "application/json", True),
    ]
    assert stand_in.requests == {TOKEN_ENDPOINT: 1, "phone": 4, "other": 1}


async def test_a_dropped_and_a_cut_answer_end_the_connection(stand_in, client, bearer):
    stand_in.script("phone", DROP, GoogleReply(body=b"{}", how="cut"))
    for _ in range(2):
        with pytest.raises(aiohttp.ClientError):
            await client.send(MESSAGE, bearer)
    assert (await client.send(MESSAGE, bearer))[0] == 200


async def test_silence_and_slowness(stand_in, client, bearer):
    stand_in.script("phone", SILENCE, slow(0.2))
    unanswered = asyncio.create_task(client.send(MESSAGE, bearer))
    await come_true(lambda: stand_in.requests["phone"] == 1)
    await asyncio.sleep(0.1)
    assert not unanswered.done()
    unanswered.cancel()
    began = time.monotonic()
    assert (await client.send(MESSAGE, bearer))[0] == 200
    assert time.monotonic() - began >= 0.2


async def test_stopping_does_not_wait_for_silence(tmp_path):
    async with GoogleStandIn(tmp_path) as stand_in:
        stand_in.script(TOKEN_ENDPOINT, SILENCE)
        client = Client(stand_in, tmp_path)
        async with client.session:
            request = asyncio.create_task(client.token())
            await come_true(lambda: stand_in.requests)
            began = time.monotonic()
            await stand_in.stop()
            with pytest.raises(aiohttp.ClientError):
                await request
            assert time.monotonic() - began < 5


async def test_the_service_account_file_is_for_its_owner_only(stand_in, tmp_path):
    path = stand_in.write_service_account(tmp_path / "other.json", "other")
    assert path.stat().st_mode & 0o077 == 0
    assert json.loads(path.read_text())["project_id"] == "other"
