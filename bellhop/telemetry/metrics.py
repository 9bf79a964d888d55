"""What Bellhop counts and times; docs/metrics.md explains each.

A process counts in memory and adds what it has counted to one Redis hash every second (`Tally`), so that any web
process can show the sums of all processes on all machines, also of workers that no scraper can reach. A process that
is killed takes what it counted in its last second with it.
"""

import asyncio
import contextlib
import json
import os
import re
import threading
from bisect import bisect_left
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple
from uuid import uuid4

from redis.exceptions import RedisError

from bellhop.clock import MICROS_PER_SECOND, Micros, Seconds, elapsed
from bellhop.domain.device import Device
from bellhop.domain.outcomes import NOTHING_LEFT, AttemptResult, Outcome
from bellhop.domain.push import Push
from bellhop.store.async_client import Store
from bellhop.store.keys import METRICS_KEY, flushes_key

FLUSH_S = 1.0
FLUSH_TTL_S = 3600
"""How long Redis remembers which flush of a process was its last."""
MOST_SAMPLES = 10_000
"""What would be more than this is only counted, in bellhop_metrics_dropped_total."""

STEPS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Upper bounds of a histogram's buckets, in seconds."""

Sample = tuple[str, ...]


class Tally:
    """What this process has counted and not yet told Redis. Threads may share it."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget everything: a forked child must not tell what its parent counted."""
        self._lock = threading.Lock()
        self._process, self._flushes = uuid4().hex, 0
        self._counts: dict[Sample, int] = {}
        self._times: dict[Sample, list[int]] = {}
        """Of each series of a histogram: how many fell into each bucket, and their sum in µs."""
        self._batch: list[str] = []

    def add(self, sample: Sample) -> None:
        """Count one more."""
        with self._lock:
            self._counts[sample] = self._counts.get(sample, 0) + 1

    def observe(self, series: Sample, took_s: Seconds) -> None:
        """Count one more that took so long."""
        with self._lock:
            times = self._times.get(series) or self._times.setdefault(series, [0] * (len(STEPS_S) + 2))
            times[bisect_left(STEPS_S, took_s)] += 1
            times[-1] += int(took_s * MICROS_PER_SECOND)

    def flush(self) -> tuple[str, list[str], list[str]] | None:
        """Name the script that tells Redis, its keys and arguments; the same again until `flushed` is called."""
        if not self._batch:
            with self._lock:
                counts, self._counts = self._counts, {}
                series, self._times = self._times, {}
            for name, (*buckets, total) in series.items():
                counts |= {(*name, str(number)): count for number, count in enumerate(buckets) if count}
                counts[(*name, "sum")] = total
            self._flushes += 1
            self._batch = [part for sample, amount in counts.items() for part in (json.dumps(sample), str(amount))]
        if not self._batch:
            return None
        limits = (self._flushes, FLUSH_TTL_S, MOST_SAMPLES)
        return "metrics/add_metrics", [METRICS_KEY, flushes_key(self._process)], [*map(str, limits), *self._batch]

    def flushed(self) -> None:
        """Take note that Redis has answered."""
        self._batch = []


TALLY = Tally()
os.register_at_fork(after_in_child=TALLY.clear)


class Counter(NamedTuple):
    """Something that is counted."""

    name: str
    help: str
    labels: tuple[str, ...] = ()

    def add(self, *values: str) -> None:
        """Count one more with these values of the labels."""
        TALLY.add((self.name, *values))


class Histogram(NamedTuple):
    """Something that takes time."""

    name: str
    help: str
    labels: tuple[str, ...] = ()

    def observe(self, took_s: Seconds, *values: str) -> None:
        """Count one more that took so long, with these values of the labels."""
        TALLY.observe((self.name, *values), took_s)


