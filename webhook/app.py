"""The Flask application of the web process."""

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from bellhop.settings import Settings
from webhook import error_handlers, security_headers
from webhook.api import calls, health, metrics_page, openapi_route, receipts, unsubscribe, users
from webhook.console import pages as console
from webhook.context import WebContext
from webhook.intake.signature import MAX_BODY
from webhook.sources import stream
from webhook.sources.amazon import sns


def create_app(settings: Settings) -> Flask:
    """Create the Flask application of the web process."""
    app = Flask(__name__, static_folder=None)
    # One byte more than is accepted: a chunked body is cut off there silently, and must still count as too large.
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY + 1
    app.extensions["context"] = context = WebContext(settings)
    if settings.web_trusted_hops:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=settings.web_trusted_hops)  # type: ignore[method-assign]
    for routes in (stream, health, users, metrics_page, receipts, calls, openapi_route):
        app.register_blueprint(routes.blueprint)
    if any(stream_app.sns_topics for stream_app in settings.stream_apps):
        app.extensions["sns"] = sns.Topics(settings)
        app.register_blueprint(sns.blueprint)
    if settings.mail_secret:
        app.extensions["unsubscribe"] = unsubscribe.UnsubscribePages.of(settings)
        app.register_blueprint(unsubscribe.blueprint)
    if settings.console:
        console.register(app, context)
    error_handlers.register(app)
    security_headers.register(app)
    return app
