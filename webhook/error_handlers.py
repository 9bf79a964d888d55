"""How an error becomes an answer: a problem document below /v1, elsewhere one line of JSON."""

import json
from typing import cast

import structlog
from flask import Flask, Response, current_app, jsonify, request
from redis.exceptions import RedisError
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound, RequestEntityTooLarge

from bellhop.telemetry import metrics
from webhook.api_errors import MEDIA_TYPE, ApiProblem, Problem
from webhook.context import WebContext
from webhook.intake.signature import Refusal

log = structlog.get_logger()

Answer = Response | tuple[Response, int]


def register(app: Flask) -> None:
    """Let no error of `app` out in another form."""
    app.register_error_handler(ApiProblem, _problem)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(RedisError, _redis_away)
    app.register_error_handler(Exception, _our_mistake)


def _below_v1() -> bool:
    return request.path.startswith("/v1/")


def _problem(error: ApiProblem) -> Response:
    text = json.dumps(error.document()) + "\n"
    return Response(text, error.problem.status, dict(error.headers), content_type=MEDIA_TYPE)


def _http_error(error: HTTPException) -> Answer:
    if _below_v1():
        return _problem(_problem_of(error))
    if isinstance(error, NotFound) and request.method == "POST" and "X-Signature" in request.headers:
        return _wrong_path()
    if isinstance(error, RequestEntityTooLarge):
        return jsonify(error=Refusal.TOO_LARGE.sentence), 413
    return jsonify(error=error.name), error.code or 500


def _wrong_path() -> Answer:
    """Stream posts somewhere else than it should: without a line, its webhooks would be lost without a word."""
    refusal = Refusal.WRONG_PATH
    metrics.REFUSED.add(refusal.label)
    log.warning("webhook_refused", reason=refusal.label, address=request.remote_addr, advice=refusal.sentence)
    return jsonify(error=refusal.sentence), refusal.status


def _problem_of(error: HTTPException) -> ApiProblem:
    if isinstance(error, RequestEntityTooLarge):
        return ApiProblem(Problem.TOO_LARGE)
    if isinstance(error, MethodNotAllowed):
        return ApiProblem(Problem.METHOD_NOT_ALLOWED, headers={"Allow": ", ".join(sorted(error.valid_methods or ()))})
    return ApiProblem(Problem.NOT_FOUND)


def _redis_away(error: RedisError) -> Answer:
    cast(WebContext, current_app.extensions["context"]).outage.goes_on(type(error).__name__)
    if _below_v1():
        return _problem(ApiProblem(Problem.REDIS_AWAY))
    return jsonify(error="Redis does not take the event now: try again."), 503


def _our_mistake(error: Exception) -> Answer:
    log.exception("unexpected_error", error=type(error).__name__)
    if _below_v1():
        return _problem(ApiProblem(Problem.OUR_MISTAKE))
    # Stream repeats a 503, and an operator sees the line above: better than a call that is lost without a word.
    return jsonify(error="Something went wrong here: try again."), 503
