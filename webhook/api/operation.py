"""What every operation of the /v1 interface has in common: who asks, for whom, how often, and with what body."""

import time
from collections.abc import Callable
from functools import wraps
from typing import Any, NamedTuple, cast

from flask import Blueprint, Response, current_app, request
from pydantic import TypeAdapter, ValidationError

from bellhop.domain.device import UserId
from bellhop.store.keys import writes_key
from bellhop.validation_messages import said
from webhook import auth
from webhook.api_errors import ApiProblem, Problem
from webhook.context import WebContext
from webhook.openapi import JSON, Operation

MAX_BODY = 16_384
"""Bytes; a device with the longest token takes about five thousand."""
ME = "me"

OF_TOKENS = (
    Problem.NO_TOKEN,
    Problem.BAD_TOKEN,
    Problem.EXPIRED_TOKEN,
    Problem.EARLY_TOKEN,
    Problem.LIMITED_TOKEN,
    Problem.UNKNOWN_APP,
)
ALWAYS = (
    *OF_TOKENS,
    Problem.ANOTHER_USER,
    Problem.NO_ONE,
    Problem.NOT_FOUND,
    Problem.REDIS_AWAY,
)
OF_WRITES = (Problem.TOO_MANY_WRITES,)
OF_BODIES = (Problem.NOT_JSON, Problem.TOO_LARGE, Problem.UNSUPPORTED_MEDIA_TYPE, Problem.INVALID)

_user_id: TypeAdapter[str] = TypeAdapter(UserId)


class ApiRequest(NamedTuple):
    """An operation that may go ahead."""

    context: WebContext
    tenant: str
    user_id: str
    """Whom it is about."""


class Operations:
    """The operations of a blueprint, routed and listed by the same decorator."""

    def __init__(self, blueprint: Blueprint) -> None:
        self.blueprint = blueprint
        self.listed: list[Operation] = []

    def operation(
        self, method: str, path: str, *, body: Any = None, answer: Any = None, problems: tuple[Problem, ...] = ()
    ) -> Callable[[Callable[..., Any]], Callable[..., Response]]:
        """Route `method` and `path` to a view: (Asked, the body if there is one, the path's other parts) -> answer."""
        takes, gives = (TypeAdapter(shape) if shape is not None else None for shape in (body, answer))
        writes = method != "GET"

        def decorate(view: Callable[..., Any]) -> Callable[..., Response]:
            summary = (view.__doc__ or "").splitlines()[0]
            listed = ALWAYS + (OF_WRITES if writes else ()) + (OF_BODIES if takes else ()) + problems
            self.listed.append(Operation(method, f"/v1{path}", view.__name__, summary, takes, gives, listed))

            @self.blueprint.route(path.replace("{", "<").replace("}", ">"), methods=[method])
            @wraps(view)
            def run(user_id: str, **parts: str) -> Response:
                context = cast(WebContext, current_app.extensions["context"])
                caller = caller_of(context)
                asked = ApiRequest(context, caller.tenant, _meant(user_id, caller))
                if writes and caller.user_id is not None:
                    _count_write(asked)
                given = view(asked, _body(takes), **parts) if takes else view(asked, **parts)
                if gives is None:
                    return Response(status=204)
                return Response(gives.dump_json(given, by_alias=True) + b"\n", content_type=JSON)

            return run

        return decorate


def caller_of(context: WebContext) -> auth.Requester:
    """Who sent the request. Raises ApiProblem when its token does not say."""
    return auth.authenticate(
        context.key_ring,
        authorization=request.headers.get("Authorization"),
        api_key=request.headers.get("X-Api-Key", request.args.get("api_key")),
        now=time.time(),
    )


def _meant(user_id: str, caller: auth.Requester) -> str:
    """Whom the address means, if the caller may act for them."""
    if user_id == ME:
        if caller.user_id is None:
            raise ApiProblem(Problem.NO_ONE)
        return caller.user_id
    if caller.user_id not in (None, user_id):
        raise ApiProblem(Problem.ANOTHER_USER)
    try:
        return _user_id.validate_python(user_id)
    except ValidationError:
        raise ApiProblem(Problem.NOT_FOUND) from None


def _count_write(asked: ApiRequest) -> None:
    """Hold a user to so many writes in each minute of the clock. A backend is trusted with its own pace."""
    minute, second = divmod(int(time.time()), 60)
    key = writes_key(asked.tenant, asked.user_id, minute)
    pipeline = asked.context.redis.pipeline()
    pipeline.incr(key)
    pipeline.expire(key, 120)
    if pipeline.execute()[0] > asked.context.writes_per_minute:
        raise ApiProblem(Problem.TOO_MANY_WRITES, headers={"Retry-After": str(60 - second)})


def _body(takes: TypeAdapter[Any]) -> Any:
    """Read the request's body."""
    if request.mimetype != JSON:
        raise ApiProblem(Problem.UNSUPPORTED_MEDIA_TYPE)
    # The whole is read, up to the application's own limit: who is cut off in the middle does not see the answer.
    text = request.get_data(cache=False)
    if len(text) > MAX_BODY:
        raise ApiProblem(Problem.TOO_LARGE)
    try:
        return takes.validate_json(text)
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
    if details[0]["type"] == "json_invalid":
        raise ApiProblem(Problem.NOT_JSON)
    # Of a body that may have several shapes, the first part of the place names the shape.
    depth = 1 if takes.core_schema["type"] == "tagged-union" else 0
    errors = [{"pointer": _pointer(detail["loc"][depth:]), "detail": said(detail)} for detail in details]
    raise ApiProblem(Problem.INVALID, errors)


def _pointer(place: tuple[int | str, ...]) -> str:
    parts = (str(part).replace("~", "~0").replace("/", "~1") for part in place)
    return "#" + "".join(f"/{part}" for part in parts)
