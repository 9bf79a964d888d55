"""GET /metrics: the counts of all processes and the current state of the installation, for Prometheus."""

import hmac
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from types import MappingProxyType
from typing import Any

from flask import Blueprint, Response, jsonify, request
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from bellhop import __version__
from bellhop.clock import Seconds
from bellhop.dead_letters import count_dead_letters
from bellhop.queue.worker_status import InstallationState, read_installation_state
from bellhop.store.cluster_facts import NodeFacts
from bellhop.store.keys import METRICS_KEY, WEB_PROCESSES, dead_letters_key
from bellhop.telemetry.metrics import METRICS, STEPS_S, Counter, Histogram, read_samples
from bellhop.telemetry.web_processes import read_web_processes
from webhook.context import web_context
from webhook.readable_part import ReadablePart, readable_part
from webhook.refused_requests import note_refusal

DAY_S = 24 * 3600
GAUGES: dict[str, tuple[str, tuple[str, ...]]] = {
    "bellhop_queue_jobs": ("Jobs by queue and state: queued, started, scheduled, failed.", ("queue", "state")),
    "bellhop_jobs_waiting_for_turn": (
        "Queued jobs of a Stream app that wait behind others of the app.",
        ("queue", "tenant"),
    ),
    "bellhop_workers": ("Live workers that serve a queue.", ("queue",)),
    "bellhop_pushes_in_flight": ("Pushes that wait for a provider's answer.", ("provider", "app")),
    "bellhop_circuit_open": ("Workers whose circuit breaker is open for the provider.", ("provider", "app")),
    "bellhop_credentials_refused": ("Workers whose credentials the provider refuses.", ("provider", "app")),
    "bellhop_live_streams": ("Live streams that web processes keep open.", ()),
    "bellhop_token_brake": ("1 while no token of the app is removed, because too many died.", ("provider", "app")),
    "bellhop_certificate_expiry_days": ("Days until an app's push certificate expires.", ("app",)),
    "bellhop_certificate_expiry_timestamp_seconds": ("When an app's push certificate expires, unix time.", ("app",)),
    "bellhop_event_requests_in_flight": ("Requests that wait for an endpoint's answer.", ("endpoint",)),
    "bellhop_event_endpoint_away": ("Workers whose events the endpoint does not take.", ("endpoint",)),
    "bellhop_event_dead_letters": ("Events that could not be sent to the endpoint for a day.", ("endpoint",)),
    "bellhop_redis_slots": ("Hash slots of a master of the Redis Cluster.", ("node",)),
    "bellhop_redis_partitions": ("Partitions of a master of the Redis Cluster.", ("node",)),
    "bellhop_redis_partitions_away": ("Partitions of a master that cannot be read now; 0 if it answers.", ("node",)),
    "bellhop_build_info": ("1, with the version of this web process.", ("version",)),
}

PROCESS_METRICS = {
    "process_cpu_seconds_total": "User and system CPU time of a worker, in seconds.",
    "process_resident_memory_bytes": "Resident memory of a worker.",
    "process_virtual_memory_bytes": "Virtual memory of a worker.",
    "process_start_time_seconds": "When a worker started, unix time.",
    "process_open_fds": "Open files and connections of a worker.",
    "process_max_fds": "Most files and connections that a worker may open.",
}

blueprint = Blueprint("metrics", __name__)


@blueprint.get("/metrics")
def metrics() -> tuple[Response, int]:
    """Show all metrics, if the request has the metrics token."""
    context = web_context()
    token = context.settings.metrics_token.get_secret_value()
    if not token:
        return jsonify(error="Metrics are off: set BELLHOP_METRICS_TOKEN."), 404
    given = request.headers.get("Authorization", "")
    if not hmac.compare_digest(given.encode("utf-8", "replace"), f"Bearer {token}".encode()):
        note_refusal("metrics", "bad_token" if given else "no_token")
        return jsonify(error="Send Authorization: Bearer and the value of BELLHOP_METRICS_TOKEN."), 401
    part = readable_part(context)
    sums: Any = part.redis.hgetall(METRICS_KEY) if part.has(METRICS_KEY) else {}
    state = read_installation_state(part.redis, part.partitions)
    endpoints = [endpoint.name for endpoint in context.settings.event_endpoints]
    dead = count_dead_letters(part.redis, [name for name in endpoints if part.has(dead_letters_key(name))])
    complete = state._replace(jobs={}, waiting={}, statuses={}) if part.away else state
    masters = part.cluster.masters if part.cluster else ()
    gauges = gauge_metrics(complete, Seconds(time.time()), _live_streams(part), dead, masters)
    page = MetricsPage([*counter_metrics(read_samples(sums)), *gauges, *process_metrics(state)])
    return Response(generate_latest(page), content_type=CONTENT_TYPE_LATEST), 200


