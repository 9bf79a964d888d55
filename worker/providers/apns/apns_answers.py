"""Reads Apple's answers: one table maps status and reason to an outcome. Pure.

Source: Apple, "Handling notification responses from APNs", and the error tables of its push troubleshooting pages.
"""

import json
import re
from typing import Any

from bellhop.clock import Micros, Seconds
from bellhop.domain.outcomes import AttemptResult, Outcome
from worker.providers.http2.http2_stream import Http2Response
from worker.providers.retry_after import retry_after_s

OUTCOMES: dict[tuple[int, str], Outcome] = {
    (200, ""): Outcome.ACCEPTED,
    (400, "BadCollapseId"): Outcome.BAD_REQUEST,
    (400, "BadDeviceToken"): Outcome.BAD_TOKEN,
    (400, "BadExpirationDate"): Outcome.BAD_REQUEST,
    (400, "BadMessageId"): Outcome.BAD_REQUEST,
    (400, "BadPriority"): Outcome.BAD_REQUEST,
    (400, "BadTopic"): Outcome.BAD_REQUEST,
    (400, "DeviceTokenNotForTopic"): Outcome.WRONG_APP,
    (400, "DuplicateHeaders"): Outcome.BAD_REQUEST,
    (400, "IdleTimeout"): Outcome.UNSENT,
    (400, "InvalidPushType"): Outcome.BAD_REQUEST,
    (400, "MissingDeviceToken"): Outcome.BAD_REQUEST,
    (400, "MissingTopic"): Outcome.BAD_REQUEST,
    (400, "PayloadEmpty"): Outcome.BAD_REQUEST,
    # The key or certificate may not push to this bundle id. The operator has to change the credentials.
    (400, "TopicDisallowed"): Outcome.CREDENTIALS_REFUSED,
    (403, "BadCertificate"): Outcome.CREDENTIALS_REFUSED,
    (403, "BadCertificateEnvironment"): Outcome.CREDENTIALS_REFUSED,
    (403, "BadEnvironmentKeyIdInToken"): Outcome.CREDENTIALS_REFUSED,
    (403, "ExpiredProviderToken"): Outcome.CREDENTIALS_REFUSED,
    (403, "Forbidden"): Outcome.CREDENTIALS_REFUSED,
    (403, "InvalidProviderToken"): Outcome.CREDENTIALS_REFUSED,
    (403, "MissingProviderToken"): Outcome.CREDENTIALS_REFUSED,
    (403, "UnrelatedKeyIdInToken"): Outcome.CREDENTIALS_REFUSED,
    (404, "BadPath"): Outcome.BAD_REQUEST,
    (405, "MethodNotAllowed"): Outcome.BAD_REQUEST,
    (410, "ExpiredToken"): Outcome.TOKEN_DEAD,
    (410, "Unregistered"): Outcome.TOKEN_DEAD,
    (413, "PayloadTooLarge"): Outcome.TOO_LARGE,
    (429, "TooManyProviderTokenUpdates"): Outcome.THROTTLED,
    (429, "TooManyRequests"): Outcome.THROTTLED,
    (500, "InternalServerError"): Outcome.UNAVAILABLE,
    (503, "ServiceUnavailable"): Outcome.UNAVAILABLE,
    (503, "Shutdown"): Outcome.UNAVAILABLE,
}

OUTCOMES_BY_STATUS: dict[int, Outcome] = {
    403: Outcome.CREDENTIALS_REFUSED,
    410: Outcome.TOKEN_DEAD,
    413: Outcome.TOO_LARGE,
    429: Outcome.THROTTLED,
}
"""For a reason that Apple has not documented, or has not sent."""

MAX_TIMESTAMP_MS = 10**13
"""The year 2286."""

OUTCOMES_BY_CLASS = {2: Outcome.ACCEPTED, 4: Outcome.BAD_REQUEST, 5: Outcome.UNAVAILABLE}


def outcome_of(status: int, reason: str) -> Outcome:
    """Look up the outcome: by status and reason, else by status, else by its first digit."""
    by_status = OUTCOMES_BY_STATUS.get(status) or OUTCOMES_BY_CLASS.get(status // 100, Outcome.UNKNOWN)
    return OUTCOMES.get((status, reason), by_status)


def read_answer(response: Http2Response, push_id: str, now: Seconds) -> AttemptResult:
    """Return the result for the push `push_id`; `now` is unix time. Never raises."""
    if response.status == 200:
        return AttemptResult(Outcome.ACCEPTED, 200, provider_id=response.apns_id or push_id)
    explanation = _explanation(response.body)
    reason, timestamp_ms = explanation.get("reason"), explanation.get("timestamp")
    if not isinstance(reason, str) or not re.fullmatch(r"\w{1,64}", reason, re.ASCII):
        reason = ""  # logs and trails get a single word or nothing
    if not isinstance(timestamp_ms, int) or not 0 < timestamp_ms < MAX_TIMESTAMP_MS:
        timestamp_ms = None
    outcome = outcome_of(response.status, reason)
    return AttemptResult(
        outcome,
        response.status,
        reason,
        provider_id=response.apns_id or push_id,
        retry_after_s=retry_after_s(response.retry_after, now),
        dead_since=Micros(timestamp_ms * 1000) if timestamp_ms and outcome is Outcome.TOKEN_DEAD else None,
    )


def _explanation(body: bytes) -> dict[str, Any]:
    try:
        explanation = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return explanation if isinstance(explanation, dict) else {}
