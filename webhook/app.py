"""The Flask application of the web process."""

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from webhook import faults, hardening
from webhook.api import calls, described, health, metrics, people, receipts, sns, stream, unsubscribe
from webhook.console import pages as console
from webhook.door import Door
from webhook.signature import MAX_BODY
from worker.settings import Settings


def create_app(settings: Settings) -> Flask:
    """Make the web process's application."""
    app = Flask(__name__, static_folder=None)
    # One byte more than is taken: a chunked body is cut there without a word, and then seen to be too large.
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY + 1
    app.extensions["door"] = door = Door(settings)
    if settings.web_trusted_hops:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=settings.web_trusted_hops)  # type: ignore[method-assign]
    app.register_blueprint(stream.blueprint)
    app.register_blueprint(health.blueprint)
    app.register_blueprint(people.blueprint)
    app.register_blueprint(metrics.blueprint)
    app.register_blueprint(receipts.blueprint)
    app.register_blueprint(calls.blueprint)
    app.register_blueprint(described.blueprint)
    if any(stream_app.sns_topics for stream_app in settings.stream_apps):
        app.extensions["sns"] = sns.Topics(settings)
        app.register_blueprint(sns.blueprint)
    if settings.mail_secret:
        app.extensions["unsubscribe"] = unsubscribe.Pages.of(settings)
        app.register_blueprint(unsubscribe.blueprint)
    if settings.console:
        console.register(app, door)
    faults.register(app)
    hardening.register(app)
    return app
