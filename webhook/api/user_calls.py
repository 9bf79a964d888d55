"""/v1/users/<id>/calls: the user's latest calls, for the app's own list, and which missed ones the user has seen."""

import re
from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from typing import Annotated, NamedTuple

from flask import Blueprint
from flask import request as http_request
from pydantic import AwareDatetime, ConfigDict, StringConstraints, TypeAdapter, ValidationError
from pydantic import Field as Limits

from bellhop.call_index import FROM_LATEST, MAX_CALLS_OF_USER, IndexedCall, listed_calls
from bellhop.clock import Micros, as_datetime, from_datetime
from bellhop.explain.own_calls import OwnCall, OwnOutcome, own_call
from bellhop.field_docs import DocumentedModel
from bellhop.store.blocking_client import together
from bellhop.store.keys import trail_key
from bellhop.store.missed_calls import count_unseen, note_seen, read_unseen
from bellhop.store.redis_clock import read_time
from webhook.api.operation import ApiRequest, Operations
from webhook.api_errors import ApiError, ApiErrorKind

PAGE_SIZE = 25
LATEST_LINES = 1_000
"""How many lines of one trail are read, from its end."""
MILLISECOND_US = 1_000

blueprint = Blueprint("user_calls", __name__, url_prefix="/v1")
operations = Operations(blueprint, "Calls")
_time_of: TypeAdapter[datetime] = TypeAdapter(AwareDatetime)
CURSOR = re.compile(r"[0-9]{1,16}")
RFC_3339 = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ]")
"""The start of a time. Pydantic would also accept numbers."""


class _OfUser(DocumentedModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Caller(_OfUser):
    """Who made a call."""

    id: str
    name: str
    """Empty if Stream's event gave no name."""


class CallOfUser(_OfUser):
    """The latest ring of a call that the user made or got."""

    call_cid: str
    """The call's type and id, joined by a colon."""
    started_at: datetime
    """When it began to ring."""
    caller: Caller | None
    """Null if it is not known any more."""
    outcome: OwnOutcome
    """How it ended for this user; made if the user made the call."""
    seen: bool
    """False for a missed call that the user has not seen."""


class CallsOfUser(_OfUser):
    """One page of a user's latest calls, the latest first."""

    calls: list[CallOfUser]
    next: str | None
    """The cursor of the next page; null if this is the last one."""
    unseen: int
    """How many missed calls the user has not seen, on all pages."""


class SeenCalls(_OfUser):
    """Which missed calls the user has seen: those up to a time, or those that are named, or both."""

    until: AwareDatetime | None = None
    """The `started_at` of the latest call that the app shows."""
    call_cids: Annotated[
        tuple[Annotated[str, StringConstraints(max_length=255)], ...], Limits(max_length=MAX_CALLS_OF_USER)
    ] = ()


class UnseenCalls(_OfUser):
    """What is left."""

    unseen: int
    """How many missed calls the user has not seen."""


class _Query(NamedTuple):
    before: Micros
    since: Micros
    missed: bool


@operations.operation(
    "GET",
    "/users/{user_id}/calls",
    answer=CallsOfUser,
    errors=(ApiErrorKind.INVALID_QUERY, ApiErrorKind.USER_CALLS_ARE_OFF),
    query=("cursor", "since", "missed"),
)
def list_calls(request: ApiRequest) -> CallsOfUser:
    """List the latest calls that a user made or got, as the user may see them."""
    _check_that_calls_are_kept(request)
    query = _read_query()
    (stored,) = together(request.context.redis, read_unseen(request.tenant, request.user_id))
    unseen = frozenset(member.decode("utf-8", "replace") for member in stored)
    found = list(islice(_calls(request, query), PAGE_SIZE + 1))
    page = found[:PAGE_SIZE]
    return CallsOfUser(
        calls=[_shown(call, unseen) for _, call in page],
        next=str(page[-1][0].began_at) if len(found) > PAGE_SIZE else None,
        unseen=len(unseen),
    )


@operations.operation(
    "POST",
    "/users/{user_id}/calls/seen",
    body=SeenCalls,
    answer=UnseenCalls,
    errors=(ApiErrorKind.USER_CALLS_ARE_OFF,),
)
def mark_calls_seen(request: ApiRequest, seen: SeenCalls) -> UnseenCalls:
    """Note which missed calls a user has seen. It may be repeated."""
    _check_that_calls_are_kept(request)
    tenant, user_id = request.tenant, request.user_id
    # JavaScript's times have milliseconds: all calls of that millisecond count.
    until = None if seen.until is None else Micros(from_datetime(seen.until) // MILLISECOND_US * MILLISECOND_US + 999)
    commands = [*note_seen(tenant, user_id, until, seen.call_cids), count_unseen(tenant, user_id)]
    return UnseenCalls(unseen=together(request.context.redis, *commands)[-1])


def _check_that_calls_are_kept(request: ApiRequest) -> None:
    if not request.context.settings.user_calls:
        raise ApiError(ApiErrorKind.USER_CALLS_ARE_OFF)


def _read_query() -> _Query:
    args = http_request.args
    cursor, since, missed = args.get("cursor", str(FROM_LATEST)), args.get("since"), args.get("missed", "false")
    if not CURSOR.fullmatch(cursor) or missed not in ("true", "false"):
        raise ApiError(ApiErrorKind.INVALID_QUERY)
    return _Query(Micros(int(cursor)), Micros(0) if since is None else _read_time_of(since), missed == "true")


def _read_time_of(text: str) -> Micros:
    if not RFC_3339.match(text):
        raise ApiError(ApiErrorKind.INVALID_QUERY)
    try:
        return from_datetime(_time_of.validate_strings(text))
    except ValidationError:
        raise ApiError(ApiErrorKind.INVALID_QUERY) from None


def _calls(request: ApiRequest, query: _Query) -> Iterator[tuple[IndexedCall, OwnCall]]:
    """Yield the calls that the query asks for, each with its position in the list, the latest first."""
    redis, tenant, user_id = request.context.redis, request.tenant, request.user_id
    for batch in listed_calls(redis, tenant, user_id, query.before, PAGE_SIZE + 1):
        wanted = [call for call in batch if call.began_at >= query.since]
        reads = (("LRANGE", trail_key(tenant, call.cid), -LATEST_LINES, -1) for call in wanted)
        *trails, time = together(redis, *reads, ("TIME",))
        now = read_time(time)
        for call, trail in zip(wanted, trails, strict=True):
            found = own_call(call.cid, trail, user_id, now)
            if found and (not query.missed or found.outcome is OwnOutcome.MISSED):
                yield call, found
        if len(wanted) < len(batch):
            return


def _shown(call: OwnCall, unseen: frozenset[str]) -> CallOfUser:
    return CallOfUser(
        call_cid=call.cid,
        started_at=as_datetime(call.started_at),
        caller=Caller(id=call.caller, name=call.caller_name) if call.caller else None,
        outcome=call.outcome,
        seen=call.outcome is not OwnOutcome.MISSED or call.cid not in unseen,
    )
