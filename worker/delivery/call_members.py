"""Asks Stream for the members of a call. An event that says that a call began does not name them."""

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

from bellhop.clock import Seconds
from bellhop.domain.json_fields import identifier, text, whole_text
from bellhop.domain.round import Recipient
from bellhop.domain.stream_json import NO_CALL, NO_SESSION, NO_USER, JsonEvent, JsonMember, read_leniently
from bellhop.domain.user_wishes import blocks, muted_until
from bellhop.i18n.texts import LONGEST_TAG
from bellhop.queue.job_payloads import StartedRound
from bellhop.queue.rq_job import JobError
from bellhop.stream_api import StreamApi, StreamRefused

ANSWER_S = Seconds(10.0)
"""How long a request may take."""


class MembersUnknown(JobError):  # noqa: N818 - names what is missing
    """Stream did not say who the call's members are. RQ runs the job again later."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"it is not known who the call's members are: {reason}")
        self.reason = reason


async def with_members(round_: StartedRound, apps: Mapping[str, StreamApi]) -> StartedRound:
    """Return the round with the call's members as recipients, if it has none. `apps` are by tenant.

    Raises MembersUnknown.
    """
    if round_.recipients:
        return round_
    app = apps.get(round_.tenant)
    if app is None:
        raise MembersUnknown("this worker has no Stream app in its settings")
    try:
        async with asyncio.timeout(ANSWER_S):
            answer = await app.read_call(round_.cid)
    except StreamRefused as refused:
        if refused.status == 404:  # the call was deleted
            return round_
        raise MembersUnknown(str(refused)) from None
    except TimeoutError:
        raise MembersUnknown("no answer in time") from None
    return round_.model_copy(update={"recipients": tuple(_recipients(answer, round_.caller_id))})


def _recipients(answer: Mapping[str, Any], creator_id: str) -> Iterator[Recipient]:
    """Yield the members who are not in the call, without the user who created it, each once."""
    event = read_leniently(JsonEvent, answer)
    participants = ((event.call or NO_CALL).session or NO_SESSION).participants or ()
    done = {creator_id, "", *(identifier((participant.user or NO_USER).id) for participant in participants)}
    for member in event.members or ():
        if not isinstance(member, JsonMember):
            continue
        user = member.user or NO_USER
        user_id = identifier(user.id) or identifier(member.user_id)
        if user_id not in done:
            done.add(user_id)
            yield Recipient(
                id=user_id,
                name=text(user.name) or user_id,
                language=whole_text(user.language, LONGEST_TAG),
                muted_until=muted_until(user),
                blocks_caller=blocks(user, creator_id),
            )
