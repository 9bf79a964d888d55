"""What all operations of /v1/users have in common: authentication, the user, the rate limit, and the body."""

import time
from collections.abc import Callable
from functools import partial, wraps
from typing import Any, NamedTuple

from flask import Blueprint, Response, request
from pydantic import TypeAdapter, ValidationError

from bellhop.clock import MICROS_PER_SECOND, Seconds
from bellhop.domain.device import UserId
from bellhop.privacy.forgetting_people import forgotten_at, lift
from bellhop.store.blocking_client import together
from bellhop.store.keys import user_key, writes_key
from bellhop.validation_messages import describe_error
from webhook.api_errors import ApiError, ApiErrorKind
from webhook.auth import Requester, authenticate
from webhook.context import WebContext, web_context
from webhook.openapi import JSON, Operation

MAX_BODY_BYTES = 16_384
"""A device with the longest token has about five thousand."""
MINUTE_S = 60
ME = "me"

TOKEN_ERRORS = (
    ApiErrorKind.MISSING_TOKEN,
    ApiErrorKind.INVALID_TOKEN,
    ApiErrorKind.EXPIRED_TOKEN,
    ApiErrorKind.REVOKED_TOKEN,
    ApiErrorKind.TOKEN_NOT_YET_VALID,
    ApiErrorKind.WRONG_AUDIENCE,
    ApiErrorKind.LIMITED_TOKEN,
    ApiErrorKind.UNKNOWN_APP,
)
COMMON_ERRORS = (
    *TOKEN_ERRORS,
    ApiErrorKind.OTHER_USER,
    ApiErrorKind.USER_ID_REQUIRED,
    ApiErrorKind.NOT_FOUND,
    ApiErrorKind.REDIS_UNAVAILABLE,
)
WRITE_ERRORS = (ApiErrorKind.RATE_LIMITED,)
BODY_ERRORS = (
    ApiErrorKind.INVALID_JSON,
    ApiErrorKind.BODY_TOO_LARGE,
    ApiErrorKind.UNSUPPORTED_MEDIA_TYPE,
    ApiErrorKind.INVALID_BODY,
)

KEPT = ("/devices", "/contact", "/preferences", "/test-ring")
"""The ends of the paths at which data about a user is stored."""

View = Callable[..., Any]

_user_id: TypeAdapter[str] = TypeAdapter(UserId)


class ApiRequest(NamedTuple):
    """An authorized request about one user."""

    context: WebContext
    tenant: str
    user_id: str
    by_user: bool = False
    """Whether the request has a user token; otherwise it has a server token."""


class Operations:
    """The operations of one blueprint. The same decorator routes each and lists it for the OpenAPI document."""

    def __init__(self, blueprint: Blueprint, tag: str) -> None:
        self.blueprint, self.tag = blueprint, tag
        self.listed: list[Operation] = []

    def operation(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        answer: Any = None,
        errors: tuple[ApiErrorKind, ...] = (),
        query: tuple[str, ...] = (),
        status: int = 200,
    ) -> Callable[[View], View]:
        """Route `method` and `path` to a view, which gets an ApiRequest, the body if there is one, and path parts.

        `body` and `answer` are types that pydantic reads and writes. A response with an answer has this `status`;
        without an answer it is 204.
        """
        body_type, answer_type = (TypeAdapter(kind) if kind is not None else None for kind in (body, answer))
        writes, keeps = method != "GET", method in ("POST", "PUT") and path.endswith(KEPT)
        all_errors = COMMON_ERRORS + (WRITE_ERRORS if writes else ()) + (BODY_ERRORS if body_type else ()) + errors

        def decorate(view: View) -> View:
            summary = (view.__doc__ or "").splitlines()[0]
            self.listed.append(
                Operation(
                    method=method,
                    path=f"/v1{path}",
                    tag=self.tag,
                    name=view.__name__,
                    summary=summary,
                    body=body_type,
                    answer=answer_type,
                    errors=all_errors,
                    query=query,
                    status=status,
                )
            )

            @self.blueprint.route(path.replace("{", "<").replace("}", ">"), methods=[method])
            @wraps(view)
            def handle(user_id: str, **path_parts: str) -> Response:
                api_request = _authorize(user_id, writes=writes, keeps=keeps)
                arguments = [_read_body(body_type)] if body_type else []
                return _response(view(api_request, *arguments, **path_parts), answer_type, status)

            return handle

        return decorate


def authenticated(context: WebContext) -> Requester:
    """Authenticate the request. Raises ApiError."""
    return authenticate(
        context.key_ring,
        authorization=request.headers.get("Authorization"),
        api_key=request.headers.get("X-Api-Key", request.args.get("api_key")),
        now_s=Seconds(time.time()),
        audiences=context.settings.api_audiences,
    )


