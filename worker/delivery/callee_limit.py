"""How often one user may be rung in a minute, by all callers together.

As for callers (webhook/intake/ring_limits.py), each process counts the first rings of a minute for itself.
"""

import time
from collections import deque
from collections.abc import Iterable

import structlog
from redis.exceptions import ResponseError

from bellhop.clock import from_nanoseconds
from bellhop.domain.busy_table import BusyTable
from bellhop.domain.outcomes import Outcome
from bellhop.domain.round import Recipient, Round
from bellhop.store.async_client import Store
from bellhop.store.limit_scripts import count_for_callee
from bellhop.telemetry import metrics
from bellhop.telemetry.turned_away import TURNED_AWAY

log = structlog.get_logger()


class CalleeLimit:
    """Counts the rings of each callee."""

    def __init__(self, store: Store, most: int) -> None:
        self._store, self._most, self._busy = store, most, BusyTable()
        self._turned_away: deque[str] = deque(maxlen=1000)
        """The latest rings that are counted as turned away. The recipients of a ring may come in several parts."""

    async def called_too_often(self, round_: Round, recipients: Iterable[Recipient]) -> frozenset[str]:
        """Count a ring for each of these recipients; returns those who must not be rung. Raises RedisError.

        A ring is counted once, also if its job runs again. A counter that cannot be written stops no ring.
        """
        now, tenant = from_nanoseconds(time.time_ns()), round_.tenant
        ring = f"{round_.started_at}:{round_.cid}"
        busy = [user.id for user in recipients if self._busy.note(f"{tenant}|{user.id}", ring, now)]
        if not busy:
            return frozenset()
        try:
            counts = (count_for_callee(round_, user, self._most) for user in busy)
            answers = await self._store.together(*counts, in_order=False)
        except ResponseError as error:
            log.error("ring_not_counted", reason=str(error))
            return frozenset()
        refused = frozenset(user for user, answer in zip(busy, answers, strict=True) if answer != b"ok")
        if refused and ring not in self._turned_away:
            self._turned_away.append(ring)
            metrics.RINGS_TURNED_AWAY.add(Outcome.CALLEE_LIMIT)
            TURNED_AWAY.add(Outcome.CALLEE_LIMIT, tenant, known_app=True)
            log.warning("ring_turned_away", cid=round_.cid, outcome=Outcome.CALLEE_LIMIT, users=len(refused))
        return refused
