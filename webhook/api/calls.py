"""GET /v1/calls/<cid>: the explanation of a call, for a team's backend. `bellhop explain --json` prints the same."""

from flask import Blueprint, Response, request
from pydantic import TypeAdapter
from redis.exceptions import RedisError

from bellhop.explain.explanation import Explanation
from bellhop.store.stored_trail import read_stored_trail
from webhook.api.explaining_process import explain_apart, explained_json, is_long
from webhook.api.operation import TOKEN_ERRORS, authenticated
from webhook.api_errors import ApiError, ApiErrorKind
from webhook.context import web_context
from webhook.openapi import JSON, Operation

blueprint = Blueprint("calls", __name__, url_prefix="/v1")
OPERATION = Operation(
    "GET",
    "/v1/calls/{cid}",
    "Calls",
    "explain_call",
    "Explain what happened in a call, and on each user's phones. Needs a server token.",
    None,
    TypeAdapter(Explanation),
    (
        *TOKEN_ERRORS,
        ApiErrorKind.SERVER_TOKEN_REQUIRED,
        ApiErrorKind.NOT_FOUND,
        ApiErrorKind.BUSY,
        ApiErrorKind.REDIS_UNAVAILABLE,
    ),
    query=("user",),
    also=(404,),
)


@blueprint.get("/calls/<cid>")
def call(cid: str) -> tuple[Response, int]:
    """Explain a call, or with ?user= only one user's part of it; 404 with checks to make if the call is unknown.

    Only for server tokens: the explanation names every user of the call, and their phones.
    """
    context = web_context()
    requester = authenticated(context)
    if requester.user_id is not None:
        raise ApiError(ApiErrorKind.SERVER_TOKEN_REQUIRED)
    try:
        stored = read_stored_trail(context.redis, requester.tenant, cid)
    except RedisError:
        raise ApiError(ApiErrorKind.REDIS_UNAVAILABLE) from None
    explain = explain_apart if is_long(stored.lines, context.settings.web_explain_lines) else explained_json
    found, document = explain(cid, request.args.get("user", ""), stored)
    return Response(document, content_type=JSON), 200 if found else 404
