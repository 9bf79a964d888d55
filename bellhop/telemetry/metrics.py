"""Counters and histograms; docs/metrics.md explains each of them.

A process counts in memory and adds its counts to one Redis hash every second (`Tally`). So any web process can show the
sums of all processes on all machines, even of workers that a scraper cannot reach. A process that is killed loses the
counts of its last second.
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
from bellhop.store.scripts import Command
from bellhop.telemetry import last_hour
from bellhop.telemetry.turned_away import TURNED_AWAY

FLUSH_S = 1.0
FLUSH_TTL_S = 3600
"""How long Redis remembers the number of a process's last flush, so that a repeated flush counts once."""
MAX_SAMPLES = 10_000
"""Samples beyond this number are dropped, and counted in bellhop_metrics_dropped_total."""

STEPS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Upper bounds of a histogram's buckets, in seconds."""

Sample = tuple[str, ...]


class Tally:
    """The counts of this process that Redis does not have yet. Safe to use from several threads."""

    def __init__(self, most_samples: int = MAX_SAMPLES) -> None:
        self._most_samples = most_samples
        self.clear()

    def clear(self) -> None:
        """Drop all counts. A forked child must not write its parent's counts too."""
        self._lock = threading.Lock()
        self._process, self._flushes = uuid4().hex, 0
        self._counts: dict[Sample, int] = {}
        self._times: dict[Sample, list[int]] = {}
        """For each series of a histogram: the count of each bucket, and last the sum in µs."""
        self._batch: list[str] = []
        self._last_hour: dict[str, int] = {}

    def add(self, sample: Sample) -> None:
        """Add one to a sample."""
        with self._lock:
            self._counts[sample] = self._counts.get(sample, 0) + 1

    def observe(self, series: Sample, took_s: Seconds) -> None:
        """Add one to a histogram, with the time that it took."""
        with self._lock:
            times = self._times.get(series) or self._times.setdefault(series, [0] * (len(STEPS_S) + 2))
            times[bisect_left(STEPS_S, took_s)] += 1
            times[-1] += int(took_s * MICROS_PER_SECOND)

    def flush(self) -> Command | None:
        """Return the script that adds the counts to the sums, the same until `flushed` is called, or None."""
        if not self._batch:
            with self._lock:
                counts, self._counts = self._counts, {}
                series, self._times = self._times, {}
            for name, (*buckets, total) in series.items():
                counts |= {(*name, str(number)): count for number, count in enumerate(buckets) if count}
                counts[(*name, "sum")] = total
            for sample, count in counts.items():
                if entry := last_hour.entry_of(sample):
                    self._last_hour[entry] = self._last_hour.get(entry, 0) + count
            self._flushes += 1
            self._batch = [part for sample, amount in counts.items() for part in (json.dumps(sample), str(amount))]
        if not self._batch:
            return None
        limits = (self._flushes, FLUSH_TTL_S, self._most_samples)
        return Command(
            "metrics/add_metrics", [METRICS_KEY, flushes_key(self._process)], [*map(str, limits), *self._batch]
        )

    def flush_last_hour(self) -> Command | None:
        """Return the script that adds the counts of the last hour, or None. If it fails, these counts are lost."""
        entries, self._last_hour = self._last_hour, {}
        return last_hour.count(entries) if entries else None

    def flushed(self) -> None:
        """Note that Redis has the last flush."""
        self._batch = []


TALLY = Tally()
os.register_at_fork(after_in_child=TALLY.clear)


class Counter(NamedTuple):
    """A metric that only grows."""

    name: str
    help: str
    labels: tuple[str, ...] = ()

    def add(self, *values: str) -> None:
        """Add one for these values of the labels."""
        TALLY.add((self.name, *values))


class Histogram(NamedTuple):
    """A metric of how long something took."""

    name: str
    help: str
    labels: tuple[str, ...] = ()

    def observe(self, took_s: Seconds, *values: str) -> None:
        """Count an event of this duration, for these values of the labels."""
        TALLY.observe((self.name, *values), took_s)


