"""Security headers of every response: not cached, not framed, not sniffed, no scripts, no Referer."""

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; frame-ancestors 'none'; sandbox",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""Most responses contain personal data. The policy is for data; HTML pages set their own."""
_BY_LOWER_NAME = {name.lower(): (name, value) for name, value in HEADERS.items()}


STRICT_TRANSPORT_SECURITY = ("Strict-Transport-Security", "max-age=31536000; includeSubDomains")
"""With https: for a year, browsers use only https for this host."""


def is_https(environ: Mapping[str, Any]) -> bool:
    """Return whether the client uses https. A client that forges the header changes only its own response."""
    forwarded: str = environ.get("HTTP_X_FORWARDED_PROTO", "")
    return environ.get("wsgi.url_scheme") == "https" or forwarded.partition(",")[0].strip().lower() == "https"


@lru_cache(maxsize=64)
def _missing(names: tuple[str, ...], *, https: bool) -> tuple[tuple[str, str], ...]:
    """Return the headers to add to a response that has headers of these names."""
    given = {name.lower() for name in names}
    missing = tuple(header for name, header in _BY_LOWER_NAME.items() if name not in given)
    return (*missing, STRICT_TRANSPORT_SECURITY) if https else missing


def with_security_headers(app: "WSGIApplication") -> "WSGIApplication":
    """Add the headers to every response of `app`. A response that sets one of them keeps its own.

    WSGI middleware, since Flask's own hook takes ten times as long.
    """

    def serve(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        def start(status: str, headers: list[tuple[str, str]], *error: Any) -> Any:
            missing = _missing(tuple(name for name, _ in headers), https=is_https(environ))
            return start_response(status, [*headers, *missing], *error)

        return app(environ, start)

    return serve
