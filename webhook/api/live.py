"""GET /v1/calls/<cid>/live: what becomes known about a ring, as server-sent events.

This view decides who may read, as in every request to /v1. `webhook/server/live_streams.py` then keeps the stream open.
"""

from flask import Blueprint, Response, request

from bellhop.store.announced_rounds import is_in_call, knows_call
from webhook.api.operation import TOKEN_ERRORS, authenticated, refuse_revoked_token
from webhook.api_errors import ApiError, ApiErrorKind
from webhook.context import WebContext, web_context
from webhook.live_reader import LiveReader, begin_stream, offers_streams
from webhook.openapi import Operation

blueprint = Blueprint("live", __name__, url_prefix="/v1")
EVENT_STREAM = "text/event-stream"
OPERATION = Operation(
    "GET",
    "/v1/calls/{cid}/live",
    "Calls",
    "watch_call",
    "Stream what becomes known about the call's rings, first what is known already. For a user token of the caller or "
    "a member, or a server token.",
    None,
    None,
    (
        *TOKEN_ERRORS,
        ApiErrorKind.NOT_IN_CALL,
        ApiErrorKind.CALL_NOT_FOUND,
        ApiErrorKind.TOO_MANY_STREAMS,
        ApiErrorKind.LIVE_IS_OFF,
        ApiErrorKind.LIVE_NEEDS_OUR_SERVER,
        ApiErrorKind.STREAMS_FULL,
        ApiErrorKind.REDIS_UNAVAILABLE,
    ),
    streams=EVENT_STREAM,
)


@blueprint.get("/calls/<cid>/live")
def watch(cid: str) -> Response:
    """Begin a stream, if the token may read the call's. The response to HEAD has the same headers and no stream."""
    context = web_context()
    requester = authenticated(context)
    refuse_revoked_token(context, requester)
    if not context.settings.live:
        raise ApiError(ApiErrorKind.LIVE_IS_OFF)
    if not offers_streams(request.environ):
        raise ApiError(ApiErrorKind.LIVE_NEEDS_OUR_SERVER)
    reader = LiveReader(requester.tenant, cid, requester.user_id, requester.expires_at_s)
    _refuse_strangers(context, reader)
    begin_stream(request.environ, reader)
    # nginx would buffer the events without this header.
    return Response(headers={"X-Accel-Buffering": "no"}, content_type=EVENT_STREAM)


def _refuse_strangers(context: WebContext, reader: LiveReader) -> None:
    call = context.redis, reader.tenant, reader.cid
    may_read = is_in_call(*call, reader.user_id) if reader.user_id else knows_call(*call) or None
    if may_read is None:
        raise ApiError(ApiErrorKind.CALL_NOT_FOUND)
    if not may_read:
        raise ApiError(ApiErrorKind.NOT_IN_CALL)
