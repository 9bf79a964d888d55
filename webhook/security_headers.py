"""Security headers of every response: not cached, not framed, not sniffed, no scripts, no Referer."""

from flask import Flask, Response

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""Most responses contain personal data."""


def register(app: Flask) -> None:
    """Add the headers to every response of `app`. A response that sets one of them keeps its own."""

    @app.after_request
    def _add_headers(response: Response) -> Response:
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        return response
