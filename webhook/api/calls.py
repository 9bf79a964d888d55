"""GET /v1/calls/<cid>: the story of a call, for a team's backend. `bellhop explain --json` prints the same."""

from typing import Any, cast

from flask import Blueprint, Response, current_app, jsonify, request
from pydantic import TypeAdapter
from redis.exceptions import RedisError

from bellhop.explain.explanation import Explanation, explain
from bellhop.store.keys import trail_key
from bellhop.trail import read_trail
from webhook.api.operation import OF_TOKENS, caller_of
from webhook.api_errors import ApiProblem, Problem
from webhook.context import WebContext
from webhook.openapi import Operation

blueprint = Blueprint("calls", __name__, url_prefix="/v1")
DESCRIBED = Operation(
    "GET",
    "/v1/calls/{cid}",
    "explain_call",
    "Explain what became of a call, and of each person's phones. Takes a server token.",
    None,
    TypeAdapter(Explanation),
    (*OF_TOKENS, Problem.SERVER_ONLY, Problem.NOT_FOUND, Problem.REDIS_AWAY),
    query=("user",),
    also=(404,),
)


@blueprint.get("/calls/<cid>")
def call(cid: str) -> tuple[Response, int]:
    """Explain a call, or with ?user= what it came to for one person; 404 with the checks to make when it is unknown.

    Only for server tokens: a call's story names everybody in it, and their phones.
    """
    context = cast(WebContext, current_app.extensions["context"])
    caller = caller_of(context)
    if caller.user_id is not None:
        raise ApiProblem(Problem.SERVER_ONLY)
    try:
        lines: Any = context.redis.lrange(trail_key(caller.tenant, cid), 0, -1)
    except RedisError:
        raise ApiProblem(Problem.REDIS_AWAY) from None
    found = explain(cid, read_trail(lines), request.args.get("user", ""))
    return jsonify(found.as_json()), 200 if found.found else 404
