"""The web process against hostile bytes: a corpus of past inputs, and some thousand new inputs in each run."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.targets import CORPUS, TARGETS
from tests.webhook.intake.strategies import mutated_events

KEPT = [
    pytest.param(name, path, id=f"{name}-{path.name}") for name in TARGETS for path in sorted((CORPUS / name).iterdir())
]
RUNS = 3_000


@pytest.mark.parametrize(("name", "path"), KEPT)
def test_what_was_kept(name, path):
    TARGETS[name](path.read_bytes())


@given(st.sampled_from(["reading", "effects"]), mutated_events(), st.binary(max_size=4), st.integers(0, 10_000))
def test_events_with_a_few_wrong_values_and_a_few_wrong_bytes(name, event, wrong, at):
    body = json.dumps(event).encode()
    at %= len(body)
    TARGETS[name](body[:at] + wrong + body[at + len(wrong) :])


@given(st.lists(st.binary(max_size=80), min_size=3, max_size=3), st.binary())
def test_any_headers_with_any_body(headers, body):
    TARGETS["signature"](b"\n".join(headers) + b"\n\n" + body)


@pytest.mark.skipif(find_spec("atheris") is None, reason="atheris has wheels for Linux on x86-64 only")
@pytest.mark.parametrize("name", TARGETS)
def test_some_thousand_inputs_that_follow_the_code(name):
    command = [sys.executable, Path(__file__).with_name("run.py"), name, "--runs", str(RUNS), "--seed", "1"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)
    assert run.returncode == 0, run.stderr[-3000:]
    assert f"stat::number_of_executed_units: {RUNS}" in run.stderr
