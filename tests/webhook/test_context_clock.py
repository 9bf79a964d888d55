"""The time by Redis's clock in the web process, also when Redis answers late."""

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from bellhop.clock import MICROS_PER_SECOND
from tests.factories import web_settings
from webhook.context import WebContext

LATE_S = 0.5
NEAR_S = 0.001


class OwnTime:
    """Stands for the module `time`: it goes on only while somebody sleeps."""

    def __init__(self):
        self.now_ns = 1_800_000_000_000_000_000

    def sleep(self, time_s):
        self.now_ns += round(time_s * 1e9)

    def time_ns(self):
        return self.now_ns

    def time(self):
        return self.now_ns / 1e9

    monotonic_ns, monotonic = time_ns, time


class TimeServer:
    """Answers TIME as a Redis does. It can be late before it reads its clock, or after that."""

    ahead_s = before_s = after_s = 0.0
    failure = None

    def __init__(self, time):
        self.time = time

    def call(self, *command):
        assert command == ("TIME",)
        if self.failure:
            raise self.failure
        self.time.sleep(self.before_s)
        whole, rest = divmod(self.time.time() + self.ahead_s, 1)
        self.time.sleep(self.after_s)
        return int(whole), int(rest * MICROS_PER_SECOND)

    def error_s(self, context):
        """How far the context's time is from this server's."""
        ahead = context.now() / MICROS_PER_SECOND - self.time.time()
        return abs(ahead - self.ahead_s)


@pytest.fixture
def own_time(monkeypatch):
    own_time = OwnTime()
    for module in ("webhook.context", "bellhop.store.redis_clock"):
        monkeypatch.setattr(f"{module}.time", own_time)
    return own_time


@pytest.fixture
def context(own_time, monkeypatch):
    for name in ("CLOCK_MAX_AGE_S", "CLOCK_AWAY_S"):
        monkeypatch.setattr(f"webhook.context.{name}", 0.0)  # each time is a new reading
    return WebContext(web_settings("redis://127.0.0.1:1"))


@pytest.fixture
def server(context, own_time):
    context.intake_redis = server = TimeServer(own_time)
    return server


@pytest.mark.parametrize("where", ["before_s", "after_s"])
@pytest.mark.parametrize("ahead_s", [0.0, 65.0, -65.0])
def test_a_late_answer_moves_no_clock(context, server, where, ahead_s):
    server.ahead_s = ahead_s
    assert server.error_s(context) < NEAR_S
    setattr(server, where, LATE_S)
    assert server.error_s(context) < NEAR_S


def test_a_clock_that_was_set_is_followed(context, server):
    context.now()
    server.ahead_s = 10.0
    assert server.error_s(context) < NEAR_S


def test_a_late_first_answer_is_put_right_by_the_next(context, server):
    server.before_s = LATE_S
    assert server.error_s(context) < LATE_S + NEAR_S
    server.before_s = 0.0
    assert server.error_s(context) < NEAR_S


def test_the_time_goes_on_while_its_server_is_away(context, server):
    server.failure = RedisConnectionError()
    with pytest.raises(RedisConnectionError):
        context.now()
    server.failure, server.ahead_s = None, 65.0
    context.now()
    for server.failure in (RedisConnectionError(), RedisTimeoutError()):
        assert server.error_s(context) < NEAR_S
    server.failure = ResponseError()
    with pytest.raises(ResponseError):
        context.now()
