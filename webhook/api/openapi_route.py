"""GET /v1/openapi.json: the /v1 API in OpenAPI 3.1."""

import json

from flask import Blueprint, Response

from webhook import openapi
from webhook.api import calls, live, personal_data, receipts, user_calls, user_test_rings, users, web_push_key
from webhook.openapi import JSON

blueprint = Blueprint("openapi", __name__, url_prefix="/v1")
DOCUMENT = openapi.document(
    [
        *users.operations.listed,
        *user_calls.operations.listed,
        *user_test_rings.operations.listed,
        *personal_data.operations.listed,
        *(route.OPERATION for route in (calls, live, receipts, web_push_key)),
    ],
    "1",
)
TEXT = json.dumps(DOCUMENT) + "\n"
"""The parts are in the order of the code. Pages and generated clients keep this order."""


@blueprint.get("/openapi.json")
def openapi_document() -> Response:
    """Return the OpenAPI document."""
    return Response(TEXT, content_type=JSON)
