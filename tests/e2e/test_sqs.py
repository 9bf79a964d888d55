"""`bellhop sqs` against a stand-in for Amazon (moto's server) and a real everything else."""

import asyncio
import base64
import gzip
import json
import logging
import signal
import threading
import time
from functools import partial

import boto3
import pytest
from moto.server import ThreadedMotoServer

from bellhop.domain.device import Kind, Provider
from bellhop.sandbox.installation import Installation
from bellhop.sandbox.stream_webhooks import SampleCall
from bellhop.store.keys import call_key
from tests.factories import web_settings
from tests.waiting import come_true
from webhook.context import WebContext
from webhook.sources.amazon.sqs import SqsQueue


@pytest.fixture(scope="module")
def amazon():
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def sqs(amazon, monkeypatch):
    names = {"ENDPOINT_URL": amazon, "ACCESS_KEY_ID": "id", "SECRET_ACCESS_KEY": "key", "DEFAULT_REGION": "eu-west-1"}
    for name, value in names.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    client = boto3.client("sqs")
    yield client
    client.close()


@pytest.fixture
def queue(sqs, request):
    url = sqs.create_queue(QueueName=f"calls-{abs(hash(request.node.name))}")["QueueUrl"]
    yield url
    sqs.delete_queue(QueueUrl=url)


def left(sqs, queue):
    """Messages that are in the queue, whether somebody has them in hand or not."""
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    attributes = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=names)["Attributes"]
    return sum(int(attributes[name]) for name in names)


def rang(installation, call):
    return call.cid in [arrival.cid for arrival in installation.arrivals]


def plain(event):
    return json.dumps(event)


def packed(event):
    return base64.b64encode(gzip.compress(json.dumps(event).encode())).decode()


def published(event):
    return json.dumps({"Type": "Notification", "TopicArn": "arn:aws:sns:eu-west-1:1:calls", "Message": packed(event)})


async def test_events_in_the_queue_ring_once_and_leave_it(tmp_path, sqs, queue):
    installation = Installation(tmp_path, {"SQS_QUEUE_URL": queue})
    installation.redis.options = ("--appendfsync", "always")  # it is killed: what it has forgotten would ring twice
    async with installation:
        await installation.register("ben-osei", Provider.APNS, Kind.VOIP, "a1" * 32)
        installation.start("sqs")
        await come_true(lambda: "sqs_started" in installation.log("sqs"))
        for wrap in (plain, packed, published):
            call = SampleCall(members=("ben-osei",))
            message = wrap(call.ring())
            for _ in range(2):
                sqs.send_message(QueueUrl=queue, MessageBody=message)
            await come_true(partial(rang, installation, call))
            await come_true(lambda: left(sqs, queue) == 0)
        await asyncio.sleep(0.3)
        assert len(installation.arrivals) == 3, "what is in the queue twice rings once"

        for nonsense in ("no base64!", "{}"):
            sqs.send_message(QueueUrl=queue, MessageBody=nonsense)
        await come_true(lambda: left(sqs, queue) == 0)
        kept = await installation.store.call("KEYS", "bellhop:unreadable:default:*")
        assert len(kept) == 2, "kept for people to look at, by reason"

        installation.redis.stop(signal.SIGKILL)
        sqs.send_message(QueueUrl=queue, MessageBody=plain(SampleCall(members=("ben-osei",)).ring()))
        await asyncio.sleep(1.5)
        assert left(sqs, queue) == 1, "not deleted before it was taken in"
        installation.redis.start()
        await come_true(lambda: len(installation.arrivals) == 4)
        await come_true(lambda: left(sqs, queue) == 0)
        assert installation.stop("sqs") == 0


def test_a_message_that_breaks_us_stays_for_redrive(redis_url, sqs, queue):
    settings = web_settings(redis_url, sqs_queue_url=queue)
    context = WebContext(settings)

    def broken(*_):
        raise ValueError("a mistake of ours")

    context.intake_redis.run = broken
    sqs.send_message(QueueUrl=queue, MessageBody=plain(SampleCall().ring()))
    sqs.send_message(QueueUrl=queue, MessageBody="no base64!")
    receiver = SqsQueue(context, "default", queue, threading.Event())
    receiver.receive()
    assert left(sqs, queue) == 1, "the others are done with"


def test_a_message_that_redis_refuses_holds_up_no_other(redis_url, redis_client, sqs, queue, monkeypatch):
    """A key of its call holds what does not belong there. It is repaired while the message waits."""
    monkeypatch.setattr("webhook.sources.amazon.sqs.PAUSE_S", 0.01)
    refused, call = SampleCall(), SampleCall()
    key = call_key("default", refused.cid)
    redis_client.set(key, "not what belongs here")
    for event in (refused.ring(), call.ring()):
        sqs.send_message(QueueUrl=queue, MessageBody=plain(event))
    context = WebContext(web_settings(redis_url, sqs_queue_url=queue))
    receiver = threading.Thread(target=SqsQueue(context, "default", queue, threading.Event()).receive)
    receiver.start()
    give_up_s = time.monotonic() + 15
    while not redis_client.exists(call_key("default", call.cid)):
        assert time.monotonic() < give_up_s
        time.sleep(0.01)
    redis_client.delete(key)
    receiver.join(15)
    assert redis_client.hexists(key, "version")
    assert left(sqs, queue) == 0


async def test_amazon_away_is_waited_for(tmp_path, sqs, queue):
    """The queue is made only after Bellhop has started to ask for it."""
    late = queue + "-late"
    async with Installation(tmp_path, {"SQS_QUEUE_URL": late}) as installation:
        await installation.register("ben-osei", Provider.APNS, Kind.VOIP, "a1" * 32)
        installation.start("sqs")
        await come_true(lambda: "sqs_away" in installation.log("sqs"))
        sqs.create_queue(QueueName=late.rpartition("/")[2])
        sqs.send_message(QueueUrl=late, MessageBody=plain(SampleCall(members=("ben-osei",)).ring()))
        await come_true(lambda: len(installation.arrivals) == 1)
        assert installation.stop("sqs") == 0
        sqs.delete_queue(QueueUrl=late)
