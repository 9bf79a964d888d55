"""Announces that a phone rings, when its receipt comes: to the caller's app and all other destinations."""

from bellhop.clock import Micros
from bellhop.domain.announcement import AnnouncementType, about_ring
from bellhop.domain.ticket import Ticket
from bellhop.queue.job_payloads import QueuedRound
from bellhop.store.keys import round_key
from webhook.context import WebContext


def announce_ringing(context: WebContext, ticket: Ticket, user_id: str, now: Micros) -> None:
    """Announce that a phone of this user rings, once for each user. Raises redis.exceptions.RedisError.

    `user_id`: for whom the phone was rung; if that is not known, it is empty, and nothing is announced. `now`: by
    Redis's clock. It is announced again if a phone repeats its receipt: this process may have died before.
    """
    if context.audience is None or not user_id:
        return
    round_id = round_key(ticket.tenant, ticket.cid, ticket.started_at)
    facts = context.intake_redis.call("HGET", round_id, "facts")
    if facts is None:
        return
    round_ = QueuedRound.model_validate_json(facts)
    if round_.test:
        return
    command = context.audience.tell(round_, [about_ring(AnnouncementType.RINGING, round_, user_id, now)])
    if command is not None:
        context.run(command)
