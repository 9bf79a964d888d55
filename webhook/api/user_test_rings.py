"""/v1/users/<id>/test-ring: ring the user's own phones, and return the result of each phone."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal

import structlog
from flask import Blueprint
from pydantic import ConfigDict, StringConstraints

from bellhop.call_index import NewEntry
from bellhop.clock import Micros, as_datetime
from bellhop.domain import round_of_test
from bellhop.domain.outcomes import Outcome
from bellhop.domain.push import RINGING, PushKind
from bellhop.domain.round import Round
from bellhop.explain.delivery import Delivery
from bellhop.explain.explanation import RoundExplanation, explain
from bellhop.field_docs import DocumentedModel
from bellhop.queue.job_payloads import job, queued_round
from bellhop.queue.names import RING_JOB
from bellhop.store.blocking_client import together
from bellhop.store.call_scripts import EventToTake, keep_test, take_event
from bellhop.store.keys import call_key, test_rings_key
from bellhop.store.stored_trail import read_stored_trail
from bellhop.telemetry import metrics
from bellhop.telemetry.correlation import origin
from bellhop.trail import PhoneRang, PhoneReported, WebhookReceived, encode, read_trail
from webhook.api.operation import ApiRequest, Operations, limit_requests
from webhook.api_errors import ApiError, ApiErrorKind
from webhook.intake.apply import webhook_digest
from webhook.intake.stream_clock import StreamTime

MOST_PER_MINUTE = 5
"""How many test rings of one user may begin in a minute. Requests of backends and of the user count together."""

blueprint = Blueprint("test_rings", __name__, url_prefix="/v1")
operations = Operations(blueprint, "Test rings")
log = structlog.get_logger()


AskedBy = Literal["user", "backend", "console"]
"""Who asked for a test ring: a label of the metric."""


class _OfTest(DocumentedModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RingToTest(_OfTest):
    """The options of a test ring."""

    call_cid: Annotated[str, StringConstraints(pattern=r"^(?:[A-Za-z0-9_-]{1,64}:[A-Za-z0-9_.-]{1,64})?$")] = ""
    """The call that the pushes name, type and id. By default `default:bellhop-test-…`, which Stream does not know."""


class StartedTest(_OfTest):
    """A test ring that has begun."""

    id: str
    """Names the test: GET …/test-ring/<id> returns its result."""
    call_cid: str
    """The call that the pushes name."""
    ends_at: datetime
    """Until when the phones may ring."""


class PhoneInTest(_OfTest):
    """The result of the push to one phone."""

    device: str
    """The device's id."""
    name: str
    """The phone's name for people."""
    provider: str
    again: bool
    """Whether this is the second push, because the phone did not report the first in time."""
    outcome: str
    """The outcome in one word (docs/outcomes.md); accepted if the provider took the push."""
    accepted_after_ms: int | None
    """How long after the start the provider accepted the push; null if it did not."""
    rang_after_ms: int | None
    """How long after the start the phone reported that it rang; null if it did not."""
    reports: list[str]
    """What else the phone reported."""
    sentence: str
    """The same for people, with the reason if the phone was not rung."""


class ResultOfTest(_OfTest):
    """The result of a test ring so far."""

    id: str
    started_at: datetime
    ends_at: datetime
    over: bool
    """Whether the time to ring is over. A report may still come for two minutes."""
    summary: str
    """The result for people. It says why if no phone was rung: no suitable phone, or the user wants no calls now."""
    phones: list[PhoneInTest]


@operations.operation("POST", "/users/{user_id}/test-ring", body=RingToTest, answer=StartedTest, status=202)
def start_test_ring(request: ApiRequest, wanted: RingToTest) -> StartedTest:
    """Ring all phones of the user as a test, for 30 seconds."""
    test_id = round_of_test.new_id()
    round_ = begin_test_ring(request, test_id, "user" if request.by_user else "backend", wanted.call_cid)
    return StartedTest(id=test_id, call_cid=round_.shown_cid or round_.cid, ends_at=as_datetime(round_.deadline))


def begin_test_ring(request: ApiRequest, test_id: str, asked_by: AskedBy, shown_cid: str = "") -> Round:
    """Begin a test ring. Raises ApiError if there were too many in this minute."""
    limit_requests(request, test_rings_key, MOST_PER_MINUTE)
    arrival = _now(request, test_id)
    round_ = round_of_test.round_of_test(request.tenant, request.user_id, arrival.now, test_id, shown_cid)
    _begin(request, round_, arrival)
    metrics.TEST_RINGS.add(asked_by)
    log.info("test_ring", test=test_id, by_user=request.by_user)
    return round_


