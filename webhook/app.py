"""The Flask application of the web process."""

import structlog
from flask import Flask, Response, jsonify, request
from redis.exceptions import RedisError
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from webhook.api import calls, health, metrics, people, receipts, stream, unsubscribe
from webhook.door import Door
from webhook.signature import MAX_BODY, Refusal
from worker.settings import Settings

log = structlog.get_logger()


def create_app(settings: Settings) -> Flask:
    """Make the web process's application. Every answer, errors too, is one line of JSON."""
    app = Flask(__name__, static_folder=None)
    # One byte more than is taken: a chunked body is cut there without a word, and then seen to be too large.
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY + 1
    app.extensions["door"] = Door(settings)
    app.register_blueprint(stream.blueprint)
    app.register_blueprint(health.blueprint)
    app.register_blueprint(people.blueprint)
    app.register_blueprint(metrics.blueprint)
    app.register_blueprint(receipts.blueprint)
    app.register_blueprint(calls.blueprint)
    if settings.mail_secret:
        app.extensions["unsubscribe"] = unsubscribe.Pages.of(settings)
        app.register_blueprint(unsubscribe.blueprint)
    app.register_error_handler(RequestEntityTooLarge, _too_large)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(RedisError, _redis_away)
    app.register_error_handler(Exception, _our_mistake)
    return app


def _too_large(_: RequestEntityTooLarge) -> tuple[Response, int]:
    return jsonify(error=Refusal.TOO_LARGE.sentence), 413


def _http_error(error: HTTPException) -> tuple[Response, int] | Response:
    if request.path.startswith("/v1/"):
        return people.no_route(error)
    return jsonify(error=error.name), error.code or 500


def _redis_away(error: RedisError) -> tuple[Response, int]:
    log.error("redis away", error=type(error).__name__)
    return jsonify(error="Redis does not take the event now: try again."), 503


def _our_mistake(error: Exception) -> tuple[Response, int]:
    # Stream repeats a 503, and an operator sees this line: better than a call that is lost without a word.
    log.exception("unexpected error", error=type(error).__name__)
    return jsonify(error="Something went wrong here: try again."), 503
