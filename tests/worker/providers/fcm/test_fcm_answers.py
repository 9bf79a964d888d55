import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bellhop.domain.outcomes import Outcome
from bellhop.sandbox import google_rules
from worker.providers.fcm.fcm_answers import ANY, BY_CLASS, OUTCOMES, answer, asks_for_new_access_token

NOW = 1_700_000_000.0
DETAIL = {"FcmError": "code", "BadRequest": "field", "ErrorInfo": "reason", "text": "message"}


def error(status, rpc_status="SOME_STATUS", *, message="no", **details):
    return json.dumps(google_rules.error(status, rpc_status, message, **details)).encode()


@pytest.mark.parametrize(("key", "outcome"), OUTCOMES.items(), ids=str)
def test_every_row_of_the_table_is_reached(key, outcome):
    status, sign = key
    body = error(status) if sign == ANY else error(status, **{DETAIL[sign.where]: sign.word})
    assert answer(status, body, None, NOW).outcome is outcome


# https://firebase.google.com/docs/reference/fcm/rest/v1/ErrorCode, as FCM words them.
DOCUMENTED = [
    (400, {"code": "INVALID_ARGUMENT", "field": "message.token"}, Outcome.BAD_TOKEN),
    (
        400,
        {"code": "INVALID_ARGUMENT", "message": "The registration token is not a valid FCM registration token"},
        Outcome.BAD_TOKEN,
    ),
    (400, {"code": "INVALID_ARGUMENT", "message": "Android message is too big"}, Outcome.TOO_LARGE),
    (400, {"field": "message.data[0].value"}, Outcome.BAD_REQUEST),
    (400, {"code": "INVALID_ARGUMENT"}, Outcome.BAD_REQUEST),
    (401, {"reason": "ACCESS_TOKEN_EXPIRED"}, Outcome.CREDENTIALS_REFUSED),
    (401, {"code": "THIRD_PARTY_AUTH_ERROR"}, Outcome.NO_APNS_KEY),
    (403, {"code": "SENDER_ID_MISMATCH"}, Outcome.WRONG_APP),
    (403, {"reason": "SERVICE_DISABLED"}, Outcome.CREDENTIALS_REFUSED),
    (403, {"reason": "IAM_PERMISSION_DENIED"}, Outcome.CREDENTIALS_REFUSED),
    (404, {"code": "UNREGISTERED"}, Outcome.TOKEN_DEAD),
    (404, {}, Outcome.CREDENTIALS_REFUSED),
    (429, {"code": "QUOTA_EXCEEDED"}, Outcome.THROTTLED),
    (500, {"code": "INTERNAL"}, Outcome.UNAVAILABLE),
    (503, {"code": "UNAVAILABLE"}, Outcome.UNAVAILABLE),
    (503, {"code": "UNSPECIFIED_ERROR"}, Outcome.UNAVAILABLE),
]


@pytest.mark.parametrize(("status", "details", "outcome"), DOCUMENTED)
def test_each_documented_error_has_its_outcome(status, details, outcome):
    assert answer(status, error(status, **details), None, NOW).outcome is outcome


@pytest.mark.parametrize("status", [402, 418, 451, 501, 502, 504, 599, 204, 302])
@pytest.mark.parametrize("body", [b"", b"<html>", b"null", b"[]", b'{"error": "no"}', error(500, code="NEW_CODE")])
def test_an_unknown_answer_goes_by_its_status(status, body):
    assert answer(status, body, None, NOW).outcome is BY_CLASS[status // 100]


@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b'{"name": ""}', b'{"name": 7}', b"[" * 100_000, b"\xff"])
def test_a_200_that_names_no_message_is_unknown(body):
    assert answer(200, body, None, NOW).outcome is Outcome.UNKNOWN


def test_an_accepted_push_has_its_name():
    accepted = answer(200, b'{"name": "projects/p/messages/0:1"}', None, NOW)
    assert (accepted.outcome, accepted.provider_id) == (Outcome.ACCEPTED, "projects/p/messages/0:1")


@pytest.mark.parametrize(
    ("status", "header", "wait_s", "documented_s"),
    [
        (429, None, None, 60),
        (429, "3", 3, None),
        (429, "Tue, 14 Nov 2023 22:15:20 GMT", 120, None),
        (429, "soon", None, 60),
        (500, None, None, 10),
        (503, "7", 7, None),
        (503, "90", 90, None),
        (500, "Tue, 14 Nov 2023 22:15:20 GMT", 120, None),
        (404, None, None, None),
    ],
)
def test_how_long_to_wait(status, header, wait_s, documented_s):
    result = answer(status, b"", header, NOW)
    assert (result.retry_after_s, result.documented_wait_s) == (wait_s, documented_s)


def test_only_the_fcm_error_speaks_of_a_dead_token():
    for where in ("reason", "field", "message"):
        assert answer(404, error(404, **{where: "UNREGISTERED"}), None, NOW).outcome is Outcome.CREDENTIALS_REFUSED
    assert answer(404, error(404, "UNREGISTERED"), None, NOW).outcome is Outcome.CREDENTIALS_REFUSED


@pytest.mark.parametrize(
    ("status", "details", "reason"),
    [
        (404, {"code": "UNREGISTERED"}, "UNREGISTERED"),
        (400, {"code": "INVALID_ARGUMENT", "field": "message.android.ttl"}, "INVALID_ARGUMENT message.android.ttl"),
        (403, {"reason": "SERVICE_DISABLED"}, "SERVICE_DISABLED"),
        (418, {}, "SOME_STATUS"),
        (400, {"code": "token abc123 is bad", "field": "Ann's payload"}, "HTTP_400"),
    ],
)
def test_the_reason_is_a_name_and_never_quotes_the_push(status, details, reason):
    assert answer(status, error(status, message="secret", **details), None, NOW).reason == reason


def test_a_401_about_another_provider_needs_no_new_access_token():
    assert asks_for_new_access_token(401, error(401, reason="ACCESS_TOKEN_EXPIRED"))
    assert asks_for_new_access_token(401, b"")
    assert not asks_for_new_access_token(401, error(401, code="THIRD_PARTY_AUTH_ERROR"))
    assert not asks_for_new_access_token(403, error(403, reason="ACCESS_TOKEN_EXPIRED"))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["error", "details", "@type", "fieldViolations", "field", "errorCode", "message", "name"]),
            inner | st.sampled_from(["a.FcmError", "a.BadRequest", "UNREGISTERED", "message.token"]),
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.integers(100, 599), JSON.map(lambda content: json.dumps(content).encode()) | st.binary(max_size=50))
def test_any_body_is_read_and_only_a_404_removes_a_token(status, body):
    read = answer(status, body, None, NOW)
    assert len(read.reason) <= 150
    if read.outcome is Outcome.TOKEN_DEAD:
        assert status == 404
        assert b"FcmError" in body