WEBHOOKS = Counter("bellhop_webhooks_total", "Verified webhooks, by verdict.", ("type", "verdict"))
REFUSED = Counter("bellhop_webhooks_refused_total", "Requests that were not verified.", ("reason",))
REQUESTS_REFUSED = Counter(
    "bellhop_requests_refused_total", "Refused requests, other than webhooks.", ("part", "reason")
)
WEBHOOK_AGE = Histogram("bellhop_webhook_age_seconds", "From Stream's stamp to the webhook's arrival.", ("type",))
INTAKE = Histogram("bellhop_intake_seconds", "From a webhook's arrival to our answer.")
QUEUE_WAIT = Histogram("bellhop_queue_wait_seconds", "From queuing a job to its start by a worker.", ("queue",))
FENCE = Histogram("bellhop_fence_seconds", "The fence's check in Redis, before each attempt.")
PROVIDER = Histogram("bellhop_provider_seconds", "One attempt, up to the provider's answer.", ("provider", "app"))
DELIVERY = Histogram(
    "bellhop_delivery_seconds", "From a webhook's arrival until a provider accepted the push.", ("kind", "provider")
)
ATTEMPTS = Counter(
    "bellhop_attempts_total",
    "Attempts to hand a push to a provider.",
    ("provider", "app", "kind", "outcome", "reason"),
)
PUSHES = Counter(
    "bellhop_pushes_total", "Pushes, sent or not, by final outcome.", ("provider", "app", "kind", "outcome")
)
TOKENS = Counter("bellhop_dead_tokens_total", "Tokens that a provider reported as dead.", ("provider", "app", "done"))
SETTLED = Counter("bellhop_settled_total", "Recipients whose standing in a round became final.", ("standing",))
MAIL = Counter("bellhop_mail_total", "Missed-call e-mails, by outcome.", ("outcome",))
RECEIPTS = Counter("bellhop_receipts_total", "Receipts of phones that rang.", ("provider", "verdict"))
PHONE_REPORTS = Counter(
    "bellhop_phone_reports_total", "Other reports of phones about their rings.", ("event", "verdict")
)
REJECTIONS = Counter("bellhop_rejections_total", "Rejections by phones that Stream was to be told of.", ("outcome",))
RANG = Histogram("bellhop_rang_seconds", "From Stream's stamp of a ring to the phone's receipt.", ("provider",))
PHONES_DEMOTED = Counter(
    "bellhop_phones_demoted_total", "Phones that got three pushes in a row with normal priority, sent as high.", ()
)
ANNOUNCEMENTS = Counter(
    "bellhop_announcements_total", "Tries to send an announcement to a destination.", ("destination", "outcome")
)
ANNOUNCING = Histogram(
    "bellhop_announcing_seconds", "From finding something out until a destination took it.", ("destination",)
)
TEST_RINGS = Counter("bellhop_test_rings_total", "Test rings that were asked for.", ("by",))
QUESTIONS = Counter(
    "bellhop_stream_questions_total", "Questions to Stream about the state of a ring.", ("kind", "outcome")
)
LOST_RECORDS = Counter(
    "bellhop_lost_records_total", "Records of accepted pushes that Redis had lost, restored by the sender.", ("done",)
)
RINGS_TURNED_AWAY = Counter(
    "bellhop_rings_turned_away_total", "Rings that a bound turned away, for all or for some members.", ("outcome",)
)
LIVE_STREAMS = Counter("bellhop_live_streams_ended_total", "Live streams that ended, by reason.", ("end",))
LIVE_MESSAGES = Counter("bellhop_live_messages_total", "Announcements and snapshots in live streams.", ("to",))
CONSOLE_LOGINS = Counter("bellhop_console_logins_total", "Logins to the console and their ends.", ("event",))
DROPPED = Counter("bellhop_metrics_dropped_total", "Counts that were dropped because there were too many samples.")

METRICS: tuple[Counter | Histogram, ...] = (
    WEBHOOKS, REFUSED, WEBHOOK_AGE, INTAKE, QUEUE_WAIT, FENCE, PROVIDER, DELIVERY, ATTEMPTS, PUSHES, TOKENS, SETTLED,
    MAIL, RECEIPTS, PHONE_REPORTS, REJECTIONS, RANG, QUESTIONS, LOST_RECORDS, DROPPED, REQUESTS_REFUSED, CONSOLE_LOGINS,
    RINGS_TURNED_AWAY, PHONES_DEMOTED, ANNOUNCEMENTS, ANNOUNCING, TEST_RINGS,
    LIVE_STREAMS, LIVE_MESSAGES,
)  # fmt: skip


def attempted(push: Push, answer: AttemptResult, took_s: Seconds, now: Micros) -> None:
    """Count an attempt that ended `now`."""
    device = push.device
    ATTEMPTS.add(device.provider, device.app, push.kind, answer.outcome, _label(answer.reason))
    if answer.outcome not in NOTHING_LEFT:
        PROVIDER.observe(took_s, device.provider, device.app)
    if answer.outcome is Outcome.ACCEPTED and push.queued_at:
        DELIVERY.observe(elapsed(push.queued_at, now), push.kind, device.provider)


def finished(kind: str, device: Device | None, outcome: Outcome) -> None:
    """Count the final outcome of a push, or of a user who gets no push (without a device)."""
    provider, app = (device.provider, device.app) if device else ("", "")
    # Users may register devices for any app. Only apps with credentials become labels, so that their number is limited.
    known = outcome not in {Outcome.NO_CREDENTIALS, Outcome.SAME_PHONE}
    PUSHES.add(provider, app if known else "", kind, outcome)


@lru_cache(maxsize=1024)
def _label(reason: str) -> str:
    """Shorten a provider's reason for a label: without numbers, and without what stands in brackets."""
    return re.sub(r"[^A-Za-z_. :-]+", "", reason.partition(" (")[0])[:60]


async def keep_flushing(store: Store) -> None:
    """Write the counts to Redis every second."""
    while True:
        await asyncio.sleep(FLUSH_S)
        await flush(store)


async def flush(store: Store) -> None:
    """Write the counts to Redis. If Redis cannot be reached, the metrics are kept for the next flush.

    The counts of what was turned away are kept only until a flush tries to write them.
    """
    with contextlib.suppress(RedisError):
        if command := TALLY.flush():
            await store.script(*command)
            TALLY.flushed()
        if command := TALLY.flush_last_hour():
            await store.script(*command)
        if command := TURNED_AWAY.flush():
            await store.script(*command)


def read_samples(sums: Mapping[bytes, bytes]) -> dict[Sample, int]:
    """Read the hash at METRICS_KEY: the sum of each sample."""
    return {tuple(json.loads(sample)): int(amount) for sample, amount in sums.items()}
