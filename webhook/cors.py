"""Lets web pages of allowed origins call the routes that an app in a browser needs (CORS, the Fetch standard).

Browsers ask before most requests (a preflight). No cookie is involved: a request carries its own token or ticket.
"""

import re
from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

ROUTES = re.compile(r"/v1/(?:receipts|web-push/key|users/[^/]+/devices(?:/[^/]+)?)")
METHODS = "GET, POST, DELETE"
REQUEST_HEADERS = "Authorization, Content-Type, X-Api-Key"
EXPOSED = "Retry-After, Date"
"""Headers that a page may read. The service worker of clients/web compares its clock with Date."""
MAX_AGE_S = 7_200
"""How long a browser remembers the answer to a preflight. Chromium remembers none for longer."""

Headers = list[tuple[str, str]]


def with_cors(app: "WSGIApplication", origins: Collection[str]) -> "WSGIApplication":
    """Answer preflights for ROUTES, and add the headers that let pages of `origins` read the responses."""
    allowed = frozenset(origins)

    def serve(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if ROUTES.fullmatch(environ["PATH_INFO"]) is None:
            return app(environ, start_response)
        origin = environ.get("HTTP_ORIGIN", "")
        added = _headers(origin if origin in allowed else "")
        if origin in allowed and _is_preflight(environ):
            start_response("204 No Content", added + _preflight_headers())
            return ()

        def start(status: str, headers: Headers, *error: Any) -> Any:
            return start_response(status, headers + added, *error)

        return app(environ, start)

    return serve


def _is_preflight(environ: dict[str, Any]) -> bool:
    return environ["REQUEST_METHOD"] == "OPTIONS" and "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in environ


def _headers(origin: str) -> Headers:
    """Return the headers of a response; without an allowed origin, only the one for caches."""
    headers = [("Vary", "Origin")]
    if origin:
        headers += [("Access-Control-Allow-Origin", origin), ("Access-Control-Expose-Headers", EXPOSED)]
    return headers


def _preflight_headers() -> Headers:
    return [
        ("Access-Control-Allow-Methods", METHODS),
        ("Access-Control-Allow-Headers", REQUEST_HEADERS),
        ("Access-Control-Max-Age", str(MAX_AGE_S)),
    ]
