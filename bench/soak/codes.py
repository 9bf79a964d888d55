"""Every error that Apple and Google document, as their stand-ins answer it."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass

from bellhop.clock import Seconds
from bellhop.domain.outcomes import Outcome
from bellhop.sandbox.apple_script import AppleReply
from bellhop.sandbox.google_script import GoogleReply, fcm_error, html
from worker.providers.apns import apns_answers
from worker.providers.fcm import fcm_answers

ABOUT_A_TOKEN = {Outcome.TOKEN_DEAD, Outcome.BAD_TOKEN, Outcome.WRONG_APP, Outcome.NO_APNS_KEY}


@dataclass(frozen=True)
class Code:
    """One error of a provider."""

    name: str
    reply: AppleReply | GoogleReply
    about_token: bool


def _apple_codes() -> Iterator[Code]:
    for (status, reason), outcome in apns_answers.OUTCOMES.items():
        if outcome is not Outcome.ACCEPTED:
            stamp = int(time.time() * 1000) if outcome is Outcome.TOKEN_DEAD else None
            yield Code(f"{status} {reason}", AppleReply(status, reason, stamp), outcome in ABOUT_A_TOKEN)


GOOGLE_REPLIES = (
    fcm_error(400, "INVALID_ARGUMENT", code="INVALID_ARGUMENT"),
    fcm_error(400, "INVALID_ARGUMENT", field="message.token"),
    fcm_error(400, "INVALID_ARGUMENT", message="Android message is too big"),
    fcm_error(401, "UNAUTHENTICATED", reason="ACCESS_TOKEN_EXPIRED"),
    fcm_error(401, "UNAUTHENTICATED", code="THIRD_PARTY_AUTH_ERROR"),
    fcm_error(403, "PERMISSION_DENIED"),
    fcm_error(403, "PERMISSION_DENIED", reason="SERVICE_DISABLED"),
    fcm_error(403, "PERMISSION_DENIED", code="SENDER_ID_MISMATCH"),
    fcm_error(404, "NOT_FOUND"),
    fcm_error(404, "NOT_FOUND", code="UNREGISTERED"),
    fcm_error(408, "CANCELLED"),
    fcm_error(409, "ABORTED"),
    fcm_error(413, "INVALID_ARGUMENT"),
    fcm_error(429, "RESOURCE_EXHAUSTED", code="QUOTA_EXCEEDED"),
    fcm_error(429, "RESOURCE_EXHAUSTED", code="QUOTA_EXCEEDED", retry_after="2"),
    fcm_error(499, "CANCELLED"),
    fcm_error(500, "INTERNAL", code="INTERNAL"),
    html(502),
    fcm_error(503, "UNAVAILABLE", code="UNAVAILABLE"),
    fcm_error(503, "UNAVAILABLE", code="UNAVAILABLE", retry_after="2"),
    fcm_error(504, "DEADLINE_EXCEEDED"),
)


def _google_codes() -> Iterator[Code]:
    for reply in GOOGLE_REPLIES:
        wait = reply.headers.get("Retry-After")
        result = fcm_answers.answer(reply.status, reply.body, wait, Seconds(0))
        name = f"{reply.status} {_word(reply)}{f', Retry-After {wait}' if wait else ''}"
        yield Code(name, reply, result.outcome in ABOUT_A_TOKEN)


def _word(reply: GoogleReply) -> str:
    """Return the most precise word of Google's error."""
    if reply.content_type != "application/json":
        return "HTML"
    error = json.loads(reply.body)["error"]
    details = [detail.get("errorCode") or detail.get("reason") for detail in error["details"]]
    fields = [v["field"] for detail in error["details"] for v in detail.get("fieldViolations", ())]
    big = ["too big"] if "too big" in error["message"] else []
    return str(next((word for word in [*details, *fields, *big] if word), error["status"]))


APPLE = tuple(_apple_codes())
GOOGLE = tuple(_google_codes())
