"""Announcements in Redis: each fact is told once, and an outbox is drained in order, whatever runs twice or dies."""

import json
import random
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis import Redis

from bellhop.audience import Audience, Destination, draining_job
from bellhop.clock import Seconds
from bellhop.domain.announcement import AnnouncementType, about_ring
from bellhop.queue.job_payloads import OutboxRef
from bellhop.queue.names import TELL_CALLER_JOB
from bellhop.store.blocking_client import run_script
from bellhop.store.keys import live_channel, outbox_key, round_key
from bellhop.store.outbox_scripts import Outbox, drain_outbox, put_off_outbox
from tests.factories import a_round

REACHED, RINGING, UNREACHABLE, ENDED = (
    AnnouncementType.REACHED,
    AnnouncementType.RINGING,
    AnnouncementType.UNREACHABLE,
    AnnouncementType.ENDED,
)
ROUND = a_round("ben", "ann")
AT = ROUND.started_at + 1
BACKEND = Destination("backend", TELL_CALLER_JOB, 600, frozenset(AnnouncementType))
ALL = Audience((BACKEND,), live=True)
OUTBOX = Outbox("backend", ROUND.tenant, ROUND.cid)


@pytest.fixture
def redis(redis_client):
    redis_client.hset(round_key(ROUND.tenant, ROUND.cid, ROUND.started_at), "facts", ROUND.as_json())
    redis_client.mset({"bellhop:worker:w-1": 1, "bellhop:worker:w-2": 1})
    return redis_client


def tell(redis, *facts, audience=ALL, round_=ROUND):
    return run_script(redis, audience.tell(round_, [about_ring(type_, round_, user, AT) for type_, user in facts]))


def waiting(redis, outbox=OUTBOX):
    documents = [json.loads(text) for text in redis.lrange(outbox_key(*outbox), 0, -1)]
    return [(document["type"], document["data"]["user_id"]) for document in documents]


def drain(redis, *, worker="w-1", run="r", done=b"", claim_us=10_000_000):
    return run_script(redis, drain_outbox(OUTBOX, worker=worker, run=run, claim_us=claim_us, done=done))


def jobs(redis):
    return [id_.decode() for id_ in redis.lrange("rq:queue:bellhop-stream", 0, -1)]


def test_a_fact_is_told_once(redis):
    assert tell(redis, (REACHED, "ben"), (REACHED, "ben"), (REACHED, "ann")) == [1, 3]
    assert tell(redis, (REACHED, "ben"), (REACHED, "ann")) == []
    assert waiting(redis) == [(REACHED, "ben"), (REACHED, "ann")]
    assert len(jobs(redis)) == 1


def test_a_round_that_expired_is_not_created_again(redis):
    gone = a_round(cid="default:gone")
    assert tell(redis, (REACHED, "ben"), round_=gone) == []
    assert not redis.keys("*gone*")


def test_a_live_stream_hears_of_it_by_the_channel(redis):
    with redis.pubsub() as listener:
        listener.subscribe(live_channel(ROUND.tenant, ROUND.cid))
        assert listener.get_message(timeout=5)["type"] == "subscribe"
        tell(redis, (RINGING, "ben"))
        assert json.loads(listener.get_message(timeout=5)["data"])["type"] == RINGING


@given(
    facts=st.lists(st.tuples(st.sampled_from([REACHED, RINGING, UNREACHABLE, ENDED]), st.sampled_from(["ben", "ann"])))
)
def test_any_order_is_told_as_it_can_have_happened(redis_server, facts):
    with Redis.from_url(redis_server.url) as client:
        round_ = a_round("ben", "ann", cid=f"default:{uuid4().hex}")
        client.hset(round_key(round_.tenant, round_.cid, round_.started_at), "facts", round_.as_json())
        for fact in facts:
            tell(client, fact, round_=round_)
        told = waiting(client, OUTBOX._replace(subject=round_.cid))
    assert len(set(told)) == len(told)
    for user in ("ben", "ann"):
        order = [type_ for type_, of in told if of == user]
        assert order == sorted(order, key=[UNREACHABLE, REACHED, RINGING, ENDED].index)


