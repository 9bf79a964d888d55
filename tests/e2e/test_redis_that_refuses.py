"""A Redis that answers but takes no writes: full, read-only, without enough replicas, or a node of a cluster."""

import hmac
import json
import os
import subprocess
import sys
from contextlib import contextmanager

import pytest
import redis
from click.testing import CliRunner
from structlog.testing import capture_logs

from bellhop.cli import main
from bellhop.cli.check import redis as redis_checks
from bellhop.cli.check.finding import Level
from bellhop.queue.names import QUEUES
from bellhop.sandbox.child_process import free_port
from bellhop.sandbox.redis_server import RedisServer
from bellhop.sandbox.stream_webhooks import SampleCall
from bellhop.store.async_client import Store
from bellhop.store.keys import lease_key, rq_worker_key, rq_workers_key
from tests.factories import apple_that_is_away, web_settings
from webhook.app import create_app

A_CLUSTER_NODE = "is a cluster node: begin BELLHOP_REDIS_URL with redis+cluster://"
NOT_A_CLUSTER = "is not a cluster: begin BELLHOP_REDIS_URL with redis://"
ADVICE = {
    "full": "raise its setting maxmemory",
    "replica": "set BELLHOP_REDIS_URL to its primary",
    "too few replicas": "lower its setting min-replicas-to-write",
    "cluster": A_CLUSTER_NODE,
    "cluster without slots": A_CLUSTER_NODE,
}
"""What to change, by what is wrong with Redis."""
MADE_FULL = {"maxmemory": "1", "maxmemory-policy": "noeviction"}
DEVICE = '{"user_id": "jane", "provider": "fcm", "token": "jane:phone", "app": "project"}\n'
WRITING = ("devices import -", "devices add jane --provider fcm --token jane:phone --app project")
READING = ("devices list jane", "replay --failed", "replay job-1", "explain default:1")


@contextmanager
def redis_that_is(how, folder):
    """Start a Redis with this fault. Unless it is a cluster node, a live worker serves every queue."""
    if how.startswith("cluster"):
        with (
            RedisServer(folder, "--cluster-enabled", "yes", "--cluster-port", str(free_port())) as server,
            redis.Redis.from_url(server.url) as client,
        ):
            if how == "cluster":  # a node with all slots takes writes, but no script with keys of two slots
                client.execute_command("CLUSTER", "ADDSLOTS", *range(16384))
            yield server
        return
    with RedisServer(folder, "--repl-diskless-sync-delay", "0") as server, redis.Redis.from_url(server.url) as client:
        client.set(lease_key("w-1"), 1)
        for queue in QUEUES:
            client.sadd(rq_workers_key(queue), rq_worker_key("w-1"))
        if how == "replica":
            (folder / "replica").mkdir()
            with RedisServer(folder / "replica", "--replicaof", "127.0.0.1", str(server.port)) as replica:
                while not client.wait(1, 500):
                    pass
                yield replica
            return
        for name, value in (MADE_FULL if how == "full" else {"min-replicas-to-write": "1"}).items():
            client.config_set(name, value)
        yield server


@pytest.fixture(scope="module", params=ADVICE)
def how(request):
    return request.param


@pytest.fixture(scope="module")
def server(how, tmp_path_factory):
    with redis_that_is(how, tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """The settings of an installation. It can reach nothing but its Redis."""
    settings = {
        "STREAM_API_KEY": "key",
        "STREAM_API_SECRET": "secret",
        "STREAM_API_URL": "http://127.0.0.1:1",
        **apple_that_is_away(tmp_path_factory.mktemp("key")),
        "WEB_PORT": str(free_port()),
    }
    return {f"BELLHOP_{name}": value for name, value in settings.items()}


def test_readyz_says_what_to_change(server, how):
    answer = create_app(web_settings(server.url)).test_client().get("/readyz")
    assert (answer.status_code, answer.json["status"]) == (503, "not ready")
    (sentence,) = answer.json["missing"]
    assert ADVICE[how] in sentence


async def test_check_names_the_setting_to_change(server, how):
    store = Store.from_url(server.url)
    findings = [finding async for finding in redis_checks.findings(store, web_settings(server.url))]
    await store.close()
    (problem,) = [finding for finding in findings if finding.level is Level.PROBLEM]
    assert ADVICE[how] in problem.sentence


@pytest.mark.parametrize("command", [*WRITING, *READING])
def test_a_command_ends_with_a_sentence(server, how, environment, command):
    result = CliRunner(env=environment | {"BELLHOP_REDIS_URL": server.url}).invoke(main, command.split(), input=DEVICE)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    if command in WRITING:
        assert (result.exit_code, ADVICE[how] in result.output) == (1, True), result.output
        assert result.output.count("\n") == 1, result.output


@pytest.mark.parametrize("command", ["check", "send-test jane"])
def test_a_command_that_also_asks_others_ends_with_a_sentence(server, how, environment, command):
    status, output = run(server, environment, command)
    assert "Traceback" not in output
    if command == "check":
        assert (status, ADVICE[how] in output) == (1, True), output
        assert "no worker is alive" not in output, "none can report in such a Redis"


def test_an_outage_is_logged_with_what_to_change(server, how):
    body = json.dumps(SampleCall().ring()).encode()
    headers = {"X-Api-Key": "key", "X-Signature": hmac.digest(b"secret", body, "sha256").hex()}
    with capture_logs() as logged:
        answer = create_app(web_settings(server.url)).test_client().post("/webhooks/stream", data=body, headers=headers)
    assert answer.status_code == 503
    (away,) = [line for line in logged if line["event"] == "redis_away"]
    assert ADVICE[how] in away["advice"]


@pytest.mark.parametrize("process", ["web", "worker"])
def test_no_process_starts_on_a_node_of_a_cluster(tmp_path, environment, process):
    with redis_that_is("cluster", tmp_path) as server:
        status, output = run(server, environment, process)
    assert (status, A_CLUSTER_NODE in output) == (1, True), output
    assert "Traceback" not in output


def test_no_process_takes_a_single_server_for_a_cluster(own_redis, environment):
    url = own_redis.url.replace("redis://", "redis+cluster://")
    status, output = run(own_redis, environment | {"BELLHOP_REDIS_URL": url}, "web")
    assert (status, NOT_A_CLUSTER in output) == (1, True), output
    assert "Traceback" not in output
    (sentence,) = create_app(web_settings(url)).test_client().get("/readyz").json["missing"]
    assert NOT_A_CLUSTER in sentence


def test_a_worker_ends_when_the_redis_that_was_away_is_wrong(tmp_path, environment):
    address = f"redis+cluster://127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "bellhop", "worker"]
    worker = subprocess.Popen(
        command,
        env=os.environ | environment | {"BELLHOP_REDIS_URL": address},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert any("lease_not_renewed" in line for line in worker.stdout)
    with RedisServer(tmp_path, port=int(address.rpartition(":")[2])):
        output, _ = worker.communicate(timeout=60)
    assert (worker.returncode, NOT_A_CLUSTER in output) == (1, True), output
    assert "Traceback" not in output


def run(server, environment, command):
    """Run a command as a process of its own; returns its exit status and all that it wrote."""
    done = subprocess.run(
        [sys.executable, "-m", "bellhop", *command.split()],
        env=os.environ | {"BELLHOP_REDIS_URL": server.url} | environment,
        input=DEVICE,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.returncode, done.stdout + done.stderr
