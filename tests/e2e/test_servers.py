"""The production commands: `bellhop web`, gunicorn's gthread, and bad settings."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager

import pytest

from bellhop.sandbox.child_process import free_port
from tests.factories import apple_that_is_away


@contextmanager
def running(command, environment):
    process = subprocess.Popen(command, env=os.environ | environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=60)


def get(url):
    give_up = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            if time.monotonic() > give_up:
                raise
            time.sleep(0.1)


@pytest.mark.parametrize("server", ["bellhop", "gunicorn"])
def test_the_application_serves_under(server, redis_url):
    port = free_port()
    environment = {
        "BELLHOP_REDIS_URL": redis_url,
        "BELLHOP_STREAM_API_KEY": "key",
        "BELLHOP_STREAM_API_SECRET": "secret",
        "BELLHOP_WEB_PORT": str(port),
    }
    commands = {
        "bellhop": [sys.executable, "-m", "bellhop", "web"],
        "gunicorn": [sys.executable, "-m", "gunicorn", "-k", "gthread", "-b", f"127.0.0.1:{port}", "webhook.wsgi:app"],
    }
    with running(commands[server], environment):
        assert get(f"http://127.0.0.1:{port}/healthz") == 200
        assert get(f"http://127.0.0.1:{port}/readyz") == 503, "no worker is alive"
        request = urllib.request.Request(f"http://127.0.0.1:{port}/webhooks/stream", data=b"{}")
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=30)
        assert refused.value.code == 401
        refused.value.close()


def settings(port, redis_url="redis://127.0.0.1:1/0", **more):
    given = {"REDIS_URL": redis_url, "STREAM_API_KEY": "key", "STREAM_API_SECRET": "secret", "WEB_PORT": port} | more
    return {f"BELLHOP_{name}": str(value) for name, value in given.items()}


def refused(environment, command="web"):
    command_line = [sys.executable, "-m", "bellhop", command]
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("BELLHOP_", "AWS_"))}
    done = subprocess.run(
        command_line, env=clean | environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert "Traceback" not in done.stdout + done.stderr
    return done.returncode, done.stderr


def test_an_unusable_address_is_reported_with_what_to_do():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        status, said = refused(settings(port))
        assert (status, said.count("\n")) == (1, 1)
        assert f"http://127.0.0.1:{port} is in use: stop what listens there, or set BELLHOP_WEB_PORT" in said
    status, said = refused(settings(port, WEB_HOST="192.0.2.1"))
    assert (status, said.count("\n")) == (1, 1)
    assert "is not an address of this machine: set BELLHOP_WEB_HOST" in said


def test_a_port_that_the_system_chose_is_logged():
    with running([sys.executable, "-m", "bellhop", "web"], settings(0)) as web:
        started = json.loads(web.stdout.readline())
        assert get(f"{started['address']}/healthz") == 200


def test_the_web_process_logs_its_address_and_that_redis_is_away():
    port = free_port()
    command = [sys.executable, "-m", "bellhop", "web"]
    with running(command, settings(port, CONSOLE_PASSWORD="a-password-of-nobody")) as web:
        assert get(f"http://127.0.0.1:{port}/healthz") == 200
        for path in ("", "/webhooks", "/webhooks/stream/"):
            request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", b"{}", {"X-Signature": "00"})
            with pytest.raises(urllib.error.HTTPError) as wrong:
                urllib.request.urlopen(request, timeout=30)
            assert (wrong.value.code, "Webhooks go to /webhooks/stream" in wrong.value.read().decode()) == (404, True)
            wrong.value.close()
        web.terminate()
        lines = [json.loads(line) for line in web.stdout.read().splitlines()]
    started, away, *webhooks = [line for line in lines if line["level"] != "debug"]
    assert started["event"] == "web_started"
    assert started["address"] == f"http://127.0.0.1:{port}"
    assert (started["tenants"], started["console"]) == (["default"], "/console")
    assert (away["event"], away["address"]) == ("redis_away", "127.0.0.1:1")
    assert [line["reason"] for line in webhooks if line["event"] == "webhook_refused"] == ["wrong_path"] * 3


def test_an_sqs_queue_without_credentials_stops_the_start():
    environment = settings(free_port(), SQS_QUEUE_URL="https://sqs.eu-west-1.amazonaws.com/1/calls")
    status, said = refused(environment | {"AWS_EC2_METADATA_DISABLED": "true", "HOME": "/nonexistent"}, "sqs")
    assert status == 2
    assert said.count("sqs_cannot_start") == 1
    assert "set AWS_ACCESS_KEY_ID" in said


def test_a_worker_whose_provider_is_away_ends_in_peace(redis_url, tmp_path):
    environment = settings(0, redis_url, **apple_that_is_away(tmp_path))
    with running([sys.executable, "-m", "bellhop", "worker"], environment) as worker:
        said = []
        while not said or "apns_connect_failed" not in said[-1]:
            said.append(worker.stdout.readline().decode())
            assert said[-1], said
        worker.terminate()
        said += worker.stdout.read().decode().splitlines()
    assert worker.wait() == 0
    assert "worker_stopped" in said[-1], "nothing of it comes after the end"
    assert not [line for line in said if json.loads(line)["level"] == "error"]


@pytest.mark.parametrize("command", ["web", "worker"])
def test_a_process_without_settings_ends_with_what_to_set(command):
    clean = {name: value for name, value in os.environ.items() if not name.startswith("BELLHOP_")}
    command_line = [sys.executable, "-m", "bellhop", command]
    result = subprocess.run(command_line, env=clean, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert "Bellhop cannot start with these settings:" in result.stderr
    assert "BELLHOP_" in result.stderr.splitlines()[1]
    assert "Traceback" not in result.stderr
