"""Reads FCM's answers: one table maps status and error to an outcome. Pure."""

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from bellhop.clock import Seconds
from bellhop.domain.outcomes import AttemptResult, Outcome
from worker.providers.retry_after import retry_after_s

# https://firebase.google.com/docs/cloud-messaging/scale-fcm#handling-retries
DOCUMENTED_WAIT_S = {Outcome.THROTTLED: Seconds(60.0), Outcome.UNAVAILABLE: Seconds(10.0)}
"""How long Google asks to wait after an answer without Retry-After."""


class Sign(NamedTuple):
    """One fact in an error: the field and the word that stands there."""

    where: str
    """FcmError (its errorCode), BadRequest (a field), ErrorInfo (its reason), or text (the error's message)."""
    word: str


ANY = Sign("", "")
TEXTS = ("registration token", "too big")
"""Words to look for in the error's message, if no BadRequest names a field."""

OUTCOMES: dict[tuple[int, Sign], Outcome] = {
    # https://firebase.google.com/docs/reference/fcm/rest/v1/ErrorCode
    # FCM refuses a malformed token in the same words, whether the app invented it, our own storage cut it or it is of
    # another kind. That does not say that the app was removed. So the token is kept and reported.
    (400, Sign("BadRequest", "message.token")): Outcome.BAD_TOKEN,
    (400, Sign("text", "registration token")): Outcome.BAD_TOKEN,
    (400, Sign("text", "too big")): Outcome.TOO_LARGE,
    (400, ANY): Outcome.BAD_REQUEST,
    (401, ANY): Outcome.CREDENTIALS_REFUSED,
    # Firebase has no valid credentials for Apple or Web Push. Ours are good, and this device is not an Android phone.
    (401, Sign("FcmError", "THIRD_PARTY_AUTH_ERROR")): Outcome.NO_APNS_KEY,
    (403, Sign("FcmError", "SENDER_ID_MISMATCH")): Outcome.WRONG_APP,
    (403, ANY): Outcome.CREDENTIALS_REFUSED,  # the API is off, or the service account may not send
    (404, Sign("FcmError", "UNREGISTERED")): Outcome.TOKEN_DEAD,
    # Without an FcmError it is about the project or the address, not about the device.
    (404, ANY): Outcome.CREDENTIALS_REFUSED,
    (408, ANY): Outcome.UNAVAILABLE,
    (409, ANY): Outcome.UNAVAILABLE,
    (413, ANY): Outcome.TOO_LARGE,
    (429, ANY): Outcome.THROTTLED,
    (499, ANY): Outcome.UNAVAILABLE,
}
BY_CLASS = {
    2: Outcome.UNKNOWN,
    3: Outcome.UNAVAILABLE,  # a proxy between us and Google redirects: that may end soon
    4: Outcome.BAD_REQUEST,
    5: Outcome.UNAVAILABLE,
}
"""For a status that the table does not have, by its first digit. For any other it is Outcome.UNKNOWN."""


def answer(status: int, body: bytes, retry_after: str | None, now: Seconds) -> AttemptResult:
    """Return the result for one of FCM's answers; `retry_after` is the header, `now` is unix time."""
    content = _object(body)
    if status == 200:
        name = content.get("name")
        if isinstance(name, str) and name:
            return AttemptResult(Outcome.ACCEPTED, status, provider_id=name)
        return AttemptResult(Outcome.UNKNOWN, status, "EMPTY_ANSWER")
    error = content.get("error")
    error = error if isinstance(error, dict) else {}
    signs = list(_signs(error))
    outcome = next(
        (OUTCOMES[status, sign] for sign in [*signs, ANY] if (status, sign) in OUTCOMES),
        BY_CLASS.get(status // 100, Outcome.UNKNOWN),
    )
    wait_s = retry_after_s(retry_after, now)
    documented_s = DOCUMENTED_WAIT_S.get(outcome) if wait_s is None else None
    reason = _reason(status, error, signs)
    return AttemptResult(outcome, status, reason, retry_after_s=wait_s, documented_wait_s=documented_s)


def asks_for_new_access_token(status: int, body: bytes) -> bool:
    """Whether the request was refused because of its access token: with a new one it may be repeated."""
    # A 401 with an FcmError is about Firebase's credentials for another provider.
    return status == 401 and b"google.firebase.fcm.v1.FcmError" not in body


def _object(body: bytes) -> dict[str, Any]:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _objects(content: Any) -> list[dict[str, Any]]:
    return [element for element in content if isinstance(element, dict)] if isinstance(content, list) else []


def _signs(error: dict[str, Any]) -> Iterator[Sign]:
    """Find the facts in an error, the most precise first."""
    by_type = {str(detail.get("@type", "")).rpartition(".")[2]: detail for detail in _objects(error.get("details"))}
    violations = _objects(by_type.get("BadRequest", {}).get("fieldViolations"))
    fields = [str(violation["field"]) for violation in violations if violation.get("field")]
    yield from (Sign("BadRequest", field) for field in fields)
    for where, key in (("FcmError", "errorCode"), ("ErrorInfo", "reason")):
        if word := by_type.get(where, {}).get(key):
            yield Sign(where, str(word))
    if not fields:
        text = str(error.get("message", ""))
        yield from (Sign("text", known) for known in TEXTS if known in text)


def _reason(status: int, error: dict[str, Any], signs: list[Sign]) -> str:
    """Return the code and the field, if each looks like a name. Other texts may quote a token or the payload."""
    words = {sign.where: sign.word for sign in reversed(signs)}
    code = str(words.get("FcmError") or words.get("ErrorInfo") or error.get("status") or "")
    code = code if re.fullmatch(r"[A-Z][A-Z0-9_]{2,59}", code) else f"HTTP_{status}"
    field = words.get("BadRequest", "")
    return f"{code} {field}" if re.fullmatch(r"[a-zA-Z0-9_.\[\]]{1,80}", field) else code
