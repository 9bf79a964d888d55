"""The response to a reader who gets no live stream because too many are open."""

import json
from http import HTTPStatus

from webhook.api_errors import MEDIA_TYPE, ApiError, ApiErrorKind
from webhook.refused_requests import note_refusal
from webhook.server.http_request import Headers, HttpResponse

RETRY_AFTER_S = 5


def stream_refusal(kind: ApiErrorKind, headers: Headers, address: str) -> HttpResponse:
    """Make the problem document, with the security headers of the view's response; log and count the refusal."""
    note_refusal("v1", kind.word, address)
    error = ApiError(kind, headers={"Retry-After": str(RETRY_AFTER_S)})
    kept = [header for header in headers if header[0].lower() not in ("content-type", "content-length")]
    body = json.dumps(error.document()).encode() + b"\n"
    status = HTTPStatus(kind.status)
    own = [("Content-Type", MEDIA_TYPE), *error.headers.items()]
    return HttpResponse(f"{status.value} {status.phrase}", [*own, *kept], body)
