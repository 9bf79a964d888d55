"""Metrics: many processes count, and Redis keeps the sums."""

import json
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import yaml
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from redis.exceptions import ConnectionError as RedisConnectionError

from bellhop.domain.outcomes import AttemptResult, Outcome
from bellhop.store.keys import METRICS_KEY
from bellhop.telemetry import metrics
from bellhop.telemetry.metrics import METRICS, STEPS_S, Counter, Histogram, Tally, read_samples
from tests.factories import a_push, an_iphone
from webhook.api.metrics_page import GAUGES, MetricsPage, counter_metrics

DOCS = Path(__file__).parents[3] / "docs"


async def told(store, tally):
    name, keys, args = tally.flush()
    return await store.script(name, keys, args)


async def sums(store):
    return read_samples(await store.call("HGETALL", METRICS_KEY))


async def test_what_several_processes_counted_adds_up(store):
    for tally, amount in ((Tally(), 2), (Tally(), 3)):
        for _ in range(amount):
            tally.add(("bellhop_x_total", "a"))
            tally.observe(("bellhop_x_seconds", "a"), 0.002)
        await told(store, tally)
    assert await sums(store) == {
        ("bellhop_x_total", "a"): 5,
        ("bellhop_x_seconds", "a", "1"): 5,
        ("bellhop_x_seconds", "a", "sum"): 10_000,
    }


async def test_a_flush_with_a_lost_answer_counts_once_and_drops_none(store):
    tally = Tally()
    tally.add(("bellhop_x_total",))
    tally.add(("bellhop_x_total",))
    assert await told(store, tally) == b"counted"
    tally.add(("bellhop_x_total",))
    assert await told(store, tally) == b"already"
    tally.flushed()
    assert await told(store, tally) == b"counted"
    assert await sums(store) == {("bellhop_x_total",): 3}


async def test_nothing_counted_costs_redis_nothing(tally):
    assert tally.flush() is None


async def test_counts_wait_while_redis_is_away(store, tally, monkeypatch):
    tally.add(("bellhop_x_total",))

    async def away(*_):
        raise RedisConnectionError

    with monkeypatch.context() as patch:
        patch.setattr(store, "script", away)
        await metrics.flush(store)
    await metrics.flush(store)
    assert await sums(store) == {("bellhop_x_total",): 1}


async def test_a_label_that_anybody_can_vary_cannot_fill_redis(store):
    tally = Tally(most_samples=10)
    for number in range(10):
        tally.add(("bellhop_x_total", f"known {number}"))
    await told(store, tally)
    tally.flushed()
    for number in range(100):
        tally.add(("bellhop_x_total", f"new {number}"))
    tally.add(("bellhop_x_total", "known 1"))
    await told(store, tally)
    found = await sums(store)
    assert len(found) == 11
    assert found["bellhop_metrics_dropped_total",] == 100
    assert found["bellhop_x_total", "known 1"] == 2


FORK = """
import os
from bellhop.telemetry import metrics
metrics.INTAKE.observe(0.1)
child = os.fork()
if child == 0:
    os._exit(0 if metrics.TALLY.flush() is None else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, "the child tells what its parent counted"
assert metrics.TALLY.flush() is not None, "the parent forgot what it counted"
"""


def test_a_forked_process_does_not_tell_what_its_parent_counted():
    done = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr


