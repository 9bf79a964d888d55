import json
import string
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bellhop.domain.outcomes import MEANING, Action, Outcome
from worker.providers.apns.apns_answers import OUTCOMES, outcome_of, read_answer
from worker.providers.http2.http2_stream import Http2Response

ID = "0f8fad5b-d9cb-469f-a165-70867728950e"

EXPECTED = {
    Outcome.ACCEPTED: {(200, "")},
    Outcome.UNSENT: {(400, "IdleTimeout")},
    Outcome.BAD_TOKEN: {(400, "BadDeviceToken")},
    Outcome.WRONG_APP: {(400, "DeviceTokenNotForTopic")},
    Outcome.TOKEN_DEAD: {(410, "Unregistered"), (410, "ExpiredToken")},
    Outcome.TOO_LARGE: {(413, "PayloadTooLarge")},
    Outcome.THROTTLED: {(429, "TooManyRequests"), (429, "TooManyProviderTokenUpdates")},
    Outcome.UNAVAILABLE: {(500, "InternalServerError"), (503, "ServiceUnavailable"), (503, "Shutdown")},
    Outcome.CREDENTIALS_REFUSED: {
        (400, "TopicDisallowed"),
        *(
            (403, reason)
            for reason in (
                "BadCertificate",
                "BadCertificateEnvironment",
                "BadEnvironmentKeyIdInToken",
                "ExpiredProviderToken",
                "Forbidden",
                "InvalidProviderToken",
                "MissingProviderToken",
                "UnrelatedKeyIdInToken",
            )
        ),
    },
    Outcome.BAD_REQUEST: {
        *(
            (400, reason)
            for reason in (
                "BadCollapseId",
                "BadExpirationDate",
                "BadMessageId",
                "BadPriority",
                "BadTopic",
                "DuplicateHeaders",
                "InvalidPushType",
                "MissingDeviceToken",
                "MissingTopic",
                "PayloadEmpty",
            )
        ),
        (404, "BadPath"),
        (405, "MethodNotAllowed"),
    },
}
"""What to do about everything that Apple documents, by outcome."""


def answered(status: int, body: Any = None, **response: str) -> Http2Response:
    return Http2Response(status, json.dumps(body).encode() if body is not None else b"", **response)


@pytest.mark.parametrize(
    ("status", "reason", "outcome"),
    [(*answer, outcome) for outcome, all_ in EXPECTED.items() for answer in sorted(all_)],
)
def test_every_answer_that_apple_documents_has_its_outcome(status: int, reason: str, outcome: Outcome) -> None:
    answer = read_answer(answered(status, {"reason": reason} if reason else None), ID, now=0)
    assert (answer.outcome, answer.status, answer.reason) == (outcome, status, reason)


def test_the_table_holds_nothing_else() -> None:
    assert set(OUTCOMES) == set().union(*EXPECTED.values())


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (201, Outcome.ACCEPTED),
        (400, Outcome.BAD_REQUEST),
        (403, Outcome.CREDENTIALS_REFUSED),
        (410, Outcome.TOKEN_DEAD),
        (413, Outcome.TOO_LARGE),
        (418, Outcome.BAD_REQUEST),
        (429, Outcome.THROTTLED),
        (502, Outcome.UNAVAILABLE),
        (301, Outcome.UNKNOWN),
        (0, Outcome.UNKNOWN),
    ],
)
def test_an_undocumented_answer_is_judged_by_its_status(status: int, outcome: Outcome) -> None:
    assert outcome_of(status, "SomethingNew") is outcome
    assert outcome_of(status, "") is outcome


@given(st.integers(0, 999), st.text())
def test_only_410_may_ever_cost_a_device_its_token(status: int, reason: str) -> None:
    assert (MEANING[outcome_of(status, reason)].action is Action.PRUNE) == (status == 410)


def test_apples_milliseconds_become_microseconds() -> None:
    dead = answered(410, {"reason": "Unregistered", "timestamp": 1_795_000_000_123})
    assert read_answer(dead, ID, now=0).dead_since == 1_795_000_000_123_000


@pytest.mark.parametrize("timestamp", [None, "1795000000123", 1.5, 0, -1, 10**30, [], {}])
def test_an_invalid_time_of_death_is_ignored(timestamp: Any) -> None:
    answer = read_answer(answered(410, {"reason": "Unregistered", "timestamp": timestamp}), ID, now=0)
    assert (answer.outcome, answer.dead_since) == (Outcome.TOKEN_DEAD, None)


def test_a_timestamp_on_any_other_answer_kills_nothing() -> None:
    assert read_answer(answered(400, {"reason": "BadDeviceToken", "timestamp": 1}), ID, now=0).dead_since is None


@pytest.mark.parametrize(
    ("header", "seconds"), [("120", 120.0), ("Thu, 01 Jan 1970 00:01:40 GMT", 70.0), ("", None), ("soon", None)]
)
def test_retry_after_counts_seconds_or_names_a_date(header: str, seconds: float | None) -> None:
    assert read_answer(answered(503, {"reason": "Shutdown"}, retry_after=header), ID, now=30).retry_after_s == seconds


def test_the_push_goes_by_the_id_that_apple_gave_or_else_by_ours() -> None:
    assert read_answer(answered(200, apns_id="theirs"), ID, now=0).provider_id == "theirs"
    assert read_answer(answered(200), ID, now=0).provider_id == ID


@given(st.integers(0, 999), st.binary() | st.recursive(st.none() | st.text(), st.lists).map(json.dumps).map(str.encode))
@example(400, b'{"reason": "no such token: a7a7a7a7"}')
@example(400, b'{"reason": null}')
@example(410, b'["reason"]')
@example(400, b"[" * 4096)
def test_any_body_is_read_and_only_words_get_through(status: int, body: bytes) -> None:
    reason = read_answer(Http2Response(status, body), ID, now=0).reason
    assert not set(reason) - set(string.ascii_letters + string.digits + "_")
