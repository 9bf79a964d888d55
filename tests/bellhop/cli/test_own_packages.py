"""Beside a team's own worker.py or webhook.py, the start fails with one clear sentence."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(("command", "package"), [("worker", "worker"), ("web", "webhook")])
def test_a_module_of_the_same_name_is_named(tmp_path, command, package):
    (tmp_path / f"{package}.py").write_text("raise SystemExit('the code of the team ran')")
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}:{ROOT}"}
    start = [sys.executable, "-m", "bellhop", command]
    done = subprocess.run(start, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(
        f"Error: Python finds {tmp_path}/{package}.py in place of Bellhop's package {package}:"
    )
    assert done.stderr.count("\n") == 1
