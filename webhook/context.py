"""The objects that all views of the web process share, made once for each process."""

import math
import time
from dataclasses import replace
from functools import partial
from typing import Any

from flask import current_app
from redis.exceptions import RedisError

from bellhop.audience import audience
from bellhop.clock import Micros, Seconds, micros
from bellhop.privacy.forgetting_people import KnownForgotten
from bellhop.settings import Settings
from bellhop.store.async_client import Store
from bellhop.store.blocking_client import blocking, partitions_of, run_script
from bellhop.store.blocking_cluster import ClusterRedis
from bellhop.store.redis_clock import RedisClock, read_time
from bellhop.store.redis_url import shown, shown_database
from bellhop.store.replication import ReplicatedScripts
from bellhop.store.retry import is_away
from bellhop.store.scripts import Command, RawCommand
from bellhop.telemetry.outage import RedisOutage, redis_outage
from bellhop.trail import DAY_S
from webhook.client_address import networks, within
from webhook.intake.effects import EffectRules
from webhook.intake.failure_limit import FailureLimit
from webhook.intake.former_redis import FormerRedis
from webhook.intake.frequent_repeats import FrequentRepeats
from webhook.intake.receive import FormerIntake, Intake
from webhook.intake.ring_limits import RingBounds, RingLimits
from webhook.intake.signature import BodyLimits, KeyRing, SigningApp
from webhook.intake.stream_clock import StreamClocks
from webhook.intake_redis import IntakeRedis
from webhook.loop_greenlet import on_the_loop

REDIS_TIMEOUT_S = Seconds(1.0)
"""For connecting, and for each answer. A script runs at most twice (each may be repeated), so a webhook gets its 503
within five seconds: Stream gives up on an attempt after six."""
READY_TIMEOUT_S = Seconds(0.5)
"""The same for /readyz on a cluster: load balancers do not wait long for its answer, and one node may give none."""
MAX_REQUEST = 1 << 20
"""Largest body of a request that is no webhook, in bytes."""
FORMER_TIMEOUT_S = Seconds(0.5)
"""The same for the former Redis, while the installation moves: a ring must not wait long for it."""
CLOCK_MAX_AGE_S = 1.0
"""How long a reading of Redis's clock is used."""
CLOCK_AWAY_S = 5.0
"""How long it is used if Redis does not answer: only one view at a time waits for a server that hangs."""


