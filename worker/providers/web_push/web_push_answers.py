"""Reads the answers of push services: one table maps the status to an outcome. Pure.

Sources: RFC 8030, RFC 8292; Mozilla's autopush ("Error codes"); Apple, "Sending web push notifications in web apps and
browsers"; Microsoft, "Push notification service request and response headers".
"""

import json
import re

from bellhop.clock import Seconds
from bellhop.domain.outcomes import AttemptResult, Outcome
from worker.providers.retry_after import retry_after_s

OUTCOMES: dict[int, Outcome] = {
    401: Outcome.CREDENTIALS_REFUSED,
    403: Outcome.CREDENTIALS_REFUSED,
    404: Outcome.TOKEN_DEAD,  # RFC 8030, section 7.3: the subscription has ended
    406: Outcome.THROTTLED,  # Microsoft's
    408: Outcome.UNAVAILABLE,
    410: Outcome.TOKEN_DEAD,
    413: Outcome.TOO_LARGE,
    429: Outcome.THROTTLED,
}
BY_CLASS = {
    2: Outcome.ACCEPTED,  # 201; some answer 200 or 202
    3: Outcome.BAD_REQUEST,  # no redirect is followed
    4: Outcome.BAD_REQUEST,
    5: Outcome.UNAVAILABLE,
}
"""For a status that the table does not have, by its first digit. For any other it is Outcome.UNKNOWN."""
OTHER_KEY = re.compile(rb"VapidPkHashMismatch|do not correspond|UnauthorizedRegistration|key mismatch", re.IGNORECASE)
"""How Apple, Google and Mozilla say, with a 400, 401 or 403, that the browser subscribed with another public key. Our
key may be right all the same, and any user can register such a subscription: so it does not stop all pushes."""
KEY_MISMATCH = "KEY_MISMATCH"
WORDS = frozenset(
    {
        *("BadAuthorizationHeader", "BadDeviceToken", "BadEncryption", "BadExpirationDate", "BadJwtToken", "BadPath"),
        *("BadUrgency", "BadWebPushTopic", "BadWebPushTtl", "ExpiredJwtToken", "ExpiredToken", "Forbidden"),
        *("InternalServerError", "PayloadEmpty", "PayloadTooLarge", "ServiceUnavailable", "TooManyRequests"),
        *("Unregistered",),
    }
)
"""Apple's words that become a reason. Metrics count by reason, so a push service must not be able to invent more."""


def read_answer(status: int, body: bytes, retry_after: str | None, now: Seconds) -> AttemptResult:
    """Return the result for one answer; `retry_after` is the header, `now` is unix time. Never raises."""
    outcome = OUTCOMES.get(status) or BY_CLASS.get(status // 100, Outcome.UNKNOWN)
    if outcome is Outcome.ACCEPTED:
        return AttemptResult(outcome, status)
    if status in (400, 401, 403) and OTHER_KEY.search(body):
        return AttemptResult(Outcome.WRONG_APP, status, KEY_MISMATCH)
    return AttemptResult(outcome, status, _reason(status, body), retry_after_s=retry_after_s(retry_after, now))


def _reason(status: int, body: bytes) -> str:
    """Return one of Apple's words or Mozilla's number, else the status. Other texts may quote the endpoint."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        content = None
    content = content if isinstance(content, dict) else {}
    reason, number = content.get("reason"), content.get("errno")
    if isinstance(reason, str) and reason in WORDS:
        return reason
    return f"errno {number}" if type(number) is int and 0 <= number < 1_000 else f"HTTP_{status}"
