"""While an installation moves to another Redis, webhooks look for their calls at the former one too."""

import hashlib
import hmac
import os
import signal
import time

import pytest
import redis
from structlog.testing import capture_logs

from bellhop.clock import Micros, Seconds
from bellhop.domain.call import Stamp
from bellhop.domain.clock_offset import ClockOffset
from bellhop.domain.ticket import Ticket, sign_ticket
from bellhop.queue.names import NOTICES, RINGS, STREAM
from bellhop.sandbox.redis_server import RedisServer
from bellhop.sandbox.stream_webhooks import SampleCall, as_posted
from bellhop.store import clock_differences
from bellhop.store.blocking_client import blocking, partitions_of, together
from bellhop.store.homes import partition_with
from bellhop.store.keys import WORKERS, call_key, round_key, rq_queue_key, trail_key
from bellhop.trail import read_trail
from tests.factories import web_settings
from tests.proxy import Proxy
from webhook.app import create_app

SECRET = "signs-the-receipts"
AWAY = "redis://127.0.0.1:1/0"


class Redis:
    """One of the two, and what a test wants to know about it."""

    def __init__(self, url):
        self.url, self.client = url, blocking(url, timeout_s=5, any_count=True)
        for partition in partitions_of(self.client):
            together(self.client, ("SADD", partition.key(WORKERS), "w-1"))

    def of(self, call, command, key, *args):
        """Run a command on a key that is in the partition of a call."""
        partition = partition_with(call_key("default", call.cid), partitions_of(self.client))
        return together(self.client, (command, partition.key(key), *args))[0]

    def stamps(self, call):
        fields = self.of(call, "HKEYS", call_key("default", call.cid))
        return {name.decode() for name in fields if name.startswith(tuple(stamp.encode() for stamp in Stamp))}

    def jobs(self, call, queue):
        return self.of(call, "LLEN", rq_queue_key(queue))

    def trail(self, call):
        return [line.type for line in self.lines(call)]

    def lines(self, call):
        return read_trail(self.of(call, "LRANGE", trail_key("default", call.cid), 0, -1))


class Web:
    """A web process."""

    def __init__(self, url, former=None, **settings):
        self.app = create_app(web_settings(url, redis_former_url=former, receipt_secret=SECRET, **settings))
        self.client = self.app.test_client()

    def post(self, event):
        body = as_posted(event)
        headers = {"X-Signature": hmac.new(b"secret", body, hashlib.sha256).hexdigest()}
        answer = self.client.post("/webhooks/stream", data=body, headers=headers)
        return answer.json.get("status", answer.status_code)

    def report(self, ticket, event):
        document = {"receipt": sign_ticket(SECRET.encode(), ticket), "event": event}
        return self.client.post("/v1/receipts", json=document).status_code


@pytest.fixture(scope="module")
def old_server(tmp_path_factory):
    with RedisServer(tmp_path_factory.mktemp("old")) as server:
        yield server


@pytest.fixture
def old(old_server):
    with redis.Redis.from_url(old_server.url) as client:
        client.flushall()
    return Redis(old_server.url)


@pytest.fixture
def new(redis_url):
    return Redis(redis_url)


@pytest.fixture
def web(old, new):
    """A web process after the switch."""
    return Web(new.url, old.url)


@pytest.fixture
def call():
    return SampleCall(id="1", members=("ben", "jane"))


@pytest.fixture
def old_call(old, call):
    """A call that rang before the switch."""
    assert Web(old.url).post(call.ring()) == "taken"
    return call


def accepted(user):
    return f"{Stamp.ACCEPTED}{user}"


def test_the_former_redis_learns_who_answered(web, old, new, old_call):
    assert web.post(old_call.accepted("ben")) == "taken"
    assert old.stamps(old_call) == new.stamps(old_call) == {accepted("ben")}
    assert web.post(old_call.rejected("jane")) == "taken"
    assert old.trail(old_call) == ["call.ring", "call.accepted", "call.rejected"]


def test_answers_do_not_read_a_large_call(web, old, old_call, monkeypatch):
    former, commands = web.app.extensions["context"].former.intake_redis, []
    together_there = former.together
    monkeypatch.setattr(former, "together", lambda *sent: commands.extend(sent) or together_there(*sent))
    assert web.post(old_call.accepted("ben")) == "taken"
    assert accepted("ben") in old.stamps(old_call) and "HGETALL" not in [name for name, *_ in commands]