@operations.operation(
    "GET",
    "/users/{user_id}/test-ring/{test_id}",
    answer=ResultOfTest,
    errors=(ApiErrorKind.TEST_NOT_FOUND,),
)
def read_test_ring(request: ApiRequest, test_id: str) -> ResultOfTest:
    """Return the result of a test ring: of each phone, whether its push was accepted, and whether it rang."""
    if not round_of_test.is_id(test_id):
        raise ApiError(ApiErrorKind.TEST_NOT_FOUND)
    cid = round_of_test.cid_of(test_id)
    stored = read_stored_trail(request.context.redis, request.tenant, cid)
    found = explain(cid, read_trail(stored.lines), request.user_id, stored.now, stored.told, stored.today)
    rounds = [round_ for round_ in found.rounds if round_.kind == round_of_test.KIND and round_.people]
    if not rounds:  # of another user, or of nobody
        raise ApiError(ApiErrorKind.TEST_NOT_FOUND)
    round_, [verdict] = rounds[0], rounds[0].people
    return ResultOfTest(
        id=test_id,
        started_at=as_datetime(round_.started_at),
        ends_at=as_datetime(round_.until),
        over=_now(request, test_id).now >= round_.until,
        summary=verdict.verdict,
        phones=[_phone(round_, delivery) for delivery in verdict.deliveries if delivery.kind in RINGING],
    )


def _now(request: ApiRequest, test_id: str) -> StreamTime:
    """Return the time by Stream's clock, in which rounds are kept."""
    call = call_key(request.tenant, round_of_test.cid_of(test_id))
    clock = request.context.intake.clocks[request.tenant].beside(call)
    return clock.at_arrival(None, request.context.now(), may_be_late=False)


def _begin(request: ApiRequest, round_: Round, arrival: StreamTime) -> None:
    """Keep the round's facts for the receipts of its phones, and queue its ring. It is not opened in the call."""
    context, digest = request.context, webhook_digest(round_.tenant, round_.cid)
    redis_now = Micros(arrival.now + arrival.redis_ahead_us)
    queued = queued_round(round_, origin(digest, redis_now))
    together(context.redis, *keep_test(queued))
    entry = NewEntry(round_.cid, {request.user_id: ""}, redis_now, begins=True) if context.settings.console else None
    event = EventToTake(
        round_.tenant,
        round_.cid,
        digest,
        arrival.now,
        line=_line(round_, redis_now, arrival.redis_ahead_us),
        repeated_line="",
        trail_ttl_s=context.intake.trail_ttl_s,
        settle_at=arrival.now,
        jobs=[job(f"ring-{digest}", RING_JOB, queued)],
        redis_ahead_us=arrival.redis_ahead_us,
        listed=entry.for_tenant() if entry else None,
    )
    lists = entry.for_users(round_.tenant, context.intake.trail_ttl_s) if entry else []
    context.intake_redis.run(take_event(event), *lists)


def _line(round_: Round, redis_now: Micros, redis_ahead_us: int) -> str:
    return encode(
        WebhookReceived(
            at=redis_now,
            type=round_of_test.EVENT,
            stamp=round_.started_at,
            users=tuple(recipient.id for recipient in round_.recipients),
            round=round_.started_at,
            callers=(round_.caller_id,),
            until=round_.deadline,
            redis_ahead_us=redis_ahead_us or None,
        )
    )


def _phone(round_: RoundExplanation, delivery: Delivery) -> PhoneInTest:
    own = [entry for entry in round_.timeline if entry.device == delivery.device]
    accepted = [attempt.after_us for attempt in delivery.attempts if attempt.outcome == Outcome.ACCEPTED]
    rang = [entry.after_us for entry in own if entry.what == PhoneRang.what]
    return PhoneInTest(
        device=delivery.device,
        name=delivery.label,
        provider=delivery.provider,
        again=delivery.kind == PushKind.SECOND_RING,
        outcome=delivery.outcome,
        accepted_after_ms=_ms(accepted),
        rang_after_ms=_ms(rang),
        reports=[entry.outcome for entry in own if entry.what == PhoneReported.what],
        sentence=delivery.sentence,
    )


def _ms(after_us: Sequence[Micros | None]) -> int | None:
    return max(0, (after_us[0] or 0) // 1000) if after_us else None
