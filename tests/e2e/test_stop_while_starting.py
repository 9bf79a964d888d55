"""A process that gets SIGTERM while it starts ends with 0, at every moment of its start.

Each process is started STARTS times, and stopped each time at a later moment of its start.
"""

import itertools
import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from bellhop.sandbox.child_process import end_with_parent, free_port
from bellhop.sandbox.redis_server import RedisServer
from tests.factories import apple_that_is_away

STARTS = int(os.environ.get("STARTS", "4"))
LONGER = 1.3
"""The moments are spread over this many times the length of a start, so that some are after it."""
STARTED = {"web": b"web_started", "worker": b"worker_started"}
PATIENCE_S = 120
FIRST_LINES_RAN = b"the first lines have run"
BELLHOP = f"""
import os, runpy, sys

def announce(event, arguments):
    if event == "import" and arguments[0] == "bellhop.cli":
        os.write(1, {FIRST_LINES_RAN!r})

sys.addaudithook(announce)
runpy.run_module("bellhop", run_name="__main__", alter_sys=True)
"""
"""`python -m bellhop`. It also says when bellhop/__main__.py, which imports nothing before, imports the commands."""


@pytest.fixture
def environment(tmp_path):
    settings = {
        "STREAM_API_KEY": "key",
        "STREAM_API_SECRET": "secret",
        **apple_that_is_away(tmp_path),
        "WEB_PORT": str(free_port()),
    }
    return os.environ | {f"BELLHOP_{name}": value for name, value in settings.items()}


@contextmanager
def redis_that(how, folder):
    """The URL of a Redis that runs, is away, or accepts connections and never answers."""
    if how == "runs":
        with RedisServer(folder) as server:
            yield server.url
    elif how == "is away":
        yield "redis://127.0.0.1:1/0"
    else:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            yield f"redis://127.0.0.1:{silent.getsockname()[1]}/0"


@contextmanager
def started(command, environment, output):
    """Start a process. Bellhop's first lines have run when this returns."""
    with output.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", BELLHOP, command],
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=end_with_parent,  # noqa: PLW1509 - it makes only one system call
        )
    try:
        wait_for(lambda: FIRST_LINES_RAN in output.read_bytes())
        yield process
    finally:
        process.kill()
        process.wait()


def stop(process, number):
    """Send SIGTERM: by turns to this process alone, as Docker does, and to all of its group, as systemd does."""
    if number % 2:
        os.killpg(process.pid, signal.SIGTERM)
    else:
        process.send_signal(signal.SIGTERM)


def wait_for(condition):
    give_up = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.002)


@pytest.mark.timeout(PATIENCE_S + 30 * STARTS)
@pytest.mark.parametrize("how", ["runs", "is away", "never answers"])
@pytest.mark.parametrize("command", STARTED)
def test_it_ends_with_0_at_every_moment(tmp_path, environment, command, how):
    output = tmp_path / "output.log"
    with redis_that(how, tmp_path) as url:
        environment |= {"BELLHOP_REDIS_URL": url}
        began_s = time.monotonic()
        with started(command, environment, output):
            wait_for(lambda: STARTED[command] in output.read_bytes())
            start_s = (time.monotonic() - began_s) * LONGER
        for number in range(STARTS):
            pause_s = start_s * (number + random.random()) / STARTS
            with started(command, environment, output) as process:
                time.sleep(pause_s)
                stop(process, number)
                assert process.wait(PATIENCE_S) == 0, (
                    f"stopped {pause_s:.3f} s after its first line",
                    output.read_text(),
                )
                assert b"Traceback" not in output.read_bytes()


@pytest.mark.parametrize("command", STARTED)
def test_it_ends_with_0_after_many_signals(tmp_path, environment, command):
    output = tmp_path / "output.log"
    with (
        redis_that("runs", tmp_path) as url,
        started(command, environment | {"BELLHOP_REDIS_URL": url}, output) as process,
    ):
        wait_for(lambda: STARTED[command] in output.read_bytes())
        give_up = time.monotonic() + PATIENCE_S
        for number in itertools.takewhile(lambda _: process.poll() is None, itertools.count()):
            assert time.monotonic() < give_up
            stop(process, number)
            time.sleep(0.001)
        assert process.returncode == 0, output.read_text()


def test_a_serving_process_that_ends_first_changes_nothing(tmp_path, environment):
    output = tmp_path / "output.log"
    environment |= {"BELLHOP_REDIS_URL": "redis://127.0.0.1:1/0"}
    for _ in range(STARTS):
        with started("web", environment, output) as process:
            wait_for(lambda: serves(environment["BELLHOP_WEB_PORT"]))
            (serving,) = children_of(process.pid)
            process.send_signal(signal.SIGSTOP)
            os.kill(serving, signal.SIGTERM)
            wait_for(partial(has_ended, serving))
            process.send_signal(signal.SIGTERM)
            process.send_signal(signal.SIGCONT)
            assert process.wait(PATIENCE_S) == 0, output.read_text()


def test_a_serving_process_ends_if_its_parent_died_meanwhile(tmp_path, environment):
    environment |= {"BELLHOP_REDIS_URL": "redis://127.0.0.1:1/0"}
    with started("web", environment, tmp_path / "output.log") as process:
        wait_for(lambda: children_of(process.pid))
        (serving,) = children_of(process.pid)
    wait_for(lambda: not Path(f"/proc/{serving}").exists())


def serves(port):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=1) as answer:
            return answer.status == 200
    except OSError:
        return False


def children_of(pid):
    """The processes that run for this one, without Python's helper that tracks shared resources."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in children if b"resource_tracker" not in Path(f"/proc/{child}/cmdline").read_bytes()]


def has_ended(pid):
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
