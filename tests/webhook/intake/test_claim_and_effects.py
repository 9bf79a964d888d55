"""A webhook's claim and its effects are written together: after an error neither is there, and a repeat writes both."""

import hashlib
import hmac
import json

import pytest

from bellhop.queue.names import NOTICES, RINGS
from bellhop.sandbox.stream_webhooks import SampleCall
from bellhop.store.keys import (
    AGENDA,
    call_key,
    calls_key,
    calls_of_user_key,
    people_of_calls_key,
    round_key,
    stream_clock_key,
    trail_key,
)
from bellhop.trail import read_trail
from tests.factories import web_settings
from webhook.app import create_app
from webhook.intake.apply import webhook_digest
from webhook.intake.parsing import parse

WEBHOOK = "webhook-1"
CALL = SampleCall(members=("ben",))
RING = CALL.ring()
STARTED_AT = parse(json.dumps(RING).encode()).at
QUEUE = f"rq:queue:{RINGS}"
JOB = f"rq:job:ring-{webhook_digest('default', WEBHOOK)}"
WRITTEN = {
    "call": call_key("default", CALL.cid),
    "round": round_key("default", CALL.cid, STARTED_AT),
    "trail": trail_key("default", CALL.cid),
    "agenda": AGENDA,
    "the tenant's calls": calls_key("default"),
    "people of the tenant's calls": people_of_calls_key("default"),
    "job": JOB,
    "queue": QUEUE,
}
"""The keys that the script writes for a call.ring."""
BENS_CALLS, SARAS_CALLS = (calls_of_user_key("default", user) for user in ("ben", CALL.caller))
"""The keys that commands behind the script write."""


@pytest.fixture
def post(redis_url):
    return poster(redis_url)


def poster(redis_url, **changes):
    settings = web_settings(redis_url, console_password="x" * 20, **changes)
    client = create_app(settings).test_client()

    def post(event, webhook_id=WEBHOOK):
        body = json.dumps(event).encode()
        signature = hmac.new(b"secret", body, hashlib.sha256).hexdigest()
        headers = {"X-Signature": signature, "X-Webhook-Id": webhook_id}
        reply = client.post("/webhooks/stream", data=body, headers=headers)
        return reply.status_code, reply.json.get("status")

    return post


def test_a_session_is_told_once_however_often_it_goes_live(redis_url, redis_client):
    call = SampleCall()
    post = poster(redis_url, push_live_started=["default"])
    verdicts = [post(call.live_started(), f"w-{number}") for number in range(2)]
    assert verdicts == [(200, "taken"), (200, "already")]
    assert post(call.again().live_started(), "w-3") == (200, "taken")
    assert redis_client.llen(f"rq:queue:{NOTICES}") == 2


def state(redis):
    """What a ring has written, without the times of arrival."""
    lines = [milestone.what for milestone in read_trail(redis.lrange(WRITTEN["trail"], 0, -1))]
    lists = [redis.zrange(key, 0, -1) for key in (AGENDA, WRITTEN["the tenant's calls"], BENS_CALLS)]
    expires = [redis.ttl(WRITTEN[name]) > 0 for name in ("call", "round", "trail")]
    return lines, lists, expires, redis.hgetall(WRITTEN["round"]).keys(), redis.lrange(QUEUE, 0, -1)


def test_every_key_that_is_written_is_broken_below(post, redis_client):
    assert post(RING) == (200, "taken")
    others = {b"bellhop:metrics", stream_clock_key("default").encode()}
    written = {key for key in redis_client.keys("*") if not key.startswith(b"bellhop:webhook:")} - others
    keys = {*WRITTEN.values(), BENS_CALLS, SARAS_CALLS}
    assert written == {key.encode() for key in keys} - others


@pytest.mark.parametrize("broken", WRITTEN)
def test_a_repeat_is_taken_once_after_a_key_was_wrong(post, redis_client, broken):
    post(RING)
    expected = state(redis_client)
    redis_client.flushall()
    key = WRITTEN[broken]
    redis_client.set(key, "not what belongs here")
    assert post(RING)[0] == 503
    assert post(RING)[0] == 503
    assert not redis_client.keys("bellhop:webhook:*")
    redis_client.delete(key)
    assert post(RING) == (200, "taken")
    assert state(redis_client) == expected
    assert post(RING) == (200, "already")
    assert redis_client.llen(QUEUE) == 1


def test_a_repeat_lists_the_call_for_a_user_if_that_failed(post, redis_client):
    post(RING)
    expected = state(redis_client)
    redis_client.flushall()
    redis_client.set(BENS_CALLS, "not what belongs here")
    assert post(RING)[0] == 503
    assert redis_client.llen(QUEUE) == 1
    redis_client.delete(BENS_CALLS)
    assert post(RING) == (200, "already")
    after = state(redis_client)
    assert after[0] == ["received", "repeated"]
    assert after[1:] == expected[1:]


@pytest.mark.parametrize("field", ["version", "pruned"])
def test_a_repeat_is_taken_once_after_a_field_was_wrong(post, redis_client, field):
    redis_client.hset(WRITTEN["call"], field, "not a number")
    assert post(RING)[0] == 503
    redis_client.hdel(WRITTEN["call"], field)
    assert post(RING) == (200, "taken")
    assert redis_client.llen(QUEUE) == redis_client.llen(WRITTEN["trail"]) == 1


def test_a_repeat_is_taken_once_after_redis_was_full(post, redis_client):
    redis_client.config_set("maxmemory", 1)
    try:
        assert post(RING)[0] == 503
    finally:
        redis_client.config_set("maxmemory", 0)
    assert not redis_client.keys("bellhop:call:*")
    assert post(RING) == (200, "taken")
    assert redis_client.llen(QUEUE) == 1