def _authorize(user_id: str, *, writes: bool, keeps: bool) -> ApiRequest:
    context = web_context()
    requester = authenticated(context)
    refuse_revoked_token(context, requester)
    api_request = ApiRequest(context, requester.tenant, _target_user(user_id, requester), requester.user_id is not None)
    if keeps:
        _admit_forgotten(api_request, requester)
    if writes and api_request.by_user:  # a server token has no limit
        limit_requests(api_request, writes_key, context.writes_per_minute)
    return api_request


def _admit_forgotten(api_request: ApiRequest, requester: Requester) -> None:
    """End the tombstone of a user who was forgotten in the last day and registers again.

    Only a backend may do so, or a token that was issued after the user was forgotten. An app that starts with an older
    token must not bring the user back.
    """
    context = api_request.context
    run_all = partial(together, context.redis)
    forgotten = forgotten_at(run_all, api_request.tenant, api_request.user_id)
    if forgotten is None:
        return
    at, person = forgotten
    if api_request.by_user and _is_older(requester, at):
        raise ApiError(ApiErrorKind.REVOKED_TOKEN)
    lift(run_all, person)
    context.intake.forgotten.read(context.redis)


def refuse_revoked_token(context: WebContext, requester: Requester) -> None:
    """Refuse a user token that Stream has revoked.

    Stream revokes all tokens of a user that were issued before a certain time. Then a token without a time of issue is
    refused too. `iat` has whole seconds, so a token of the same second counts as new: it may have been made after that.
    """
    if requester.user_id is None:
        return
    stored: Any = context.redis.hget(user_key(requester.tenant, requester.user_id), "revoked")
    if stored and _is_older(requester, int(stored) // MICROS_PER_SECOND * MICROS_PER_SECOND):
        raise ApiError(ApiErrorKind.REVOKED_TOKEN)


def _is_older(requester: Requester, time_us: int) -> bool:
    """Return whether a token was issued before this time (unix µs), or does not say when it was issued."""
    return requester.issued_at_s is None or requester.issued_at_s * MICROS_PER_SECOND < time_us


def _target_user(user_id: str, requester: Requester) -> str:
    """Return the user that the path names, if the requester may act for that user."""
    if user_id == ME:
        if requester.user_id is None:
            raise ApiError(ApiErrorKind.USER_ID_REQUIRED)
        return requester.user_id
    if requester.user_id not in (None, user_id):
        raise ApiError(ApiErrorKind.OTHER_USER)
    try:
        return _user_id.validate_python(user_id)
    except ValidationError:
        raise ApiError(ApiErrorKind.NOT_FOUND) from None


def limit_requests(
    api_request: ApiRequest, key: Callable[[str, str, int], str], most: int, period_s: int = MINUTE_S
) -> None:
    """Raise ApiError after `most` requests about one user in one minute of the clock, or in another period.

    `key` builds the key of their count from the tenant, the user and the number of the period.
    """
    period, second = divmod(int(time.time()), period_s)
    count = key(api_request.tenant, api_request.user_id, period)
    _, made = together(api_request.context.redis, ("SET", count, 0, "NX", "EX", 2 * period_s), ("INCR", count))
    if made > most:
        raise ApiError(ApiErrorKind.RATE_LIMITED, headers={"Retry-After": str(period_s - second)})


def _read_body(body_type: TypeAdapter[Any]) -> Any:
    if request.mimetype != JSON:
        raise ApiError(ApiErrorKind.UNSUPPORTED_MEDIA_TYPE)
    # Read all of it, up to the application's own limit: a client that is cut off while sending misses the response.
    body = request.get_data(cache=False)
    if len(body) > MAX_BODY_BYTES:
        raise ApiError(ApiErrorKind.BODY_TOO_LARGE)
    try:
        return body_type.validate_json(body)
    except ValidationError as error:
        raise _body_error(error, body_type) from None


def _body_error(error: ValidationError, body_type: TypeAdapter[Any]) -> ApiError:
    details = error.errors(include_url=False, include_input=False)
    if details[0]["type"] == "json_invalid":
        return ApiError(ApiErrorKind.INVALID_JSON)
    # In a union, the first part of pydantic's location is the union's tag and not a part of the body.
    depth = 1 if body_type.core_schema["type"] == "tagged-union" else 0
    errors = [{"pointer": _pointer(detail["loc"][depth:]), "detail": describe_error(detail)} for detail in details]
    return ApiError(ApiErrorKind.INVALID_BODY, errors)


def _pointer(path: tuple[int | str, ...]) -> str:
    parts = (str(part).replace("~", "~0").replace("/", "~1") for part in path)
    return "#" + "".join(f"/{part}" for part in parts)


def _response(answer: Any, answer_type: TypeAdapter[Any] | None, status: int) -> Response:
    if answer_type is None:
        return Response(status=204)
    return Response(answer_type.dump_json(answer, by_alias=True) + b"\n", status, content_type=JSON)