def _live_streams(part: ReadablePart) -> int | None:
    """Count the live streams of all web processes; None if that cannot be read."""
    if not part.has(WEB_PROCESSES):
        return None
    return sum(process.live_streams for process in read_web_processes(part.redis, part.now()))


class MetricsPage(Collector):
    """The metrics of one response, as prometheus_client wants them."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self.families = families

    def collect(self) -> Iterable[Metric]:
        """Return the metrics."""
        return self.families


def counter_metrics(samples: Mapping[tuple[str, ...], int]) -> Iterator[Metric]:
    """Make metrics of the sums. Samples of another version, with unknown names or labels, are left out."""
    by_name: dict[str, dict[tuple[str, ...], int]] = defaultdict(dict)
    for (name, *labels), amount in samples.items():
        by_name[name][tuple(labels)] = amount
    for metric in METRICS:
        sums = by_name[metric.name]
        yield _counter(metric, sums) if isinstance(metric, Counter) else _histogram(metric, sums)


def _counter(metric: Counter, samples: Mapping[tuple[str, ...], int]) -> Metric:
    family = CounterMetricFamily(metric.name, metric.help, labels=metric.labels)
    for labels, amount in sorted(samples.items()):
        if len(labels) == len(metric.labels):
            family.add_metric(labels, amount)
    return family


def _histogram(metric: Histogram, samples: Mapping[tuple[str, ...], int]) -> Metric:
    family = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
    series = sorted({labels[:-1] for labels in samples if len(labels) == len(metric.labels) + 1})
    for labels in series:
        counts = accumulate(samples.get((*labels, str(step)), 0) for step in range(len(STEPS_S) + 1))
        bounds = [*(str(bound) for bound in STEPS_S), "+Inf"]
        family.add_metric(labels, list(zip(bounds, counts, strict=True)), samples.get((*labels, "sum"), 0) / 1e6)
    return family


def process_metrics(state: InstallationState) -> Iterator[Metric]:
    """Make metrics of the workers' processes."""
    for name, text in PROCESS_METRICS.items():
        kind = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
        family = kind(name, text, labels=("worker",))
        for worker, status in sorted(state.statuses.items()):
            if name in status.process:
                family.add_metric((worker,), status.process[name])
        yield family


def gauge_metrics(
    state: InstallationState,
    now: Seconds,
    live_streams: int | None,
    dead_letters: Mapping[str, int] = MappingProxyType({}),
    masters: Sequence[NodeFacts] = (),
) -> Iterator[Metric]:
    """Make metrics of the current state of the installation. `now` is unix time."""
    channels = state.channels_by_app()
    values: dict[str, Mapping[tuple[str, ...], float]] = {
        "bellhop_queue_jobs": state.jobs,
        "bellhop_jobs_waiting_for_turn": state.waiting,
        "bellhop_workers": {(queue,): len(workers) for queue, workers in state.workers.items()},
        "bellhop_pushes_in_flight": {
            app: sum(channel.in_flight for channel in of_app) for app, of_app in channels.items()
        },
        "bellhop_circuit_open": {app: sum(channel.blocked for channel in of_app) for app, of_app in channels.items()},
        "bellhop_credentials_refused": {
            app: sum(bool(channel.refused) for channel in of_app) for app, of_app in channels.items()
        },
        "bellhop_live_streams": {} if live_streams is None else {(): live_streams},
        "bellhop_token_brake": {app: any(channel.brake for channel in of_app) for app, of_app in channels.items()},
        "bellhop_certificate_expiry_days": {(app,): (at - now) / DAY_S for app, at in state.certificates().items()},
        "bellhop_certificate_expiry_timestamp_seconds": {(app,): at for app, at in state.certificates().items()},
        "bellhop_event_requests_in_flight": {
            (name,): sum(channel.in_flight for channel in of_name) for name, of_name in state.endpoints().items()
        },
        "bellhop_event_endpoint_away": {
            (name,): sum(bool(channel.away) for channel in of_name) for name, of_name in state.endpoints().items()
        },
        "bellhop_event_dead_letters": {(name,): count for name, count in dead_letters.items()},
        "bellhop_redis_slots": {(node.name,): node.slots for node in masters},
        "bellhop_redis_partitions": {(node.name,): len(node.partitions) for node in masters},
        "bellhop_redis_partitions_away": {
            (node.name,): 0 if node.can_be_read else len(node.partitions) for node in masters
        },
        "bellhop_build_info": {(__version__,): 1},
    }
    for name, (text, label_names) in GAUGES.items():
        family = GaugeMetricFamily(name, text, labels=label_names)
        for labels, value in sorted(values[name].items()):
            family.add_metric(labels, value)
        yield family
