"""What a command imports before it does anything, in a process of its own."""

import subprocess
import sys

import pytest
from click.testing import CliRunner

from bellhop.cli import COMMANDS, main, outcomes

LOADED = """
import sys
from click.testing import CliRunner
from bellhop.cli import main
CliRunner(env={"BELLHOP_REDIS_URL": "redis://127.0.0.1:1/0"}).invoke(main, sys.argv[1:])
print(*sys.modules)
"""
HEAVY = {"aiohttp", "boto3", "flask", "h2", "httptools", "redis", "rq", "structlog"}


@pytest.mark.parametrize(
    ("command", "needed"),
    [
        ("--help", set()),
        ("--version", set()),
        ("outcomes", set()),
        ("explain default:1", {"redis", "structlog"}),
        ("explain --help", {"redis", "structlog"}),
    ],
)
def test_a_command_imports_only_what_it_needs(command, needed):
    done = subprocess.run(
        [sys.executable, "-c", LOADED, *command.split()], capture_output=True, text=True, check=True, timeout=120
    )
    loaded = set(done.stdout.split())
    assert {"bellhop.cli", "click"} <= loaded
    assert loaded & HEAVY <= needed


def test_the_list_of_commands_says_what_each_says_of_itself():
    context = main.make_context("bellhop", [], resilient_parsing=True)
    said = {name: main.get_command(context, name).get_short_help_str(80) for name in COMMANDS}
    assert said == COMMANDS


def test_an_error_of_ours_keeps_its_cause(monkeypatch):
    def broken(**_):
        try:
            raise KeyError("the cause")
        except KeyError as error:
            raise ValueError("a mistake of ours") from error

    monkeypatch.setattr(outcomes.command, "callback", broken)
    error = CliRunner().invoke(main, ["outcomes"]).exception
    assert isinstance(error, ValueError)
    assert isinstance(error.__cause__, KeyError)
