"""Check whether a ring or a notification exceeds the limit of its caller or its call for one minute.

Only rings and notifications have limits. An event that ends a ring always counts. Each process counts the first few of
a minute for itself, so that an ordinary ring costs no command. From then on, one round trip before the event is taken
counts it in Redis, on a key of the caller and on a key of the call.
"""

from dataclasses import dataclass

import msgspec
import structlog
from redis.exceptions import RedisError

from bellhop.clock import Micros
from bellhop.domain.busy_table import BusyTable
from bellhop.domain.outcomes import Outcome
from bellhop.queue.names import RING_JOB
from bellhop.store.limit_scripts import count_for_call, count_for_caller
from bellhop.store.retry import is_away
from webhook.intake.effects import Effects, RoundWork
from webhook.intake.events import Event, Notification, Ring
from webhook.intake_redis import IntakeRedis

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class RingBounds:
    """The settings."""

    members: int
    per_caller: int
    per_call: int
    open_rounds: int


class RingLimits:
    """Counts the rings of this process, and if they are many, the rings of all processes together."""

    def __init__(self, redis: IntakeRedis, bounds: RingBounds) -> None:
        self._redis, self._bounds, self._busy = redis, bounds, BusyTable()

    def cut(self, event: Event) -> Event:
        """Leave out members of a ring or a notification that has too many: the first ones are called."""
        most = self._bounds.members
        if not isinstance(event, (Ring, Notification)) or len(event.members) <= most:
            return event
        left_out = event.left_out + len(event.members) - most
        return msgspec.structs.replace(event, members=event.members[:most], left_out=left_out)

    def refusal(self, effects: Effects, now: Micros) -> Outcome | None:
        """Count an event's ring; returns why it must call nobody, or None. `now` is the time by Stream's clock.

        Raises redis.exceptions.RedisError if a single Redis does not answer. A counter that cannot be written stops no
        ring: that of the caller may be on another server of a cluster than the call.
        """
        if not isinstance(effects.work, RoundWork):
            return None
        round_ = effects.work.payload
        ring = f"{round_.started_at}:{round_.cid}"
        by_caller = self._busy.note(f"{round_.tenant}|by|{round_.caller_id}", ring, now)
        of_call = self._busy.note(f"{round_.tenant}|of|{round_.cid}", ring, now)
        if not (by_caller or of_call):
            return None
        try:
            return self._counted(effects.work, now)
        except RedisError as error:
            if is_away(error) and len(self._redis.partitions) == 1:
                raise
            log.error("ring_not_counted", reason=str(error))
            return None

    def _counted(self, work: RoundWork, now: Micros) -> Outcome | None:
        bounds, round_ = self._bounds, work.payload
        by_caller, of_call = self._redis.run_together(
            count_for_caller(round_, bounds.per_caller),
            count_for_call(round_, bounds.per_call, bounds.open_rounds, now, rings=work.name == RING_JOB),
        )
        if of_call != b"ok":
            return Outcome.OPEN_LIMIT if of_call == b"open" else Outcome.CALL_LIMIT
        return Outcome.CALLER_LIMIT if by_caller != b"ok" else None
