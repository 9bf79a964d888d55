"""The errors of the /v1 API as RFC 9457 problem documents, in one table. Pure."""

from collections.abc import Mapping
from enum import Enum
from typing import Any

MEDIA_TYPE = "application/problem+json"


class ApiErrorKind(Enum):
    """A kind of error: the word that ends its public type, the HTTP status, and a fixed title.

    The words are public (docs/people.md): clients compare them. A title may change.
    """

    def __init__(self, word: str, status: int, title: str) -> None:
        self.word = word
        self.status = status
        self.title = title

    INVALID_JSON = "not-json", 400, "The request body is not valid JSON."
    MISSING_TOKEN = (
        "no-token",
        401,
        "A token is required: send Authorization: Bearer with a Stream user token or server token.",
    )
    INVALID_TOKEN = (
        "bad-token",
        401,
        "The token is invalid: it must be signed with this app's API secret (HS256), for a user or a server.",
    )
    EXPIRED_TOKEN = "expired-token", 401, "The token has expired."
    REVOKED_TOKEN = "revoked-token", 401, "The token was revoked at Stream: get a new one from your backend."
    TOKEN_NOT_YET_VALID = (
        "early-token",
        401,
        "The token is not valid yet: check the clock of the machine that issued it.",
    )
    WRONG_AUDIENCE = (
        "wrong-audience",
        401,
        "The token is for another service: BELLHOP_API_AUDIENCES does not list its audience (aud).",
    )
    UNKNOWN_APP = (
        "unknown-app",
        401,
        "X-API-KEY is not the key of a configured app. It is required if several apps are configured.",
    )
    INVALID_RECEIPT = "bad-receipt", 403, "The receipt is invalid: send the one that came in the push."
    EXPIRED_RECEIPT = "expired-receipt", 403, "The receipt has expired: its ring is over. Do not repeat the request."
    LIMITED_TOKEN = (
        "limited-token",
        403,
        "The token is limited to certain calls (call_cids): send a token of the user without that limit.",
    )
    OTHER_USER = "another-user", 403, "Permission denied: a user token gives access to its own user only."
    SERVER_TOKEN_REQUIRED = "server-only", 403, "Permission denied: a server token is required."
    NOT_IN_CALL = "not-in-call", 403, "Permission denied: the user neither made this call nor was called in it."
    USER_ID_REQUIRED = "no-one", 403, '"me" needs a user token; name a user id.'
    NOT_FOUND = "not-found", 404, "Not found."
    CALL_NOT_FOUND = "no-such-call", 404, "No ring of this call is known: try again once Stream's webhook has arrived."
    TEST_NOT_FOUND = "no-such-test", 404, "The user has no test ring with this id, or it is too old."
    DEVICE_NOT_FOUND = "no-such-device", 404, "The user has no device with this id."
    METHOD_NOT_ALLOWED = "method-not-allowed", 405, "Method not allowed: the Allow header lists the allowed ones."
    BODY_TOO_LARGE = "too-large", 413, "The request body is too large."
    UNSUPPORTED_MEDIA_TYPE = "unsupported-media-type", 415, "The Content-Type must be application/json."
    INVALID_BODY = "invalid", 422, "The request body is invalid: see errors."
    INVALID_QUERY = (
        "bad-query",
        422,
        "The query is invalid: cursor comes from the page before, since is an RFC 3339 time, missed is true or false.",
    )
    RATE_LIMITED = "too-many-writes", 429, "Rate limit exceeded: wait for the time in Retry-After."
    TOO_MANY_REPORTS = "too-many-reports", 429, "This receipt was sent too often. Do not repeat the request."
    TOO_MANY_EXPORTS = "export-runs", 429, "Another export runs: wait for the time in Retry-After."
    TOO_MANY_STREAMS = (
        "too-many-streams",
        429,
        "Too many live streams of this user or this call are open: end one first.",
    )
    INTERNAL_ERROR = "our-mistake", 500, "Internal server error."
    LIVE_IS_OFF = "live-off", 501, "Live streams are off: set BELLHOP_LIVE=true to switch them on."
    USER_CALLS_ARE_OFF = "calls-off", 501, "Lists of calls are off: set BELLHOP_USER_CALLS=true to switch them on."
    LIVE_NEEDS_OUR_SERVER = "live-not-served", 501, "This WSGI server cannot keep live streams open: use `bellhop web`."
    STREAMS_FULL = "streams-full", 503, "This process cannot keep more live streams open. Try again."
    BUSY = "busy", 503, "Another long call is being explained. Try again."
    REDIS_UNAVAILABLE = "redis-away", 503, "Redis does not answer. Try again."

    @property
    def type(self) -> str:
        """The problem document's type, a name without a page behind it."""
        return f"urn:bellhop:problem:{self.word}"


HEADERS: dict[int, Mapping[str, str]] = {
    401: {"WWW-Authenticate": "Bearer"},
    503: {"Retry-After": "1"},
}
"""Headers of every error with this status."""


class ApiError(Exception):
    """A request fails with an error of this kind.

    `errors` lists invalid places in the body. `headers` are added to those of the status.
    """

    def __init__(
        self, kind: ApiErrorKind, errors: list[dict[str, str]] | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(kind.title)
        self.kind, self.errors = kind, errors
        self.headers = {**HEADERS.get(kind.status, {}), **(headers or {})}

    def document(self) -> dict[str, Any]:
        """Return the problem document."""
        kind = self.kind
        document: dict[str, Any] = {"type": kind.type, "title": kind.title, "status": kind.status}
        return document | ({"errors": self.errors} if self.errors else {})
