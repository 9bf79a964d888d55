"""/v1/users/{user_id}: forget a person, and export what is kept of one (docs/privacy.md)."""

from functools import partial
from typing import Literal

import structlog
from flask import Blueprint
from pydantic import ConfigDict

from bellhop.field_docs import DocumentedModel
from bellhop.privacy.forgetting_people import forget
from bellhop.privacy.person_export import PersonExport, export
from bellhop.store.blocking_client import partitions_of, together
from bellhop.store.keys import EXPORT_RUNS, exports_key
from bellhop.store.steps import run_blocking
from webhook.api.operation import ApiRequest, Operations, limit_requests
from webhook.api_errors import ApiError, ApiErrorKind

EXPORT_LASTS_S = 120
"""After this time without an end, another export may begin: the process may have died."""
TRY_AGAIN_S = 5
MOST_PER_HOUR, HOUR_S = 3, 3600
"""How many exports a user's own token gets in an hour: each reads all keys, and keeps others from exporting."""

blueprint = Blueprint("personal_data", __name__, url_prefix="/v1")
operations = Operations(blueprint, "Privacy")
log = structlog.get_logger()


class ErasureBegun(DocumentedModel):
    """What was done, and what workers still do."""

    model_config = ConfigDict(frozen=True, json_schema_serialization_defaults_required=True)

    status: Literal["erasing"] = "erasing"
    """Devices, contact and preferences are deleted. Workers now look for the person in all other data, and again after
    ten minutes and after a day."""
    pseudonym: str
    """What trails and lists say in the place of the person's id."""


@operations.operation("DELETE", "/users/{user_id}", answer=ErasureBegun, status=202)
def forget_user(request: ApiRequest) -> ErasureBegun:
    """Forget a person: delete what belongs to the person, and make the person unreadable everywhere else."""
    context = request.context
    person = forget(partial(together, context.redis), context.run, request.tenant, request.user_id)
    context.intake.forgotten.read(context.redis)
    log.info("user_forgotten", pseudonym=person.pseudonym)
    return ErasureBegun(pseudonym=person.pseudonym)


@operations.operation(
    "GET",
    "/users/{user_id}/export",
    answer=PersonExport,
    errors=(ApiErrorKind.TOO_MANY_EXPORTS, ApiErrorKind.RATE_LIMITED),
)
def export_user(request: ApiRequest) -> PersonExport:
    """Export all that is kept of a person. It reads all keys, so one export runs at a time."""
    redis = request.context.redis
    if not redis.set(EXPORT_RUNS, "1", nx=True, ex=EXPORT_LASTS_S):
        raise ApiError(ApiErrorKind.TOO_MANY_EXPORTS, headers={"Retry-After": str(TRY_AGAIN_S)})
    try:
        if request.by_user:
            limit_requests(request, exports_key, MOST_PER_HOUR, HOUR_S)
        return run_blocking(export(request.tenant, request.user_id, partitions_of(redis)), redis)
    finally:
        redis.delete(EXPORT_RUNS)
