"""What this process sent lately, in case Redis loses it.

A Redis that is killed, or fails over, may lose its last second: then jobs that ended run again, and the fence has
forgotten what they sent. The worker that sent a push restores its record: before it claims the same device again, and
whenever its connection to Redis was opened anew, since another worker may run the job.
"""

import asyncio
import contextlib
import time
from collections.abc import Hashable, Iterable, Sequence
from typing import NamedTuple

import structlog
from redis.exceptions import RedisError

from bellhop.clock import Micros, Seconds
from bellhop.domain.round import Round
from bellhop.store.async_client import Store
from bellhop.store.call_scripts import restore_sent
from bellhop.store.homes import Partition, partition_with
from bellhop.store.keys import call_key
from bellhop.store.retry import is_away
from bellhop.store.scripts import Command
from bellhop.telemetry import metrics

log = structlog.get_logger()

KEPT_S = Seconds(200.0)
"""How long a push is remembered: longer than the longest ring."""
MAX_REMEMBERED = 20_000
"""Pushes that are remembered; they need about 20 MB. When there are more, the oldest are forgotten."""
LOOK_S = 0.2
"""How often the connection to Redis is looked at."""
RESTORED_AT_ONCE = 100
"""Scripts in one packet, when all records are restored: rings must not wait for it."""
RECORDS_PER_SCRIPT = 500
"""With more, a script would delay other commands of Redis, and in the end have more values than Lua can unpack."""


class RoundPushes(NamedTuple):
    """The pushes of one kind in one round. Each repetition of an alert counts as a separate kind."""

    tenant: str
    cid: str
    started_at: Micros
    claim: str
    """The kind of push; for a repetition, with its number: `alert_ring.2`."""

    @classmethod
    def of(cls, round_: Round, claim: str) -> "RoundPushes":
        """Name the pushes of this kind in a round."""
        return cls(round_.tenant, round_.cid, round_.started_at, claim)


class SentPushes:
    """The pushes that providers accepted from this process, with their lines for the trail."""

    def __init__(self, worker: str, kept_s: Seconds = KEPT_S, max_remembered: int = MAX_REMEMBERED) -> None:
        self._worker, self._kept_s, self._max_remembered = worker, kept_s, max_remembered
        self._lines: dict[tuple[RoundPushes, str], tuple[float, str]] = {}
        """By round, kind and device key, the oldest first: when the push was sent (monotonic seconds), and its line."""

    def remember(self, pushes: RoundPushes, device: str, line: str) -> None:
        """Remember an accepted push."""
        now = time.monotonic()
        self._lines.pop((pushes, device), None)
        self._lines[pushes, device] = now, line
        while len(self._lines) > self._max_remembered or next(iter(self._lines.values()))[0] < now - self._kept_s:
            del self._lines[next(iter(self._lines))]

    def restore(self, pushes: RoundPushes, devices: Iterable[str]) -> Command | None:
        """Return the script that restores the records of those devices that are remembered; None if there are none."""
        found = [(device, self._lines.get((pushes, device))) for device in devices]
        sent = [(device, remembered[1]) for device, remembered in found if remembered is not None]
        return restore_sent(*pushes, worker=self._worker, sent=sent) if sent else None

    async def keep_restoring(self, store: Store) -> None:
        """Restore the records of each partition whenever the connection to its server was opened anew."""
        async with asyncio.TaskGroup() as group:
            for partition in store.partitions:
                at = store.at(partition)
                group.create_task(self._keep_restoring(partition, at, at.connection))

    async def _keep_restoring(self, partition: Partition, store: Store, connection: Hashable) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            with contextlib.suppress(RedisError):
                if store.connection is None:  # an idle worker sends no other command that would connect
                    await store.call("PING")
                if store.connection != connection:
                    newest = store.connection
                    await self._restore_all(store, partition)
                    connection = newest

    async def _restore_all(self, store: Store, partition: Partition) -> None:
        """Restore every record of a partition, the latest first: it is most likely to be lost."""
        by_round: dict[RoundPushes, list[str]] = {}
        for pushes, device in reversed(self._lines):
            if partition_with(call_key(pushes.tenant, pushes.cid), store.partitions) == partition:
                by_round.setdefault(pushes, []).append(device)
        commands = [
            command
            for pushes, devices in by_round.items()
            for first in range(0, len(devices), RECORDS_PER_SCRIPT)
            if (command := self.restore(pushes, devices[first : first + RECORDS_PER_SCRIPT]))
        ]
        for first in range(0, len(commands), RESTORED_AT_ONCE):
            await _restore(store, commands[first : first + RESTORED_AT_ONCE])


async def _restore(store: Store, commands: Sequence[Command]) -> None:
    """Run scripts in any order. If Redis refuses one of them, the others have run, and none is repeated."""
    try:
        answers = await store.together(*commands, in_order=False)
    except RedisError as error:
        if is_away(error):
            raise
        log.error("redis_refuses", step=commands[0].script, error=type(error).__name__, text=str(error)[:200])
        return
    for answer in answers:
        note_restored(answer)


def note_restored(answer: Sequence[int]) -> None:
    """Count and log what restore_sent.lua restored."""
    in_time, sent_again = answer
    if not in_time and not sent_again:
        return
    for _ in range(in_time):
        metrics.LOST_RECORDS.add("restored")
    for _ in range(sent_again):
        metrics.LOST_RECORDS.add("sent_again")
    log.warning("redis_lost_records", restored=in_time, sent_again=sent_again)