def test_threads_lose_no_count(tally):
    counter = Counter("bellhop_x_total", "")
    threads = [threading.Thread(target=lambda: [counter.add() for _ in range(5_000)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert tally.flush()[2][-1] == "40000"


def exposed(tally):
    _, _, args = tally.flush()
    samples = {tuple(json.loads(sample)): int(amount) for sample, amount in zip(args[3::2], args[4::2], strict=True)}
    text = generate_latest(MetricsPage(counter_metrics(samples))).decode()
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.mark.parametrize(
    ("seconds", "not_above", "above"),
    [(0.0, 0.001, None), (0.001, 0.001, None), (0.0011, 0.0025, 0.001), (30.0, 30.0, 10.0), (99.0, None, 30.0)],
)
def test_a_time_counts_in_every_bucket_that_it_does_not_exceed(tally, seconds, not_above, above):
    metrics.INTAKE.observe(seconds)
    found = exposed(tally)
    name = "bellhop_intake_seconds"
    if not_above is not None:
        assert found[f"{name}_bucket", ("le", str(not_above))] == 1
    if above is not None:
        assert found[f"{name}_bucket", ("le", str(above))] == 0
    assert found[f"{name}_bucket", ("le", "+Inf")] == found[f"{name}_count",] == 1
    assert found[f"{name}_sum",] == pytest.approx(seconds)


def test_a_histogram_is_cumulative_and_keeps_its_series_apart(tally):
    for seconds in (*STEPS_S, *STEPS_S):
        metrics.QUEUE_WAIT.observe(seconds, "rings")
    metrics.QUEUE_WAIT.observe(1.0, "notices")
    found = exposed(tally)
    rings = [found["bellhop_queue_wait_seconds_bucket", ("le", str(step)), ("queue", "rings")] for step in STEPS_S]
    assert rings == list(range(2, 2 * len(STEPS_S) + 1, 2))
    assert found["bellhop_queue_wait_seconds_count", ("queue", "notices")] == 1


def test_any_text_may_be_a_label(tally):
    metrics.REFUSED.add('quote " back \\ line\n é \U0001f4de')
    assert exposed(tally)["bellhop_webhooks_refused_total", ("reason", 'quote " back \\ line\n é \U0001f4de')] == 1


def test_samples_of_another_version_do_no_harm():
    strange = {
        ("bellhop_gone_total", "a"): 1,
        ("bellhop_webhooks_total", "one label"): 1,
        ("bellhop_intake_seconds",): 1,
    }
    assert b" 1.0" not in generate_latest(MetricsPage(counter_metrics(strange)))


def push(queued_at=100_000_000):
    return a_push(an_iphone(app="com.example"), queued_at=queued_at)


def test_an_attempt_counts_its_answer_and_its_time(tally):
    metrics.attempted(push(), AttemptResult(Outcome.UNAVAILABLE, 503, "ServiceUnavailable"), 0.2, 100_300_000)
    metrics.attempted(push(), AttemptResult(Outcome.ACCEPTED, 200), 0.1, 100_500_000)
    found = exposed(tally)
    labels = [("app", "com.example"), ("kind", "ring")]
    failed = [*labels, ("outcome", "unavailable"), ("provider", "apns"), ("reason", "ServiceUnavailable")]
    assert found["bellhop_attempts_total", *failed] == 1
    assert found["bellhop_provider_seconds_count", ("app", "com.example"), ("provider", "apns")] == 2
    assert found["bellhop_delivery_seconds_sum", ("kind", "ring"), ("provider", "apns")] == pytest.approx(0.5)


@pytest.mark.parametrize(
    "queued_at", [0, 200_000_000], ids=["queued by an older version", "queued by a clock that runs ahead"]
)
def test_a_moment_that_is_not_known_makes_no_nonsense(tally, queued_at):
    metrics.attempted(push(queued_at), AttemptResult(Outcome.ACCEPTED, 200), 0.1, 100_000_000)
    assert exposed(tally).get(("bellhop_delivery_seconds_sum", ("kind", "ring"), ("provider", "apns")), 0.0) == 0.0


def test_reasons_that_differ_in_a_number_are_one_label(tally):
    for port in range(50):
        reason = f"cannot connect to 127.0.0.1:{port}"
        metrics.attempted(push(), AttemptResult(Outcome.UNSENT, reason=reason), 0.1, 100_000_000)
    assert len([name for name, *_ in exposed(tally) if name == "bellhop_attempts_total"]) == 1


def test_an_app_that_only_a_user_named_makes_no_metric_label(tally):
    device = push().device.model_copy(update={"app": "whatever-they-like"})
    metrics.finished("ring", device, Outcome.NO_CREDENTIALS)
    metrics.finished("ring", None, Outcome.NO_DEVICES)
    assert not [labels for _, *labels in exposed(tally) if ("app", "whatever-they-like") in labels]


SUFFIXES = {Histogram: ("_bucket", "_sum", "_count"), Counter: ("",)}
EXPORTED = {metric.name + suffix for metric in METRICS for suffix in SUFFIXES[type(metric)]} | set(GAUGES)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_name_says_its_unit_as_prometheus_asks(metric):
    assert metric.name.startswith("bellhop_")
    assert metric.name.endswith("_total" if isinstance(metric, Counter) else "_seconds")
    assert metric.help.endswith(".")


def test_the_page_on_metrics_lists_every_one_with_its_labels():
    rows = dict(re.findall(r"^\| `(bellhop_\w+)` \|([^|]*)\|", (DOCS / "metrics.md").read_text(), re.MULTILINE))
    listed = {name: set(re.findall(r"\w+", labels)) for name, labels in rows.items()}
    assert listed == {
        **{metric.name: set(metric.labels) for metric in METRICS},
        **{name: set(labels) for name, (_, labels) in GAUGES.items()},
    }


@pytest.mark.parametrize("path", ["grafana/bellhop.json", "alerts.yml"])
def test_dashboard_and_alerts_name_only_what_is_exported(path):
    names = set(re.findall(r"bellhop_\w+", (DOCS / path).read_text()))
    assert names
    assert names <= EXPORTED, names - EXPORTED


def test_dashboard_and_alerts_use_only_labels_that_exist():
    labels = {metric.name: set(metric.labels) for metric in METRICS} | {n: set(of) for n, (_, of) in GAUGES.items()}
    for path in ("grafana/bellhop.json", "alerts.yml"):
        text = (DOCS / path).read_text().replace('\\"', '"')
        for name, selector in re.findall(r"(bellhop_\w+)\{([^}]*)\}", text):
            base = re.sub(r"_(bucket|sum|count)$", "", name)
            assert set(re.findall(r'(\w+)\s*[=!]~?\s*"', selector)) <= labels[base] | {"le"}, (path, name)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_prometheus_takes_the_alerts_and_the_dashboards_queries(tmp_path):
    panels = json.loads((DOCS / "grafana" / "bellhop.json").read_text())["panels"]
    queries = [target["expr"].replace("$__rate_interval", "1m") for p in panels for target in p.get("targets", ())]
    rules = [{"record": f"query_{number}", "expr": query} for number, query in enumerate(queries)]
    (tmp_path / "queries.yml").write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    for path in (DOCS / "alerts.yml", tmp_path / "queries.yml"):
        done = subprocess.run(["promtool", "check", "rules", path], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_says_what_is_wrong_and_what_to_do():
    rules = [rule for group in yaml.safe_load((DOCS / "alerts.yml").read_text())["groups"] for rule in group["rules"]]
    assert len({rule["alert"] for rule in rules}) == len(rules)
    for rule in rules:
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["action"].endswith(".")
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert rule["expr"]


def test_grafana_can_read_the_dashboard():
    board = json.loads((DOCS / "grafana" / "bellhop.json").read_text())
    panels = [panel for panel in board["panels"] if panel["type"] != "row"]
    assert board["title"] == "Bellhop"
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    for panel in panels:
        assert panel["title"]
        assert all(target["expr"] for target in panel["targets"])
        assert panel["datasource"]["uid"] == "${datasource}"
    places = {(x, y) for p in board["panels"] for x in range(p["gridPos"]["x"], p["gridPos"]["x"] + p["gridPos"]["w"])
              for y in range(p["gridPos"]["y"], p["gridPos"]["y"] + p["gridPos"]["h"])}  # fmt: skip
    assert len(places) == sum(p["gridPos"]["w"] * p["gridPos"]["h"] for p in board["panels"]), "panels overlap"
