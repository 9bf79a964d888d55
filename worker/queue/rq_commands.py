"""Follows the commands that `rq` sends to this worker."""

import asyncio
from collections.abc import Callable, Sequence

import structlog

from bellhop.queue.rq_job import reason_of
from bellhop.store.async_client import Store
from bellhop.store.subscription import Subscription
from worker.queue.rq_adapter import RqCommand

log = structlog.get_logger()


class RqCommands:
    """A subscription to these channels; `obey` gets each command."""

    def __init__(self, store: Store, channels: Sequence[str], obey: Callable[[RqCommand], None]) -> None:
        self._store, self._channels, self._obey = store, channels, obey

    async def listen(self) -> None:
        """Follow the commands until the connection is lost; raises as the store does."""
        subscription = Subscription(self)
        try:
            await subscription.open(self._store.new_connection())
            subscription.subscribe(*self._channels)
            raise await asyncio.shield(subscription.lost)
        finally:
            await subscription.close()

    def subscribed(self, channel: str) -> None:
        """Do nothing: what was sent before is lost, also with RQ's own workers."""

    def received(self, channel: str, message: bytes) -> None:
        """Obey a command. A message that is not valid is logged."""
        try:
            command = RqCommand.read(message)
        except (ValueError, TypeError, LookupError) as error:
            log.error("background_failed", background="RqCommands.listen", reason=reason_of(error))
        else:
            self._obey(command)