WEBHOOKS = Counter("bellhop_webhooks_total", "Verified webhooks, by what became of them.", ("type", "verdict"))
REFUSED = Counter("bellhop_webhooks_refused_total", "Requests that were not verified.", ("reason",))
WEBHOOK_AGE = Histogram("bellhop_webhook_age_seconds", "From Stream's stamp to the webhook's arrival.", ("type",))
INTAKE = Histogram("bellhop_intake_seconds", "From a webhook's arrival to our answer.")
QUEUE_WAIT = Histogram("bellhop_queue_wait_seconds", "From queuing a job to a worker's beginning it.", ("queue",))
FENCE = Histogram("bellhop_fence_seconds", "Asking Redis whether the phones still ring.")
PROVIDER = Histogram("bellhop_provider_seconds", "One attempt, up to the provider's answer.", ("provider", "app"))
DELIVERY = Histogram(
    "bellhop_delivery_seconds", "From a webhook's arrival to a provider's acceptance.", ("kind", "provider")
)
ATTEMPTS = Counter(
    "bellhop_attempts_total",
    "Attempts to hand a push to a provider.",
    ("provider", "app", "kind", "outcome", "reason"),
)
PUSHES = Counter(
    "bellhop_pushes_total", "Pushes sent or not, by final outcome.", ("provider", "app", "kind", "outcome")
)
TOKENS = Counter("bellhop_dead_tokens_total", "Tokens that a provider called dead.", ("provider", "app", "done"))
SETTLED = Counter("bellhop_settled_total", "Recipients whose standing in a round became final.", ("standing",))
MAIL = Counter("bellhop_mail_total", "Missed-call e-mails, by outcome.", ("outcome",))
RECEIPTS = Counter("bellhop_receipts_total", "Phones that said they rang.", ("provider", "verdict"))
RANG = Histogram("bellhop_rang_seconds", "From Stream's stamp of a ring to the phone's receipt.", ("provider",))
DROPPED = Counter("bellhop_metrics_dropped_total", "Counts that had no room among the samples.")

METRICS: tuple[Counter | Histogram, ...] = (
    WEBHOOKS, REFUSED, WEBHOOK_AGE, INTAKE, QUEUE_WAIT, FENCE, PROVIDER, DELIVERY, ATTEMPTS, PUSHES, TOKENS, SETTLED,
    MAIL, RECEIPTS, RANG, DROPPED,
)  # fmt: skip


def attempted(push: Push, answer: AttemptResult, took_s: Seconds, now: Micros) -> None:
    """Count an attempt that took so long and ended `now`."""
    device = push.device
    ATTEMPTS.add(device.provider, device.app, push.kind, answer.outcome, _word(answer.reason))
    if answer.outcome not in NOTHING_LEFT:
        PROVIDER.observe(took_s, device.provider, device.app)
    if answer.outcome is Outcome.ACCEPTED and push.queued_at:
        DELIVERY.observe(elapsed(push.queued_at, now), push.kind, device.provider)


def finished(kind: str, device: Device | None, outcome: Outcome) -> None:
    """Count what became of a push in the end; without a device, of a user that gets none."""
    provider, app = (device.provider, device.app) if device else ("", "")
    # Users may register devices for any app: only an app with credentials is fit for a label.
    known = outcome not in {Outcome.NO_CREDENTIALS, Outcome.SAME_PHONE}
    PUSHES.add(provider, app if known else "", kind, outcome)


@lru_cache(maxsize=1024)
def _word(reason: str) -> str:
    """Make a provider's reason fit for a label: short, and one for all that differ in their numbers only."""
    return re.sub(r"[^A-Za-z_. :-]+", "", reason)[:60]


async def keep_flushing(store: Store) -> None:
    """Tell Redis every second what was counted."""
    while True:
        await asyncio.sleep(FLUSH_S)
        await flush(store)


async def flush(store: Store) -> None:
    """Tell Redis what was counted; while it is away, keep it for the next time."""
    with contextlib.suppress(RedisError):
        if call := TALLY.flush():
            await store.script(*call)
            TALLY.flushed()


def read_samples(sums: Mapping[bytes, bytes]) -> dict[Sample, int]:
    """Read the hash at METRICS_KEY: the sum of each sample."""
    return {tuple(json.loads(sample)): int(amount) for sample, amount in sums.items()}
