"""GET /v1/openapi.json: the /v1 interface in OpenAPI 3.1."""

from flask import Blueprint, Response, jsonify

from webhook import openapi
from webhook.api import calls, receipts, users

blueprint = Blueprint("described", __name__, url_prefix="/v1")
DOCUMENT = openapi.document([*users.operations.listed, calls.DESCRIBED, receipts.DESCRIBED], "1")


@blueprint.get("/openapi.json")
def described() -> Response:
    """Describe the interface."""
    return jsonify(DOCUMENT)
