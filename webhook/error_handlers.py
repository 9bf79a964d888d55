"""Errors -> responses: problem documents below /v1, one line of JSON elsewhere."""

import json

import structlog
from flask import Flask, Response, current_app, got_request_exception, jsonify, request
from redis.exceptions import RedisError
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound, RequestEntityTooLarge

from bellhop.telemetry import tracing
from bellhop.telemetry.turned_away import API, TURNED_AWAY
from webhook.api_errors import MEDIA_TYPE, ApiError, ApiErrorKind
from webhook.client_address import client_name
from webhook.console.canonical_path import is_sent_in_other_form
from webhook.context import web_context
from webhook.intake.receive import PutOffError
from webhook.intake.signature import Refusal
from webhook.refused_requests import note_refusal
from webhook.refused_webhooks import note_refused

log = structlog.get_logger()

REFUSALS = frozenset({401, 403, 429})
"""The statuses of a request to /v1 that is refused because of its sender."""
ErrorResponse = Response | tuple[Response, int]


def register(app: Flask) -> None:
    """Handle every error of `app`, so that no other form of error is answered."""
    app.register_error_handler(ApiError, _api_error)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(RedisError, _redis_error)
    app.register_error_handler(PutOffError, _put_off)
    app.register_error_handler(Exception, _unexpected_error)


def _below_v1() -> bool:
    return request.path.startswith("/v1/")


def _api_error(error: ApiError) -> Response:
    if error.kind.status in REFUSALS:
        note_refusal("v1", error.kind.word)
        TURNED_AWAY.add(f"{API}{error.kind.word}", address=client_name(request.remote_addr))
    text = json.dumps(error.document()) + "\n"
    return Response(text, error.kind.status, dict(error.headers), content_type=MEDIA_TYPE)


def _http_error(error: HTTPException) -> ErrorResponse:
    if _below_v1():
        return _api_error(_as_api_error(error))
    if isinstance(error, NotFound) and request.method == "POST" and "X-Signature" in request.headers:
        return _wrong_path()
    if isinstance(error, NotFound) and is_sent_in_other_form(request.environ):
        note_refusal("console", "other_path")
    if isinstance(error, RequestEntityTooLarge):
        return jsonify(error="The body is larger than 1 MiB."), 413
    response = jsonify(error=error.name)
    response.status_code = error.code or 500
    response.headers.update(_allowed_methods(error))
    return response


def _allowed_methods(error: HTTPException) -> dict[str, str]:
    """Return the header that a 405 must have (RFC 9110, section 15.5.6); none for another error."""
    return {"Allow": ", ".join(sorted(error.valid_methods or ()))} if isinstance(error, MethodNotAllowed) else {}


def _wrong_path() -> ErrorResponse:
    """Refuse a webhook that Stream posts to a wrong path, and log it: otherwise events would be lost silently."""
    refusal = Refusal.WRONG_PATH
    note_refused(refusal, request.remote_addr, request.headers.get("X-Api-Key"), advice=refusal.sentence)
    return jsonify(error=refusal.sentence), refusal.status


def _as_api_error(error: HTTPException) -> ApiError:
    if isinstance(error, RequestEntityTooLarge):
        return ApiError(ApiErrorKind.BODY_TOO_LARGE)
    if isinstance(error, MethodNotAllowed):
        return ApiError(ApiErrorKind.METHOD_NOT_ALLOWED, headers=_allowed_methods(error))
    return ApiError(ApiErrorKind.NOT_FOUND)


def _redis_error(error: RedisError) -> ErrorResponse:
    web_context().outage.note_redis_error(error)
    if _below_v1():
        return _api_error(ApiError(ApiErrorKind.REDIS_UNAVAILABLE))
    return jsonify(error="Redis does not answer. Try again."), 503


def _put_off(error: PutOffError) -> ErrorResponse:
    """Answer a webhook that must come again: Stream repeats it after a 503."""
    response = jsonify(error=str(error))
    response.status_code, response.headers["Retry-After"] = 503, "1"
    return response


def _unexpected_error(error: Exception) -> ErrorResponse:
    log.exception("unexpected_error", error=type(error).__name__)
    # Flask sends this signal only for errors without a handler, and we handle all. Tools such as Sentry need it.
    got_request_exception.send(current_app._get_current_object(), _async_wrapper=None, exception=error)  # type: ignore[attr-defined]
    tracing.record_error(error)
    if _below_v1():
        return _api_error(ApiError(ApiErrorKind.INTERNAL_ERROR))
    # Not 500: Stream repeats an event after a 503, so the call is not lost, and the line above tells the operator.
    return jsonify(error="Internal server error. Try again."), 503