def test_a_call_that_it_does_not_know_stays_here(web, old, new, call):
    assert [web.post(event) for event in (call.ring(), call.accepted("ben"), call.missed("jane"))] == ["taken"] * 3
    assert new.trail(call) == ["call.ring", "call.accepted", "call.missed"]
    assert not old.trail(call)


def test_what_was_taken_before_the_switch_is_not_taken_again(old, new, call):
    sent = {"push_session_started": ["default"]}
    before, web = Web(old.url, **sent), Web(new.url, old.url, **sent)
    started = call.session_started()
    events = [call.ring(), call.notification(), call.missed(), started]
    assert [before.post(event) for event in events] == ["taken"] * 4
    again = started | {"received_at": "now"}  # the same start of the session in another webhook
    assert [web.post(event) for event in (*events, again)] == ["already"] * 5
    assert not new.trail(call) and not new.jobs(call, RINGS) and not new.jobs(call, NOTICES)


def test_an_answer_that_only_the_former_has_ends_a_late_ring(web, old, new, call):
    late = call.ring(at=time.time() - 1)
    answers = [call.accepted("ben"), call.rejected("jane")]
    assert [Web(old.url).post(event) for event in answers] == ["taken"] * 2
    assert web.post(late) == "taken"
    assert new.stamps(call) >= old.stamps(call) >= {accepted("ben"), f"{Stamp.DECLINED}jane"}
    fields = new.of(call, "HKEYS", call_key("default", call.cid))
    history = {name for name in old.of(call, "HKEYS", call_key("default", call.cid)) if name.startswith(b"at:")}
    assert history and history <= set(fields)


def test_only_stamps_come_with_a_late_ring(web, old, new, call):
    first = call.ring(at=time.time() - 5)
    Web(old.url).post(first)
    web.post(call.ring())
    for one in (old, new):
        assert len([name for name in one.of(call, "HKEYS", call_key("default", call.cid)) if name[:2] == b"r:"]) == 1
    assert new.jobs(call, RINGS) == 1


@pytest.mark.parametrize("kind", ["missed", "notification"])
def test_what_may_send_a_push_goes_to_one_redis(web, old, new, old_call, kind):
    assert web.post(old_call.accepted("ben")) == "taken", "which is known in both from now on"
    event = getattr(old_call, kind)("jane")
    assert [web.post(event), web.post(event)] == ["taken", "already"]
    assert old.trail(old_call)[2:] == [f"call.{kind}"] and new.trail(old_call) == ["call.accepted"]
    assert web.post(old_call.ring()) == "taken", "rung again, by the new Redis"
    assert web.post(getattr(old_call, kind)("jane")) == "taken"
    assert new.trail(old_call)[2:] == [f"call.{kind}"] and len(old.trail(old_call)) == 3


def test_a_former_redis_without_workers_gets_no_pushes(web, old, new, old_call):
    old.client.delete(WORKERS)
    with capture_logs() as logs:
        assert [web.post(event) for event in (old_call.missed("jane"), old_call.accepted("ben"))] == ["taken"] * 2
    assert new.trail(old_call) == ["call.missed", "call.accepted"]
    assert old.trail(old_call) == ["call.ring", "call.accepted"]
    (line,) = [line for line in logs if line["event"] == "former_redis_away"]
    assert line["error"] == "NoWorkers" and "BELLHOP_REDIS_FORMER_URL" in line["advice"]
    old.client.sadd(WORKERS, "w-1")
    with capture_logs() as logs:
        assert web.post(old_call.missed("ben")) == "taken"
    assert "former_redis_back" in [line["event"] for line in logs]


def test_phones_report_to_the_redis_that_rang_them(web, old, new, old_call):
    assert web.post(old_call.accepted("ben")) == "taken", "which is known in both from now on"
    ticket = a_ticket(old, old_call)
    assert [web.report(ticket, event) for event in ("rang", "declined")] == [204, 204]
    assert f"{Stamp.DECLINED}jane" in old.stamps(old_call) and old.jobs(old_call, STREAM) == 1
    assert f"{Stamp.DECLINED}jane" not in new.stamps(old_call)
    other = SampleCall(id="2", members=("jane",))
    web.post(other.ring())
    assert web.report(a_ticket(new, other), "declined") == 204
    assert f"{Stamp.DECLINED}jane" in new.stamps(other)
    assert web.report(ticket._replace(started_at=5), "declined") == 204, "nobody knows this ring any more"


def a_ticket(where, call):
    """The ticket of Jane's phone, as if a worker had rung it."""
    fields = where.of(call, "HKEYS", call_key("default", call.cid))
    [started_at] = [int(name[2:]) for name in fields if name.startswith(b"r:")]
    where.of(call, "HSET", round_key("default", call.cid, started_at), "to:" + "ab" * 10, "jane")
    return Ticket("default", call.cid, Micros(started_at), "fcm", "ab" * 10)


