"""What can be wrong with a request to the /v1 interface, as RFC 9457 problem documents: one table. Pure."""

from collections.abc import Mapping
from enum import Enum
from typing import Any

MEDIA_TYPE = "application/problem+json"


class Problem(Enum):
    """The HTTP status, and a sentence that is the same every time; the member's name makes the type."""

    def __init__(self, status: int, title: str) -> None:
        self.status = status
        self.title = title

    NOT_JSON = 400, "The body is not JSON."
    NO_TOKEN = 401, "There is no token: send Authorization: Bearer and a Stream user token or server token."
    BAD_TOKEN = 401, "This app's API secret did not sign the token (HS256), or it is for no user and no server."
    EXPIRED_TOKEN = 401, "The token has expired: get a new one."
    EARLY_TOKEN = 401, "The token is not valid yet: check the clock of whoever made it."
    UNKNOWN_APP = 401, "X-API-KEY names no configured app, or is missing where there are several."
    BAD_RECEIPT = 403, "The receipt is none that came in a push of this Bellhop."
    LIMITED_TOKEN = 403, "The token is for some calls only (call_cids): send the user's own."
    ANOTHER_USER = 403, "A user token acts for its own user only."
    SERVER_ONLY = 403, "Only a server token may ask for this."
    NO_ONE = 403, 'A server token is nobody\'s: name the user instead of "me".'
    NOT_FOUND = 404, "There is nothing at this address."
    NO_SUCH_DEVICE = 404, "The user has no such device."
    METHOD_NOT_ALLOWED = 405, "That is not how this address is used: see Allow."
    TOO_LARGE = 413, "The body is larger than anything that belongs here."
    UNSUPPORTED_MEDIA_TYPE = 415, "Send the body as application/json."
    INVALID = 422, "The body does not say what it should: see errors."
    TOO_MANY_WRITES = 429, "This user changed too much in the last minute: wait as Retry-After says."
    OUR_MISTAKE = 500, "Something went wrong here."
    REDIS_AWAY = 503, "Redis does not answer: try again."

    @property
    def type(self) -> str:
        """The problem's own name; it leads nowhere, docs/people.md lists them."""
        return f"urn:bellhop:problem:{self.name.lower().replace('_', '-')}"


HEADERS: dict[int, Mapping[str, str]] = {
    401: {"WWW-Authenticate": "Bearer"},
    503: {"Retry-After": "1"},
}


class ApiProblem(Exception):  # noqa: N818 - it is what happened to a request
    """A request that ends in a problem. `errors` say where in the body, `headers` are added to the answer's."""

    def __init__(
        self, problem: Problem, errors: list[dict[str, str]] | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(problem.title)
        self.problem, self.errors = problem, errors
        self.headers = {**HEADERS.get(problem.status, {}), **(headers or {})}

    def document(self) -> dict[str, Any]:
        """Word the problem document."""
        problem = self.problem
        document: dict[str, Any] = {"type": problem.type, "title": problem.title, "status": problem.status}
        return document | ({"errors": self.errors} if self.errors else {})