def test_documents_leave_in_order_and_only_when_done(redis):
    tell(redis, (REACHED, "ben"), (REACHED, "ann"))
    kind, first, failures = drain(redis)
    assert (kind, json.loads(first)["data"]["user_id"], failures) == (b"first", "ben", b"0")
    assert drain(redis)[1] == first
    second = drain(redis, done=first)[1]
    assert drain(redis, done=first)[1] == second  # the answer was lost, and the run says it again
    assert drain(redis, done=second) == [b"empty"]
    assert not redis.keys("bellhop:outbox*") + redis.keys("bellhop:draining*")


def test_one_run_at_a_time_drains_an_outbox(redis):
    tell(redis, (REACHED, "ben"), (RINGING, "ben"))
    first = drain(redis)[1]
    assert drain(redis, worker="w-2", run="other") == [b"held"]
    redis.delete("bellhop:worker:w-1")  # the worker dies: the document was perhaps sent, and is sent again
    assert drain(redis, worker="w-2", run="other")[1] == first
    redis.set("bellhop:worker:w-1", 1)  # it only stood still, and says now that the document is done
    assert drain(redis, done=first) == [b"held"]
    assert waiting(redis) == [(REACHED, "ben"), (RINGING, "ben")]


def test_what_is_put_off_has_one_job(redis):
    tell(redis, (REACHED, "ben"))
    drain(redis)
    job = draining_job(TELL_CALLER_JOB, OutboxRef(destination="backend", tenant=ROUND.tenant, subject=ROUND.cid))
    put_off = put_off_outbox(OUTBOX, job, worker="w-1", run="r", wait_s=Seconds(5), now=AT, failures=1)
    assert [run_script(redis, put_off), run_script(redis, put_off)] == [1, 0]
    before = jobs(redis)
    tell(redis, (RINGING, "ben"))
    assert jobs(redis) == before
    assert redis.zcard("rq:scheduled:bellhop-stream") == 1
    assert drain(redis, run="later")[2] == b"1"


def test_a_job_that_was_lost_is_replaced(redis):
    tell(redis, (REACHED, "ben"))
    (lost,) = jobs(redis)
    redis.delete(f"rq:job:{lost}", "rq:queue:bellhop-stream")
    tell(redis, (RINGING, "ben"))
    assert len(jobs(redis)) == 1


@settings(max_examples=50)
@given(seed=st.integers(0, 10**9))
def test_no_death_and_no_lost_answer_changes_the_order(redis_server, seed):
    """Two workers drain one outbox, and one of them may die at each step."""
    chance = random.Random(seed)
    facts = [(REACHED, "ben"), (RINGING, "ben"), (REACHED, "ann"), (ENDED, "ben"), (ENDED, "ann")]
    expected, sent, workers = list(facts), [], [Worker(), Worker()]
    with Redis.from_url(redis_server.url) as client:
        round_ = a_round("ben", "ann", cid=f"default:{uuid4().hex}")
        client.hset(round_key(round_.tenant, round_.cid, round_.started_at), "facts", round_.as_json())
        outbox = OUTBOX._replace(subject=round_.cid)
        while facts or waiting(client, outbox):
            if facts and chance.random() < 0.3:
                tell(client, facts.pop(0), round_=round_)
            number = chance.randrange(2)
            if chance.random() < 0.1:
                client.delete(f"bellhop:worker:{workers[number].name}")
                workers[number] = Worker()
            sent += workers[number].step(client, outbox)
    assert [(json.loads(text)["type"], json.loads(text)["data"]["user_id"]) for text in dict.fromkeys(sent)] == expected


class Worker:
    """One that sends the first document of an outbox in one step, and says in the next one that it is done."""

    def __init__(self):
        self.name, self.sent = f"w-{uuid4().hex}", b""

    def step(self, client, outbox):
        client.set(f"bellhop:worker:{self.name}", 1, ex=60)
        drain = drain_outbox(outbox, worker=self.name, run="r", claim_us=60_000_000, done=self.sent)
        answer = run_script(client, drain)
        self.sent = answer[1] if answer[0] == b"first" else b""
        return [self.sent] if self.sent else []
