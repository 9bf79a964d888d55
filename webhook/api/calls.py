"""GET /v1/calls/<cid>: the explanation of a call, for a team's backend. `bellhop explain --json` prints the same."""

from typing import Any

from flask import Blueprint, Response, jsonify, request
from pydantic import TypeAdapter
from redis.exceptions import RedisError

from bellhop.explain.explanation import Explanation, explain
from bellhop.store.keys import trail_key
from bellhop.trail import read_trail
from webhook.api.operation import TOKEN_ERRORS, authenticated
from webhook.api_errors import ApiError, ApiErrorKind
from webhook.context import web_context
from webhook.openapi import Operation

blueprint = Blueprint("calls", __name__, url_prefix="/v1")
OPERATION = Operation(
    "GET",
    "/v1/calls/{cid}",
    "explain_call",
    "Explain what happened in a call, and on each user's phones. Needs a server token.",
    None,
    TypeAdapter(Explanation),
    (*TOKEN_ERRORS, ApiErrorKind.SERVER_TOKEN_REQUIRED, ApiErrorKind.NOT_FOUND, ApiErrorKind.REDIS_UNAVAILABLE),
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
        lines: Any = context.redis.lrange(trail_key(requester.tenant, cid), 0, -1)
    except RedisError:
        raise ApiError(ApiErrorKind.REDIS_UNAVAILABLE) from None
    explanation = explain(cid, read_trail(lines), request.args.get("user", ""))
    return jsonify(explanation.as_json()), 200 if explanation.found else 404
