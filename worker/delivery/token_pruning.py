"""Keep the registry true to what providers say about tokens, and not to what our own mistakes make them say.

A token is removed only when a provider calls that very token dead, as of a moment after it was registered, and only
while it is still that registration. When an abnormal share of an app's tokens dies within a window, the brake stops
all removing for the app and says so: a wrong key, topic or project can make every token look dead.
"""

import asyncio
import time
from collections import Counter

import structlog
from redis.exceptions import RedisError

from bellhop.domain.device import Device, Provider
from bellhop.domain.outcomes import MEANING, Outcome
from bellhop.store.async_client import Store
from bellhop.store.keys import brake_key, devices_key, owner_key, token_window_key
from bellhop.store.registry import replace
from bellhop.telemetry import metrics
from bellhop.trail import TokenFate
from worker.delivery.attempt import Delivered

log = structlog.get_logger()

WINDOW_S = 600
BRAKE_S = 3600
"""How long a brake holds, from the moment it is set."""
FEWEST_DYING = 20
MOST_DYING_PERCENT = 20
"""The brake is set when at least so many tokens of an app died in the window, and more than this share of all."""
COUNT_EVERY_S = 1.0
FATES = {
    "removed": TokenFate.REMOVED,
    "changed": TokenFate.CHANGED,
    "braked": TokenFate.BRAKED,
    "brake set": TokenFate.BRAKED,
}
"""What prune_token.lua says of a token that a provider calls dead."""

App = tuple[Provider, str]


class TokenPruner:
    """What deliveries teach about tokens."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._answered: Counter[App] = Counter()

    async def learn(self, tenant: str, device: Device, result: Delivered) -> TokenFate | None:
        """Take in what became of a push to `device`, as the registry has it.

        Returns what that did to its registration.
        """
        try:
            return await self._learn(tenant, device, result)
        except RedisError as error:
            # The push is out; the provider will say the same about the token next time.
            log.warning("registry_not_updated", device=device.key, error=type(error).__name__)
            return None

    async def _learn(self, tenant: str, device: Device, result: Delivered) -> TokenFate | None:
        app = (device.provider, device.app)
        if result.outcome is Outcome.ACCEPTED:
            self._answered[app] += 1
            if result.push.device != device:
                await self._store.script(*replace(tenant, device, result.push.device))
                log.info("device_moved", device=device.key, app=device.app, to=result.push.device.environment)
                return TokenFate.MOVED
        elif MEANING[result.outcome].prune and result.last is not None:
            since = result.last.dead_since
            if since is not None and since <= device.registered_at:
                return TokenFate.NEWER
            return await self._bury(tenant, device, result.last.reason)
        return None

    async def _bury(self, tenant: str, device: Device, reason: str) -> TokenFate:
        app = (device.provider, device.app)
        window = _window()
        keys = [
            devices_key(tenant, device.user_id),
            owner_key(tenant, device.key),
            brake_key(*app),
            token_window_key("dying", *app, window),
            token_window_key("answered", *app, window),
        ]
        limits = (WINDOW_S, BRAKE_S, FEWEST_DYING, MOST_DYING_PERCENT)
        done = (
            await self._store.script("registry/prune_token", keys, [device.key, device.registered_at, *limits])
        ).decode()
        if done == "brake set":
            log.error("token_removal_stopped", app=device.app)
        metrics.TOKENS.add(*app, done)
        log.info("token_dead", device=device.key, app=device.app, reason=reason, done=done)
        return FATES[done]

    async def count(self) -> None:
        """Tell Redis, every second, how many pushes were accepted, so that the brake knows what share dies."""
        while True:
            await asyncio.sleep(COUNT_EVERY_S)
            answered, self._answered = self._answered, Counter()
            for app, number in answered.items():
                key = token_window_key("answered", *app, _window())
                await asyncio.gather(
                    self._store.call("INCRBY", key, number),
                    self._store.call("EXPIRE", key, WINDOW_S),
                )


def _window() -> int:
    return int(time.time()) // WINDOW_S
