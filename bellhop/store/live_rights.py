"""What Redis's user may do on the channels of live streams."""

import asyncio
import contextlib
from typing import Any

from redis.exceptions import NoPermissionError, RedisError

from bellhop.clock import Seconds
from bellhop.store.async_client import Store
from bellhop.store.keys import LIVE_PROBE
from bellhop.store.subscription import Subscription

ANSWER_S = Seconds(5.0)


async def missing_live_rights(store: Store) -> list[str]:
    """Return "publish" and "subscribe", if the user may not do that. Other errors of Redis count as no finding."""
    missing = []
    with contextlib.suppress(RedisError):
        try:
            await store.call("PUBLISH", LIVE_PROBE, "")
        except NoPermissionError:
            missing.append("publish")
    with contextlib.suppress(RedisError):
        if await _is_refused(store):
            missing.append("subscribe")
    return missing


class _Confirmation:
    """Takes the confirmation that a channel is subscribed."""

    def __init__(self) -> None:
        self.came: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def subscribed(self, channel: str) -> None:
        if not self.came.done():
            self.came.set_result(None)

    def received(self, channel: str, message: bytes) -> None: ...


async def _is_refused(store: Store) -> bool:
    """Return whether Redis refuses to subscribe."""
    confirmation = _Confirmation()
    subscription = Subscription(confirmation)
    try:
        await subscription.open(store.new_connection())
        subscription.subscribe(LIVE_PROBE)
        answers: list[asyncio.Future[Any]] = [confirmation.came, subscription.lost]
        await asyncio.wait(answers, timeout=ANSWER_S, return_when=asyncio.FIRST_COMPLETED)
        return subscription.lost.done() and isinstance(subscription.lost.result(), NoPermissionError)
    finally:
        await subscription.close()
