"""Prune dead tokens, only on the provider's word about that token, never because of our own misconfiguration.

A token is removed only if a provider reports that very token as dead, as of a time after it was registered, and only if
it is still the same registration. If an abnormal share of an app's tokens dies within a window, the brake stops all
removing for the app, and the log says so: a wrong key, topic or project can make every token look dead.
"""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field

import structlog
from redis.exceptions import RedisError

from bellhop.clock import Seconds
from bellhop.domain.device import Device, Provider
from bellhop.domain.outcomes import MEANING, Outcome
from bellhop.store import registry
from bellhop.store.async_client import Store
from bellhop.store.keys import token_window_key
from bellhop.store.steps import run_steps
from bellhop.telemetry import metrics
from bellhop.trail import TokenFate
from worker.announcements.announcer import Announcer
from worker.delivery.attempt import Delivered

log = structlog.get_logger()

FATES = {
    "removed": TokenFate.REMOVED,
    "changed": TokenFate.CHANGED,
    "braked": TokenFate.BRAKED,
    "brake set": TokenFate.BRAKED,
}
"""What each answer of `registry.prune_token` means for the token."""

App = tuple[Provider, str]


@dataclass(frozen=True, slots=True)
class PruningPolicy:
    """When the brake is set, and how often its counts are written."""

    brake: registry.BrakeLimits = field(default_factory=registry.BrakeLimits)
    count_every_s: Seconds = Seconds(1.0)
    """How often each worker adds its accepted pushes to those of all workers."""


DEFAULT_POLICY = PruningPolicy()


class TokenPruner:
    """Applies to the registry what providers answer about tokens."""

    def __init__(
        self, store: Store, policy: PruningPolicy = DEFAULT_POLICY, announcer: Announcer | None = None
    ) -> None:
        self._store, self._policy, self._announcer = store, policy, announcer
        self._accepted: Counter[App] = Counter()

    async def update_registry(self, tenant: str, device: Device, result: Delivered) -> TokenFate | None:
        """Apply the result of a push to `device`, which is as the registry has it.

        Returns what happened to its registration; None if nothing did.
        """
        try:
            return await self._update(tenant, device, result)
        except RedisError as error:
            # Nothing is lost: the provider answers the same to the next push for this token.
            log.warning("registry_not_updated", device=device.key, error=type(error).__name__)
            return None

    async def keep_counting(self) -> None:
        """Count the accepted pushes of all workers in Redis, so that the brake knows the share of dead tokens."""
        while True:
            await asyncio.sleep(self._policy.count_every_s)
            await self._write_accepted()

    async def _write_accepted(self) -> None:
        """Add this worker's accepted pushes to those of all workers."""
        accepted, self._accepted = self._accepted, Counter()
        for app, number in accepted.items():
            key = token_window_key("answered", *app, self._window())
            await asyncio.gather(
                self._store.call("INCRBY", key, number),
                self._store.call("EXPIRE", key, self._policy.brake.window_s),
            )

    async def _update(self, tenant: str, device: Device, result: Delivered) -> TokenFate | None:
        if result.outcome is Outcome.ACCEPTED:
            self._accepted[device.provider, device.app] += 1
            if result.push.device != device:
                return await self._replace(tenant, device, result.push.device)
        elif result.outcome is Outcome.SIGNED_OUT:
            await run_steps(registry.remove_moved(tenant, device), self._store)
        elif MEANING[result.outcome].prune and result.last is not None:
            since = result.last.dead_since
            if since is not None and since <= device.registered_at:
                return TokenFate.NEWER
            return await self._prune(tenant, device, result.last.reason)
        return None

    async def _replace(self, tenant: str, device: Device, working: Device) -> TokenFate:
        """Store the environment in which the token was accepted."""
        await self._store.script(*registry.replace(tenant, device, working))
        log.info("device_moved", device=device.key, app=device.app, to=working.environment)
        return TokenFate.MOVED

    async def _prune(self, tenant: str, device: Device, reason: str) -> TokenFate:
        # In a large ring, many tokens may die before the accepted pushes are written the next time.
        await self._write_accepted()
        done = await run_steps(registry.prune_token(tenant, device, self._window(), self._policy.brake), self._store)
        if done == "brake set":
            log.error("token_removal_stopped", app=device.app)
        metrics.TOKENS.add(device.provider, device.app, done)
        log.info("token_dead", device=device.key, app=device.app, reason=reason, done=done)
        await self._announce(done, tenant, device, reason)
        return FATES[done]

    async def _announce(self, done: str, tenant: str, device: Device, reason: str) -> None:
        if self._announcer is None:
            return
        if done == "removed":
            await self._announcer.device_removed(tenant, device, reason)
        elif done == "brake set":
            sentence = f"So many tokens of {device.app} died at once that Bellhop removes none for an hour."
            await self._announcer.alarm("token_removal_stopped", f"{device.provider} {device.app}", sentence)

    def _window(self) -> int:
        return int(time.time()) // self._policy.brake.window_s
