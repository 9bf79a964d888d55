"""The production commands: granian by `bellhop web`, gunicorn's gthread, and bad settings."""

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager

import pytest

from worker.sandbox.process import free_port


@contextmanager
def running(command, environment):
    process = subprocess.Popen(command, env=os.environ | environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=20)


def get(url):
    give_up = time.monotonic() + 30
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            if time.monotonic() > give_up:
                raise
            time.sleep(0.1)


@pytest.mark.parametrize("server", ["granian", "gunicorn"])
def test_the_application_serves_under(server, redis_url):
    port = free_port()
    environment = {
        "BELLHOP_REDIS_URL": redis_url,
        "BELLHOP_STREAM_API_KEY": "key",
        "BELLHOP_STREAM_API_SECRET": "secret",
        "BELLHOP_WEB_PORT": str(port),
    }
    commands = {
        "granian": [sys.executable, "-m", "bellhop", "web"],
        "gunicorn": [sys.executable, "-m", "gunicorn", "-k", "gthread", "-b", f"127.0.0.1:{port}", "webhook.wsgi:app"],
    }
    with running(commands[server], environment):
        assert get(f"http://127.0.0.1:{port}/healthz") == 200
        assert get(f"http://127.0.0.1:{port}/readyz") == 503, "no worker is alive"
        request = urllib.request.Request(f"http://127.0.0.1:{port}/webhooks/stream", data=b"{}")
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=5)
        assert refused.value.code == 401
        refused.value.close()


@pytest.mark.parametrize("command", ["web", "worker"])
def test_a_process_without_settings_ends_with_what_to_set(command):
    clean = {name: value for name, value in os.environ.items() if not name.startswith("BELLHOP_")}
    command_line = [sys.executable, "-m", "bellhop", command]
    result = subprocess.run(command_line, env=clean, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert "Bellhop cannot start with these settings:" in result.stderr
    assert "BELLHOP_" in result.stderr.splitlines()[1]
    assert "Traceback" not in result.stderr
