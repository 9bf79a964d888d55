"""While an installation moves, an event goes to the Redis that knows its call, whichever web process receives it."""

import hashlib
import hmac
import json

import pytest
import redis

from bellhop.domain.call import Stamp
from bellhop.queue.names import NOTICES, RINGS
from bellhop.sandbox.stream_webhooks import SampleCall
from bellhop.store.keys import call_key, rq_queue_key
from tests.factories import web_settings
from webhook.app import create_app
from webhook.context import WebContext

AWAY = "redis://127.0.0.1:1"


@pytest.fixture
def call():
    return SampleCall(id="1", members=("ben",))


KEY = call_key("default", "default:1")


@pytest.fixture
def old_url(redis_url):
    return redis_url


@pytest.fixture
def new_url(redis_url):
    """Another database of the same server."""
    return redis_url.replace("/0", "/1") if redis_url.endswith("/0") else f"{redis_url}/1"


def posted(url, other, *events):
    """Post events to a web process of one Redis that knows of another one."""
    client = create_app(web_settings(url, redis_other_url=other)).test_client()
    for number, event in enumerate(events):
        body = json.dumps(event).encode()
        signature = hmac.new(b"secret", body, hashlib.sha256).hexdigest()
        headers = {"X-Signature": signature, "X-Webhook-Id": f"{url}-{event['type']}-{number}"}
        assert client.post("/webhooks/stream", data=body, headers=headers).json["status"] == "taken"


def knows(url):
    """What a Redis knows of the call: whether it has it, and whether ben has accepted."""
    with redis.Redis.from_url(url) as client:
        fields = client.hgetall(KEY)
        return bool(fields), any(name.startswith(f"{Stamp.ACCEPTED}ben".encode()) for name in fields)


def jobs(url, queue):
    with redis.Redis.from_url(url) as client:
        return client.llen(rq_queue_key(queue))


def test_an_event_goes_to_the_redis_that_knows_its_call(call, old_url, new_url):
    posted(old_url, None, call.ring())
    posted(new_url, old_url, call.accepted("ben"))
    assert knows(old_url) == (True, True) and knows(new_url) == (False, False)
    assert WebContext(web_settings(new_url, redis_other_url=old_url)).of_call("default", call.cid).redis.exists(KEY)


def test_the_order_in_which_web_processes_restart_is_free(call, old_url, new_url):
    posted(new_url, old_url, call.ring())
    posted(old_url, new_url, call.accepted("ben"))
    assert knows(new_url) == (True, True) and knows(old_url) == (False, False)


def test_a_ring_stays_and_both_learn_of_the_answer(call, old_url, new_url):
    posted(old_url, None, call.ring())
    posted(new_url, old_url, call.ring(), call.notification("ben"), call.accepted("ben"))
    assert jobs(new_url, RINGS) == jobs(new_url, NOTICES) == 1 and not jobs(old_url, NOTICES)
    assert knows(old_url) == knows(new_url) == (True, True)


def test_the_other_redis_may_be_away(call, new_url):
    posted(new_url, AWAY, call.ring(), call.accepted("ben"))
    assert knows(new_url) == (True, True)
    context = WebContext(web_settings(new_url, redis_other_url=AWAY))
    assert context.of_call("default", "default:unknown") is context
