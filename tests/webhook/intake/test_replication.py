"""Events that are answered 200 only when a replica has them."""

import hashlib
import hmac
import json
import os
import signal

import pytest
import redis
from structlog.testing import capture_logs

from bellhop.queue.names import RINGS
from bellhop.sandbox.redis_server import RedisServer
from bellhop.sandbox.stream_webhooks import SampleCall
from bellhop.store import replication
from tests.factories import web_settings
from webhook.app import create_app


@pytest.fixture
def primary(tmp_path):
    (tmp_path / "primary").mkdir()
    with RedisServer(tmp_path / "primary", "--repl-diskless-sync-delay", "0") as server:
        yield server


@pytest.fixture
def replica(primary, tmp_path):
    (tmp_path / "replica").mkdir()
    with RedisServer(tmp_path / "replica", "--replicaof", "127.0.0.1", str(primary.port)) as server:
        with redis.Redis(port=primary.port) as client:
            client.set("key", 1)
            assert client.wait(1, 30_000) == 1
        yield server


@pytest.fixture
def post(primary):
    client = create_app(web_settings(primary.url, redis_wait_replicas=1)).test_client()

    def post(event, webhook_id):
        body = json.dumps(event).encode()
        signature = hmac.new(b"secret", body, hashlib.sha256).hexdigest()
        reply = client.post(
            "/webhooks/stream", data=body, headers={"X-Signature": signature, "X-Webhook-Id": webhook_id}
        )
        return reply.status_code, reply.json.get("status")

    return post


def queued(server):
    with redis.Redis(port=server.port) as client:
        return client.llen(f"rq:queue:{RINGS}")


@pytest.fixture(autouse=True)
def patience_with_replicas(monkeypatch):
    """Let a replica of a busy machine confirm late. A test of a replica that hangs sets a time of its own."""
    monkeypatch.setattr(replication, "WAIT_MS", 15_000)


def test_what_was_answered_200_is_on_the_replica(post, replica, monkeypatch):
    os.kill(replica.pid, signal.SIGSTOP)
    with monkeypatch.context() as hasty:
        hasty.setattr(replication, "WAIT_MS", 100)
        event = SampleCall().ring()
        assert post(event, "w1") == (503, None)
        assert post(event, "w1") == (503, None), "the repetition vouches for no more than the first"
    os.kill(replica.pid, signal.SIGCONT)
    assert post(event, "w1") == (200, "already")
    assert queued(replica) == 1
    assert post(SampleCall().ring(), "w2") == (200, "taken")
    assert queued(replica) == 2


def test_without_a_replica_nothing_is_answered_200(post, primary, monkeypatch):
    monkeypatch.setattr(replication, "WAIT_MS", 100)
    event = SampleCall().ring()
    with capture_logs() as logged:
        assert post(event, "w1") == (503, None)
    assert queued(primary) == 1, "it is taken in all the same: the phone rings"
    (away,) = [line for line in logged if line["event"] == "redis_away"]
    assert away["advice"].startswith("Redis has fewer replicas than BELLHOP_REDIS_WAIT_REPLICAS"), away


def test_a_primary_that_forgot_its_scripts_gets_them_again(post, primary, replica):
    assert post(SampleCall().ring(), "w1") == (200, "taken")
    with redis.Redis(port=primary.port) as client:
        client.script_flush()
    assert post(SampleCall().ring(), "w2") == (200, "taken")
