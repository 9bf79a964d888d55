import asyncio
import json
import time
from dataclasses import replace

import pytest
import structlog
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from bellhop.domain.outcomes import Outcome
from bellhop.sandbox.child_process import free_port
from bellhop.sandbox.google_script import DROP, EMPTY, SILENCE, GoogleReply, fcm_error, html, slow
from bellhop.sandbox.google_server import TOKEN_ENDPOINT
from tests.waiting import come_true
from worker.providers.fcm import fcm_access
from worker.providers.fcm.fcm_access import AccessToken, read_token
from worker.providers.post_session import SessionPolicy

NOW = 1_700_000_000.0
NULL = b'{"access_token": null, "expires_in": 60}'
AT_ONCE_S = 9
EXPIRED = fcm_error(401, "UNAUTHENTICATED", reason="ACCESS_TOKEN_EXPIRED")


def oauth_error(error, status=400):
    return GoogleReply(status, json.dumps({"error": error, "error_description": "for people"}).encode())


async def test_many_pushes_on_a_cold_start_fetch_one_access_token(google, fcm, android):
    google.script(TOKEN_ENDPOINT, slow(0.2))
    answers = await asyncio.gather(*(fcm.send(android(f"phone-{n}"), 30) for n in range(200)))
    assert {answer.outcome for answer in answers} == {Outcome.ACCEPTED}
    assert google.requests[TOKEN_ENDPOINT] == 1


async def test_a_warm_sender_fetches_no_token_for_its_first_push(google, fcm, android):
    assert await fcm.warm() is None
    google.script(TOKEN_ENDPOINT, SILENCE)
    assert (await fcm.send(android("phone"), 5)).outcome is Outcome.ACCEPTED


async def test_an_access_token_refused_to_many_is_renewed_once(google, fcm, android):
    await fcm.warm()
    google.forget_access_tokens()
    answers = await asyncio.gather(*(fcm.send(android(f"phone-{n}"), 30) for n in range(50)))
    assert {answer.outcome for answer in answers} == {Outcome.ACCEPTED}
    assert google.requests[TOKEN_ENDPOINT] == 2


async def test_warming_tells_why_there_is_no_access_token(google, fcm):
    google.script(TOKEN_ENDPOINT, oauth_error("invalid_grant"))
    answer = await fcm.warm()
    assert (answer.outcome, answer.reason) == (Outcome.CREDENTIALS_REFUSED, "invalid_grant")


async def test_a_late_refusal_of_the_old_token_keeps_the_new_one(google, fcm, android):
    await fcm.warm()
    google.script("slow", replace(EXPIRED, after_s=0.3))
    google.script("quick", EXPIRED)
    answers = await asyncio.gather(fcm.send(android("slow"), 30), fcm.send(android("quick"), 30))
    assert {answer.outcome for answer in answers} == {Outcome.ACCEPTED}
    assert google.requests == {TOKEN_ENDPOINT: 2, "slow": 2, "quick": 2}


async def test_a_push_with_a_refused_token_and_no_other_is_unsent(google, fcm, android):
    await fcm.warm()
    google.script("phone", EXPIRED)
    google.script(TOKEN_ENDPOINT, SILENCE)
    answer = await fcm.send(android("phone"), 2)
    assert (answer.outcome, answer.reason) == (Outcome.UNSENT, "TOKEN_ENDPOINT")
    assert google.requests["phone"] == 1


async def test_a_push_that_gives_up_does_not_end_the_fetch(google, fcm, android):
    google.script(TOKEN_ENDPOINT, slow(0.4))
    impatient = asyncio.create_task(fcm.send(android("impatient"), 0.1))
    cancelled = asyncio.create_task(fcm.send(android("cancelled"), 30))
    patient = asyncio.create_task(fcm.send(android("patient"), 30))
    await asyncio.sleep(0.05)
    cancelled.cancel()
    assert (await impatient).outcome is Outcome.UNSENT
    assert (await patient).outcome is Outcome.ACCEPTED
    assert cancelled.cancelled()
    assert google.requests[TOKEN_ENDPOINT] == 1


DOWN = {
    "503": [html(503)],
    "page": [html(200)],
    "dropped": [DROP],
    "empty": [EMPTY],
    "unwell": [oauth_error("temporarily_unavailable")],
    "404 page": [html(404)],
    "no token": [GoogleReply(body=b'{"access_token": "two\\nlines", "expires_in": 60}')],
}


@pytest.mark.parametrize("replies", DOWN.values(), ids=DOWN.keys())
async def test_a_token_endpoint_in_trouble_leaves_the_push_unsent(google, fcm, android, replies):
    google.script(TOKEN_ENDPOINT, *replies)
    began = time.monotonic()
    answer = await fcm.send(android("phone"), 30)
    assert (answer.outcome, answer.reason) == (Outcome.UNSENT, "TOKEN_ENDPOINT")
    assert google.requests == {TOKEN_ENDPOINT: 1}
    assert (await fcm.send(android("phone"), 30)).outcome is Outcome.ACCEPTED
    assert time.monotonic() - began < AT_ONCE_S


async def test_without_a_token_endpoint_the_push_is_unsent(google, android, make_fcm, tmp_path):
    account = google.write_service_account(tmp_path / "gone.json", token_uri=f"https://localhost:{free_port()}/token")
    answer = await make_fcm(service_account_file=account).send(android("phone"), 30)
    assert (answer.outcome, answer.reason) == (Outcome.UNSENT, "TOKEN_ENDPOINT")


