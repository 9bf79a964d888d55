"""Add the console to the Flask application. Importing a page's module adds its routes to the blueprint."""

from flask import Flask

from webhook.console import (  # noqa: F401 - for their routes
    audit_page,
    call_page,
    calls_page,
    failed_jobs_page,
    login_page,
    service_page,
    template_values,
    user_page,
)
from webhook.console.blueprint import blueprint
from webhook.console.login import Guard
from webhook.console.session_cookie import ConsoleSessions
from webhook.console.summary_cache import SummaryCache
from webhook.context import WebContext


def register(app: Flask, context: WebContext) -> None:
    """Add the pages, and their sessions."""
    guard = Guard(context.settings, context.redis)
    app.extensions["console"] = guard
    app.extensions["console_summaries"] = SummaryCache(context.settings.web_explain_lines)
    app.secret_key = guard.signing_key
    app.session_interface = ConsoleSessions()
    app.register_blueprint(blueprint)
