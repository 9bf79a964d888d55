"""What the web process holds open: the key ring and a Redis client that gives up soon."""

import json
import time
from typing import Any

from bellhop.clock import Micros
from bellhop.settings import Settings
from bellhop.store import redis_clock, scripts
from bellhop.store.blocking_client import blocking, shown
from bellhop.store.keys import UNREADABLE
from bellhop.store.replication import Script, and_replicate
from bellhop.store.scripts import Command
from bellhop.telemetry.outage import redis_outage
from bellhop.trail import DAY_S
from webhook.client_address import networks, within
from webhook.intake import effects
from webhook.intake.signature import KeyRing, SigningApp

REDIS_TIMEOUT_S = 1.0
"""For connecting and for each answer. Tried twice at most (every script may be repeated), so a webhook has its 503
within five seconds: Stream gives up on a try after six."""
CLOCK_S = 1.0
"""How long Redis's clock is known from one look at it."""
UNREADABLE_KEPT = 100
UNREADABLE_BYTES = 65_536


class WebContext:
    """Made once for each web process."""

    def __init__(self, settings: Settings) -> None:
        self.key_ring = KeyRing(
            SigningApp(
                app.tenant, tuple(app.api_keys), tuple(secret.get_secret_value().encode() for secret in app.api_secrets)
            )
            for app in settings.stream_apps
        )
        self.settings = settings
        self._networks = networks(settings.webhook_networks)
        self.trail_ttl_s = settings.trail_days * DAY_S
        self.redis = blocking(
            settings.redis_url, timeout_s=REDIS_TIMEOUT_S, repeats=1, connections=settings.web_threads + 2
        )
        self.outage = redis_outage(shown(settings.redis_url))
        self._ahead_us, self._look_at = 0, 0.0
        self.writes_per_minute = settings.api_writes_per_minute
        self.intake: Script = self.redis.register_script(scripts.source("calls/take_event"))
        if settings.redis_wait_replicas:
            self.intake = and_replicate(self.redis, scripts.source("calls/take_event"), settings.redis_wait_replicas)

    def welcomes(self, address: str | None) -> bool:
        """Tell whether webhooks may come from `address`."""
        return not self._networks or within(address, self._networks)

    def now(self) -> Micros:
        """The time by Redis's clock (unix µs), by which rings end, however this machine's is set. Raises RedisError."""
        if time.monotonic() >= self._look_at:
            self._ahead_us = time.time_ns() // 1000 - redis_clock.of(self.redis.time())
            self._look_at = time.monotonic() + CLOCK_S
        return Micros(time.time_ns() // 1000 - self._ahead_us)

    def rules(self, tenant: str) -> effects.EffectRules:
        """What an event's effects depend on besides the event."""
        settings = self.settings
        shown = tuple(settings.mail_custom_fields)
        return effects.EffectRules(tenant, settings.ring_default_s, settings.missed_grace_s, shown)

    def run(self, command: Command) -> Any:
        """Run one of the registry's commands."""
        return self.redis.register_script(scripts.source(command.script))(command.keys, command.args)

    def keep_unreadable(self, tenant: str, body: bytes, reason: str, now: Micros) -> None:
        """Keep a verified body that could not be read; the last hundred of them, for as long as a trail."""
        text = body[:UNREADABLE_BYTES].decode("utf-8", "backslashreplace")
        entry = json.dumps({"at": now, "tenant": tenant, "reason": reason, "body": text})
        pipeline = self.redis.pipeline()
        pipeline.lpush(UNREADABLE, entry)
        pipeline.ltrim(UNREADABLE, 0, UNREADABLE_KEPT - 1)
        pipeline.expire(UNREADABLE, self.trail_ttl_s)
        pipeline.execute()