async def test_a_silent_token_endpoint_takes_only_the_time_given(google, fcm, android):
    google.script(TOKEN_ENDPOINT, SILENCE)
    answer = await fcm.send(android("phone"), 0.2)
    assert (answer.outcome, answer.reason) == (Outcome.UNSENT, "TOKEN_ENDPOINT")


async def test_a_silent_fetch_ends_and_the_next_push_fetches_again(google, make_fcm, android):
    fcm = make_fcm(policy=SessionPolicy(token_timeout_s=2))
    google.script(TOKEN_ENDPOINT, SILENCE)
    assert (await fcm.send(android("phone"), 30)).outcome is Outcome.UNSENT
    assert (await fcm.send(android("phone"), 30)).outcome is Outcome.ACCEPTED


async def test_a_key_unknown_to_google_is_refused_credentials(google, android, make_fcm, tmp_path):
    path = google.write_service_account(tmp_path / "account.json")
    other_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = other_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    path.write_text(json.dumps(json.loads(path.read_text()) | {"private_key": pem}))
    answer = await make_fcm(service_account_file=path).send(android("phone"), 30)
    assert (answer.outcome, answer.status, answer.reason) == (Outcome.CREDENTIALS_REFUSED, 400, "invalid_grant")
    assert google.requests["phone"] == 0


async def test_an_expired_access_token_is_replaced_before_it_is_used(google, fcm, android):
    google.token_life_s = 1
    await fcm.warm()
    await asyncio.sleep(1.05)
    google.token_life_s = 3600
    assert (await fcm.send(android("phone"), 30)).outcome is Outcome.ACCEPTED
    assert google.requests == {TOKEN_ENDPOINT: 2, "phone": 1}


async def test_a_token_is_used_while_it_is_renewed(google, fcm, android):
    google.token_life_s = int(fcm_access.RENEW_BEFORE_S) - 10
    await fcm.warm()
    google.script(TOKEN_ENDPOINT, SILENCE)
    assert (await fcm.send(android("phone"), 5)).outcome is Outcome.ACCEPTED
    await come_true(lambda: google.requests[TOKEN_ENDPOINT] == 2)
    for _ in range(5):
        assert (await fcm.send(android("phone"), 5)).outcome is Outcome.ACCEPTED
    assert google.requests[TOKEN_ENDPOINT] == 2


async def test_a_renewal_that_fails_is_not_tried_with_every_push(google, fcm, android):
    google.token_life_s = int(fcm_access.RENEW_BEFORE_S) - 10
    await fcm.warm()
    google.script(TOKEN_ENDPOINT, *[html(503)] * 10)
    assert (await fcm.send(android("phone"), 5)).outcome is Outcome.ACCEPTED
    await come_true(lambda: google.requests[TOKEN_ENDPOINT] == 2)
    for _ in range(5):
        assert (await fcm.send(android("phone"), 5)).outcome is Outcome.ACCEPTED
        await asyncio.sleep(0.02)
    assert google.requests[TOKEN_ENDPOINT] == 2


async def test_a_renewed_token_is_used(google, fcm, android):
    google.token_life_s = int(fcm_access.RENEW_BEFORE_S) - 10
    await fcm.warm()
    google.token_life_s = 3600

    def bearers():
        return {push.headers["Authorization"] for push in google.received}

    async with asyncio.timeout(AT_ONCE_S):
        while len(bearers()) < 2:
            await fcm.send(android("phone"), 5)
            await asyncio.sleep(0.01)
    await fcm.send(android("phone"), 5)
    assert google.requests[TOKEN_ENDPOINT] == len(bearers()) == 2


async def test_a_token_is_renewed_though_no_push_comes(google, fcm, android):
    """The first ring after a quiet hour does not wait for a token."""
    google.token_life_s = int(fcm_access.RENEW_BEFORE_S) + 1
    await fcm.warm()
    google.token_life_s = 3600
    await come_true(lambda: google.requests[TOKEN_ENDPOINT] == 2)
    google.script(TOKEN_ENDPOINT, SILENCE)
    assert (await fcm.send(android("phone"), 5)).outcome is Outcome.ACCEPTED


async def test_a_failing_fetch_is_logged_without_key_or_token(google, fcm, android):
    google.script(TOKEN_ENDPOINT, oauth_error("invalid_grant"))
    with structlog.testing.capture_logs() as lines:
        await fcm.send(android("secret-device-token"), 30)
    [line] = lines
    assert (line["event"], line["reason"]) == ("fcm_access_token_failed", "invalid_grant")
    assert "secret-device-token" not in str(line)


def test_a_token_and_its_end_are_read():
    body = b'{"access_token": "ya29.x", "expires_in": 3599, "token_type": "Bearer"}'
    assert read_token(200, body, None, NOW) == AccessToken("ya29.x", NOW + 3599)


@pytest.mark.parametrize("error", ["invalid_grant", "invalid_client", "unauthorized_client", "account_disabled"])
@pytest.mark.parametrize("status", [400, 401, 403])
def test_an_oauth_error_is_about_our_key(status, error):
    answer = read_token(status, json.dumps({"error": error}).encode(), None, NOW)
    assert (answer.outcome, answer.reason) == (Outcome.CREDENTIALS_REFUSED, error)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"null", b"[" * 100_000, b'{"access_token": "x"}', b"\xff", NULL])
@pytest.mark.parametrize("status", [200, 400, 403, 404, 429, 500, 503])
def test_anything_else_is_about_the_endpoint(status, body):
    answer = read_token(status, body, "30", NOW)
    assert (answer.outcome, answer.reason, answer.retry_after_s) == (Outcome.UNSENT, "TOKEN_ENDPOINT", 30)
