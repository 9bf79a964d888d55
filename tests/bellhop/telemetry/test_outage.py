"""What is away is said once, now and then again, and once when it is back."""

import pytest
from structlog.testing import capture_logs

from bellhop.store.redis_url import shown
from bellhop.telemetry import outage
from bellhop.telemetry.outage import Outage


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 1000.0

        def monotonic(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(outage, "time", clock)
    return clock


def test_an_outage_is_a_few_log_lines_however_many_requests_fail(clock):
    redis = Outage("redis_away", "redis_back", address="redis.internal:6379")
    with capture_logs() as lines:
        redis.note_answer()
        for _ in range(240):  # a minute of a watchdog
            redis.note_error("ConnectionError")
            clock.now += 0.25
        for _ in range(3):
            redis.note_answer()
    assert [line["event"] for line in lines] == ["redis_away", "redis_away", "redis_back"]
    assert lines[0]["address"] == "redis.internal:6379"
    assert (lines[1]["since_s"], lines[2]["after_s"]) == (30, 60)


def test_the_next_outage_is_told_at_once(clock):
    redis = Outage("redis_away", "redis_back")
    with capture_logs() as lines:
        for _ in range(2):
            redis.note_error("ConnectionError")
            clock.now += 1
            redis.note_answer()
    assert [line["event"] for line in lines] == ["redis_away", "redis_back"] * 2


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("redis://:hunter2@redis.internal:6380/0", "redis.internal:6380"),
        ("rediss://user:hunter2@redis.internal/1?ssl_ca_certs=/ca.pem", "redis.internal:6379"),
        ("unix:///run/redis.sock?password=hunter2", "/run/redis.sock"),
        ("redis+sentinel://:hunter2@one:26379,two/calls/0?sentinel_password=hunter2", "calls of one:26379, two:26379"),
    ],
)
def test_the_server_is_named_without_its_password(url, name):
    assert shown(url) == name
