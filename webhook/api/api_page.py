"""GET /v1/docs: the HTTP API on a page, by Swagger UI, whose files are part of Bellhop. Off by default."""

from flask import Blueprint, Response

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Robots-Tag": "noindex",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""The page loads nothing from other sites, and cannot be framed. Swagger UI's icons are data: images in its CSS."""

blueprint = Blueprint("api_page", __name__, url_prefix="/v1", static_folder="swagger_ui", static_url_path="/docs")


@blueprint.get("/docs")
def api_page() -> Response:
    """Return the page. Its links are relative, so it works below a prefix of a proxy, too."""
    return blueprint.send_static_file("index.html")


@blueprint.after_request
def add_headers(response: Response) -> Response:
    """Add the page's headers."""
    response.headers.update(HEADERS)
    return response