def test_a_report_waits_for_the_former_redis(new, old_call, old):
    web = Web(new.url, AWAY)
    assert web.report(a_ticket(old, old_call), "declined") == 503, "its phone repeats it"


def test_each_redis_has_its_own_clock(web, old, new, old_call):
    partition = partition_with(call_key("default", old_call.cid), partitions_of(old.client))
    ahead_us, now = 400_000_000, Micros(time.time_ns() // 1000)
    known = ClockOffset(ahead_us, now, ahead_us, now)
    together(old.client, *clock_differences.write("default", known, partition))
    assert web.post(old_call.accepted("ben", at=time.time() - 400)) == "taken"
    of_old, of_new = old.lines(old_call)[-1], new.lines(old_call)[-1]
    assert of_old.type == of_new.type == "call.accepted"
    assert of_old.redis_ahead_us == ahead_us and of_new.redis_ahead_us is None


def test_a_former_redis_that_is_away_costs_no_event(new, call):
    with capture_logs() as logs:
        web = Web(new.url, AWAY)
        events = (call.ring(), call.accepted("ben"), call.missed("jane"), call.notification("jane"))
        assert [web.post(event) for event in events] == ["taken"] * 4
    (line,) = [line for line in logs if line["event"] == "former_redis_away"]
    assert line["advice"] == "check that Redis runs, and BELLHOP_REDIS_FORMER_URL"


@pytest.mark.parametrize("url", [f"{AWAY}?ssl_ca_cert=/ca.pem", "redis://a..b:1/0"], ids=["option", "host"])
def test_a_wrong_former_url_costs_no_ring(new, call, url):
    with capture_logs() as logs:
        assert Web(new.url, url).post(call.ring()) == "taken"
    (line,) = [line for line in logs if line["event"] == "former_redis_away"]
    assert line["advice"] == "correct BELLHOP_REDIS_FORMER_URL"


def test_one_webhook_waits_for_a_former_redis_that_hangs(new, own_redis, monkeypatch):
    Redis(own_redis.url)
    monkeypatch.setattr("webhook.context.FORMER_TIMEOUT_S", Seconds(0.5))
    web = Web(new.url, own_redis.url)
    former, looks = web.app.extensions["context"].former.intake_redis, []
    together_there = former.together
    monkeypatch.setattr(former, "together", lambda *commands: looks.append(1) or together_there(*commands))
    monkeypatch.setattr("webhook.intake.former_redis.PAUSE_S", 60)
    os.kill(own_redis.pid, signal.SIGSTOP)
    try:
        with capture_logs() as logs:
            assert [web.post(SampleCall(id=str(number)).ring()) for number in range(5)] == ["taken"] * 5
    finally:
        os.kill(own_redis.pid, signal.SIGCONT)
    assert (len(looks), [line["event"] for line in logs].count("former_redis_away")) == (1, 1)


def test_a_former_redis_that_is_back_is_asked_again(new, own_redis, monkeypatch):
    old, call = Redis(own_redis.url), SampleCall(members=("ben",))
    web = Web(new.url, own_redis.url)
    assert Web(own_redis.url).post(call.ring()) == "taken"
    monkeypatch.setattr("webhook.intake.former_redis.PAUSE_S", 0)
    own_redis.stop()
    assert web.post(SampleCall().ring()) == "taken"
    own_redis.start()
    with capture_logs() as logs:
        assert web.post(call.accepted("ben")) == "taken"
    assert old.stamps(call) == {accepted("ben")}
    assert "former_redis_back" in [line["event"] for line in logs]


def test_an_event_comes_again_if_the_former_redis_is_lost(own_redis, new, call):
    old = Redis(own_redis.url)
    assert Web(old.url).post(call.ring()) == "taken"
    with Proxy(own_redis.port) as proxy:
        web = Web(new.url, proxy.url)
        web.post(SampleCall(id="2").ring())
        missed = call.missed("jane")
        losses = [proxy.lose_answer(b"call.missed", answer) for answer in (b"taken", b"already")]
        with capture_logs() as logs:
            assert web.post(missed) == 503
        assert all(loss.happened.is_set() for loss in losses)
        assert [line["event"] for line in logs if line["log_level"] == "error"] == ["former_redis_away"]
        assert web.post(missed) == "already"
    assert old.trail(call)[:2] == ["call.ring", "call.missed"] and not new.trail(call)