class WebContext:
    """Settings, key ring, Redis client, and what the intake needs."""

    def __init__(self, settings: Settings, *, threads: int = 0, is_former: bool = False) -> None:
        """`threads`: how many use the context at the same time; 0 for those of the web process.

        `is_former`: the settings name the former Redis of an installation that moves.
        """
        self.settings, self._is_former = settings, is_former
        self.key_ring = KeyRing(
            SigningApp(
                app.tenant, tuple(app.api_keys), tuple(secret.get_secret_value().encode() for secret in app.api_secrets)
            )
            for app in settings.stream_apps
        )
        self._timeout_s = FORMER_TIMEOUT_S if is_former else REDIS_TIMEOUT_S
        self.redis = blocking(
            settings.redis_url,
            timeout_s=self._timeout_s,
            repeats=1,
            connections=(threads or settings.web_threads) + 2,
            any_count=is_former,
        )
        self.cluster = _cluster(settings)
        self.outage = redis_outage(shown(settings.redis_url))
        self.audience = audience(settings)
        self.writes_per_minute = settings.api_writes_per_minute
        replicas = settings.redis_wait_replicas
        self.intake_redis = IntakeRedis(self.redis, ReplicatedScripts(self.redis, replicas) if replicas else self.run)
        self.intake = Intake(
            self.intake_redis,
            shown_database(settings.redis_url),
            self.outage,
            {app.tenant: _rules(app.tenant, settings) for app in settings.stream_apps},
            {app.tenant: StreamClocks(self.intake_redis, app.tenant) for app in settings.stream_apps},
            settings.trail_days * DAY_S,
            settings.console,
            settings.user_calls,
            RingLimits(
                self.intake_redis,
                RingBounds(
                    settings.ring_members,
                    settings.rings_per_caller,
                    settings.rings_per_call,
                    settings.open_rounds_per_call,
                ),
            ),
            micros(settings.webhook_max_age_s),
            settings.webhook_unreadable_kept,
            FrequentRepeats(settings.webhook_repeats_per_minute),
            KnownForgotten(),
            self._rings_waiting_per_app(settings),
        )
        is_moving = bool(settings.redis_former_url)
        self.former = WebContext(_former(settings), threads=threads, is_former=True) if is_moving else None
        """While the installation moves to another Redis: the context of the former one."""
        if self.former is not None:
            outage = RedisOutage("former_redis_away", "former_redis_back", address=self.former.intake.database)
            former = FormerIntake(FormerRedis(self.former.intake_redis, outage), self.former.intake)
            self.intake = replace(self.intake, former=former)
        self.refused_receipts = FrequentRepeats(1)
        self.body_limits = BodyLimits(settings.webhook_max_bytes, settings.webhook_gzip_ratio)
        self.failures = FailureLimit(settings.webhook_failures_per_minute)
        self._webhook_networks = networks(settings.webhook_networks)
        self._clock, self._clock_valid_until_s = RedisClock(), 0.0

    def _rings_waiting_per_app(self, settings: Settings) -> int:
        """Return how many rings of one app may wait in a partition; 0 if nothing bounds them."""
        if not settings.has_several_tenants:
            return 0
        return math.ceil(settings.rings_waiting_per_app / len(partitions_of(self.redis)))

    def new_store(self) -> Store:
        """Make a connection for the event loop."""
        return Store.from_url(self.settings.redis_url, timeout_s=self._timeout_s, any_count=self._is_former)

    def accepts_webhooks_from(self, address: str | None) -> bool:
        """Return whether the settings allow webhooks from `address`."""
        return not self._webhook_networks or within(address, self._webhook_networks)

    def now(self) -> Micros:
        """Return the time by Redis's clock, which decides every deadline. Raises redis.exceptions.RedisError.

        Redis is read once a second. While it is away, this process's clock counts on: on a cluster, the server that
        tells the time may be away, and the others not.
        """
        now_s = time.monotonic()
        if now_s >= self._clock_valid_until_s:
            if self._clock.is_known:
                self._clock_valid_until_s = now_s + CLOCK_AWAY_S
            self._read_clock()
        return self._clock.now()

    def _read_clock(self) -> None:
        sent_s = time.monotonic()
        try:
            redis_time = read_time(self.intake_redis.call("TIME"))
        except RedisError as error:
            if not (self._clock.is_known and is_away(error)):
                raise
        else:
            answered_s = time.monotonic()
            self._clock.note(sent_s, answered_s, redis_time)
            self._clock_valid_until_s = answered_s + CLOCK_MAX_AGE_S

    def run(self, command: Command, *behind: RawCommand) -> Any:
        """Run a script, and commands behind it; returns the script's answer. Raises redis.exceptions.RedisError."""
        run = self.intake_redis.run if on_the_loop() else partial(run_script, self.redis)
        return run(command, *behind)


def _former(settings: Settings) -> Settings:
    """Return the settings for the former Redis. It is left soon, so nothing waits for its replicas."""
    changes = {"redis_url": settings.redis_former_url, "redis_former_url": None, "redis_wait_replicas": 0}
    return settings.model_copy(update=changes)


def web_context() -> WebContext:
    """Return the context of the current Flask application."""
    context: WebContext = current_app.extensions["context"]
    return context


def _cluster(settings: Settings) -> ClusterRedis | None:
    """Return a client that reads the state of a cluster for /readyz; None for a single Redis."""
    url, connections = settings.redis_url, settings.web_threads + 2
    redis = blocking(url, timeout_s=READY_TIMEOUT_S, connections=connections, any_count=True)
    return redis if isinstance(redis, ClusterRedis) else None


def _rules(tenant: str, settings: Settings) -> EffectRules:
    return EffectRules(
        tenant,
        settings.ring_default_s,
        settings.missed_grace_s,
        custom_fields=tuple(settings.mail_custom_fields),
        call_fields=tuple(settings.push_call_fields),
        caller_fields=tuple(settings.push_caller_fields),
        started=settings.started_pushes,
        ends_rings=bool(
            settings.web_push_apps or settings.alert_ring_every or settings.event_endpoints or settings.live
        ),
    )
