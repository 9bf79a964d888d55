"""Headers that keep a browser from doing anything with an answer but what it is for. Every answer has them."""

from flask import Flask, Response

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""Most answers are about somebody: none is kept, framed, guessed at, or named to other sites."""


def register(app: Flask) -> None:
    """Add the headers to every answer of `app`; one that sets its own keeps it."""

    @app.after_request
    def _harden(response: Response) -> Response:
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        return response
