"""Each answer of a push service, and what Bellhop makes of it."""

import pytest

from bellhop.domain.outcomes import Outcome
from worker.providers.web_push.web_push_answers import read_answer

MOZILLA = b'{"code":%d,"errno":%d,"error":"x","message":"https://updates.push.services.mozilla.com/wpush/secret"}'


@pytest.mark.parametrize(
    ("status", "body", "outcome", "reason"),
    [
        (201, b"", Outcome.ACCEPTED, ""),
        (200, b"", Outcome.ACCEPTED, ""),
        (202, b"", Outcome.ACCEPTED, ""),
        (400, b"", Outcome.BAD_REQUEST, "HTTP_400"),
        (400, b'{"reason":"BadWebPushTopic"}', Outcome.BAD_REQUEST, "BadWebPushTopic"),
        (400, b'{"reason":"VapidPkHashMismatch"}', Outcome.WRONG_APP, "KEY_MISMATCH"),
        (400, b"UnauthorizedRegistration", Outcome.WRONG_APP, "KEY_MISMATCH"),
        (401, MOZILLA % (401, 109), Outcome.CREDENTIALS_REFUSED, "errno 109"),
        (401, b'{"errno":109,"message":"VAPID public key mismatch"}', Outcome.WRONG_APP, "KEY_MISMATCH"),
        (403, b'{"reason":"BadJwtToken"}', Outcome.CREDENTIALS_REFUSED, "BadJwtToken"),
        (403, b"the VAPID credentials in the authorization header do not correspond to the credentials used to create "
              b"the subscriptions.\n", Outcome.WRONG_APP, "KEY_MISMATCH"),
        (403, b"", Outcome.CREDENTIALS_REFUSED, "HTTP_403"),
        (404, MOZILLA % (404, 102), Outcome.TOKEN_DEAD, "errno 102"),
        (406, b"", Outcome.THROTTLED, "HTTP_406"),
        (410, b"push subscription has unsubscribed or expired.\n", Outcome.TOKEN_DEAD, "HTTP_410"),
        (410, b'{"reason":"Unregistered"}', Outcome.TOKEN_DEAD, "Unregistered"),
        (413, b"", Outcome.TOO_LARGE, "HTTP_413"),
        (429, b"", Outcome.THROTTLED, "HTTP_429"),
        (302, b"", Outcome.BAD_REQUEST, "HTTP_302"),
        (500, b"<html>", Outcome.UNAVAILABLE, "HTTP_500"),
        (503, b'{"reason":"AnInventedWord"}', Outcome.UNAVAILABLE, "HTTP_503"),
        (503, b'{"reason":["Unregistered"]}', Outcome.UNAVAILABLE, "HTTP_503"),
        (502, b"[" * 100_000, Outcome.UNAVAILABLE, "HTTP_502"),
        (418, b'{"errno":true}', Outcome.BAD_REQUEST, "HTTP_418"),
        (418, b'{"errno":1e400}', Outcome.BAD_REQUEST, "HTTP_418"),
        (777, b"\xff", Outcome.UNKNOWN, "HTTP_777"),
    ],
)  # fmt: skip
def test_an_answer_has_one_outcome_and_a_reason_without_secrets(status, body, outcome, reason):
    result = read_answer(status, body, None, 0)
    assert (result.outcome, result.status, result.reason) == (outcome, status, reason)


@pytest.mark.parametrize(("header", "wait_s"), [("7", 7), ("Thu, 01 Jan 1970 00:01:40 GMT", 90), ("soon", None)])
def test_a_wait_that_the_push_service_asks_for_is_kept(header, wait_s):
    assert [read_answer(status, b"", header, 10).retry_after_s for status in (429, 503)] == [wait_s] * 2
