"""The errors of the API: what clients compare stays."""

from webhook.api_errors import ApiErrorKind


def test_the_types_and_their_statuses_stay():
    assert {kind.type.removeprefix("urn:bellhop:problem:"): kind.status for kind in ApiErrorKind} == {
        "not-json": 400,
        "no-token": 401,
        "bad-token": 401,
        "expired-token": 401,
        "revoked-token": 401,
        "early-token": 401,
        "wrong-audience": 401,
        "unknown-app": 401,
        "bad-receipt": 403,
        "limited-token": 403,
        "another-user": 403,
        "server-only": 403,
        "not-in-call": 403,
        "no-one": 403,
        "not-found": 404,
        "no-such-call": 404,
        "no-such-device": 404,
        "method-not-allowed": 405,
        "too-large": 413,
        "unsupported-media-type": 415,
        "invalid": 422,
        "expired-receipt": 403,
        "no-such-test": 404,
        "export-runs": 429,
        "bad-query": 422,
        "too-many-reports": 429,
        "too-many-writes": 429,
        "too-many-streams": 429,
        "our-mistake": 500,
        "live-off": 501,
        "calls-off": 501,
        "live-not-served": 501,
        "streams-full": 503,
        "busy": 503,
        "redis-away": 503,
    }
