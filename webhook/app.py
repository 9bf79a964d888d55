"""The Flask application of the web process."""

from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from flask import Flask, Request
from werkzeug.exceptions import NotFound
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.routing import MapAdapter

from bellhop.settings import Settings
from webhook import error_handlers
from webhook.api import (
    api_page,
    calls,
    health,
    live,
    metrics_page,
    openapi_route,
    personal_data,
    receipts,
    unsubscribe,
    user_calls,
    user_test_rings,
    users,
    web_push_key,
)
from webhook.console import pages as console
from webhook.context import MAX_REQUEST, WebContext
from webhook.cors import with_cors
from webhook.loop_greenlet import on_the_loop
from webhook.security_headers import with_security_headers
from webhook.sources import stream
from webhook.sources.amazon import sns

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse


STATUS_LINES: dict[int, str] = {status: f"{status} {status.phrase}" for status in HTTPStatus}


class WebApp(Flask):
    """A Flask application that serves every host. So it need not bind its routes to the host of each request."""

    def wsgi_app(self, environ: dict[str, Any], start_response: "StartResponse") -> Iterable[bytes]:
        """Answer a request. Of a webhook on the event loop, only errors pass through Flask.

        Matching the route, contexts, signals and hooks would be a third of the work, and no webhook needs them.
        """
        if not on_the_loop() or environ["PATH_INFO"] != stream.PATH:
            return super().wsgi_app(environ, start_response)
        try:
            status, body = stream.answer(self.extensions["context"], environ)
        except Exception as error:
            with self.request_context(environ):
                return self.make_response(self.handle_user_exception(error))(environ, start_response)
        headers = [("Content-Type", stream.CONTENT_TYPE), ("Content-Length", str(len(body)))]
        start_response(STATUS_LINES[status], headers)
        return (body,)

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function: none of ours is asynchronous. Flask would check that several times for each request."""
        return func

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """Bind the routes to the path and the method of a request. Raises NotFound."""
        if request is None:
            return None  # no URL is built outside a request
        environ = request.environ
        if environ["PATH_INFO"].startswith("//"):  # MapAdapter would drop the slashes
            raise NotFound
        return MapAdapter(
            self.url_map,
            environ.get("HTTP_HOST") or environ["SERVER_NAME"],
            environ["SCRIPT_NAME"],
            "",
            environ["wsgi.url_scheme"],
            environ["PATH_INFO"].encode("latin-1").decode(errors="replace"),
            environ["REQUEST_METHOD"],
            environ["QUERY_STRING"],
        )


def create_app(settings: Settings) -> Flask:
    """Create the Flask application of the web process."""
    app = WebApp(__name__, static_folder=None)
    # A path with "//" is unknown. Otherwise it would be answered with a redirect to an absolute URL of the Host header.
    app.url_map.merge_slashes = False
    # One byte more than is accepted: a chunked body is cut off there silently, and must still count as too large.
    app.config["MAX_CONTENT_LENGTH"] = MAX_REQUEST + 1
    app.extensions["context"] = context = WebContext(settings)
    if settings.web_trusted_hops:
        hops = settings.web_trusted_hops
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_prefix=hops)  # type: ignore[method-assign]
    for routes in (
        stream,
        health,
        users,
        user_calls,
        user_test_rings,
        personal_data,
        metrics_page,
        receipts,
        web_push_key,
        calls,
        live,
        openapi_route,
    ):
        app.register_blueprint(routes.blueprint)
    if settings.api_page:
        app.register_blueprint(api_page.blueprint)
    if any(stream_app.sns_topics for stream_app in settings.stream_apps):
        app.extensions["sns"] = sns.Topics(settings)
        app.register_blueprint(sns.blueprint)
    if settings.mail_secret:
        app.extensions["unsubscribe"] = unsubscribe.UnsubscribePages.of(settings)
        app.register_blueprint(unsubscribe.blueprint)
    if settings.console:
        console.register(app, context)
    error_handlers.register(app)
    if settings.web_origins:
        app.wsgi_app = with_cors(app.wsgi_app, settings.web_origins)  # type: ignore[method-assign,assignment]
    app.wsgi_app = with_security_headers(app.wsgi_app)  # type: ignore[method-assign,assignment]
    return app
