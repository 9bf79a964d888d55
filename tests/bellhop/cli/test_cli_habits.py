"""The habits of a good command line: help, JSON, colours, failures, Ctrl-C."""

import base64
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from bellhop.cli import COMMANDS, main
from bellhop.cli.progress import progress
from bellhop.sandbox.apple_server import new_signing_key
from bellhop.store.registry import register
from bellhop.store.steps import run_blocking
from bellhop.telemetry import logs
from tests.factories import a_device

AWAY = {"BELLHOP_REDIS_URL": "redis://:hunter2@127.0.0.1:1/0"}


@pytest.fixture(autouse=True)
def logs_as_they_are(monkeypatch):
    """Commands set the logs up for a process of their own; here, other tests read the log lines of this one."""
    monkeypatch.setattr(logs, "configure", lambda *_: None)


def bellhop(*arguments, stdin=None, color=False, **environment):
    return CliRunner(env=AWAY | environment).invoke(main, arguments, input=stdin, color=color)


def run(command, **options):
    return subprocess.run(
        [sys.executable, "-m", "bellhop", *command.split()],
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
        **options,
    )


def commands():
    """Every command and command of a group, with its words."""
    context = main.make_context("bellhop", [], resilient_parsing=True)
    for name in COMMANDS:
        command = main.get_command(context, name)
        yield name, command
        for inner_name, inner in getattr(command, "commands", {}).items():
            yield f"{name} {inner_name}", inner


@pytest.mark.parametrize("words", [(), *((name,) for name, _ in commands())])
def test_help_shows_whole_summaries(words):
    result = bellhop(*" ".join(words).split(), "--help", COLUMNS="80")
    assert result.exit_code == 0
    listed = result.output.partition("\nCommands:\n")[2].splitlines()
    assert all(line.endswith(".") and len(line) <= 80 for line in listed), listed


TABLES = (
    "calls",
    "check",
    "devices import-stream",
    "devices list",
    "explain",
    "outcomes",
    "replay",
    "scripts",
    "settings",
)


def test_each_command_with_a_table_has_json():
    having = {name for name, command in commands() for option in command.params if "--json" in option.opts}
    assert having >= set(TABLES)


def test_json_has_the_rows_of_the_table():
    (setting, *_), outcomes = (json.loads(bellhop(command, "--json").output) for command in ("settings", "outcomes"))
    assert setting | {"variable": "BELLHOP_REDIS_URL", "values": ""} == setting
    assert f"| `{setting['variable']}` | {setting['default']} |" in bellhop("settings").output
    assert [row["word"] for row in outcomes["standings"]][:2] == ["ringing", "answered"]
    assert f"| `{outcomes['outcomes'][0]['word']}` |" in bellhop("outcomes").output
    for sha, name in json.loads(bellhop("scripts", "--json").output).items():
        assert f"{sha}  {name}\n" in bellhop("scripts").output


@pytest.mark.parametrize(
    ("words", "expected"), [("bellhop dev", "plain,devices\n"), ("bellhop devices li", "plain,list\n")]
)
def test_the_shell_can_complete_commands(monkeypatch, words, expected):
    for name, value in {"_BELLHOP_COMPLETE": "bash_complete", "COMP_WORDS": words}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - 1))
    done = run("", stdout=subprocess.PIPE)
    assert done.stdout == expected
    assert "_BELLHOP_COMPLETE=bash_source bellhop" in Path("docs/command-line.md").read_text()


def test_a_misspelled_command_gets_a_suggestion():
    assert "No such command 'chek'. Did you mean 'check'?" in bellhop("chek").output
    assert "Did you mean 'list'?" in bellhop("devices", "lst").output
    assert bellhop("chek").exit_code == 2


@pytest.mark.parametrize(("no_color", "coloured"), [("1", False), ("", True)])
def test_no_color_is_obeyed_on_a_terminal(no_color, coloured):
    result = bellhop("check", NO_COLOR=no_color, color=True)
    assert ("\x1b[" in result.output) is coloured


def test_output_that_is_no_terminal_has_no_colour():
    assert "\x1b[" not in bellhop("check").output


@pytest.mark.parametrize("command", ["settings", "--help", "check --help", "check"])
def test_a_full_disk_is_one_sentence(command):
    with Path("/dev/full").open("w") as full:
        done = run(command, stdout=full)
    assert (done.returncode, done.stderr) == (1, "Error: the output cannot be written: No space left on device\n")


def test_a_reader_that_leaves_early_is_no_failure_to_report():
    with subprocess.Popen(
        [sys.executable, "-m", "bellhop", "settings"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(timeout=60) == 1


@pytest.mark.parametrize(
    "words",
    [
        "check",
        "devices list jane",
        "devices add jane --provider fcm --token t --app a",
        "devices import -",
        "devices remove jane key",
        "explain default:1",
        "replay --failed",
        "send-test jane",
        "devices import-stream jane",
    ],
)
def test_without_redis_each_command_is_one_sentence(words, tmp_path):
    (tmp_path / "key.p8").write_text(new_signing_key()[0])
    apple = {"KEY_FILE": str(tmp_path / "key.p8"), "KEY_ID": "ABC123DEFG", "TEAM_ID": "DEF123GHIJ", "TOPIC": "a.b"}
    settings = {f"BELLHOP_APNS_{name}": value for name, value in apple.items()}
    settings |= {"BELLHOP_STREAM_API_KEY": "k", "BELLHOP_STREAM_API_SECRET": "a-secret"}
    settings |= {"BELLHOP_APNS_URL": "https://127.0.0.1:1", "BELLHOP_APNS_SANDBOX_URL": "https://127.0.0.1:1"}
    settings |= {"BELLHOP_STREAM_API_URL": "http://127.0.0.1:1"}
    result = bellhop(*words.split(), stdin="", **settings)
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert "hunter2" not in result.output
    assert "127.0.0.1:1" in result.output


@pytest.mark.parametrize("command", ["forget --yes", "export", "send-test", "reachability", "devices list"])
def test_an_empty_user_id_is_refused(command):
    """A shell variable may have no value."""
    result = bellhop(*command.split(), "", **AWAY)
    assert (result.exit_code, "is empty: write the id of a user at Stream" in result.output) == (2, True)


@pytest.mark.parametrize("command", ["check", "send-test ben"])
def test_a_damaged_service_account_is_one_sentence(command, redis_url, redis_client, tmp_path):
    file = tmp_path / "account.json"
    key = "-----BEGIN PRIVATE KEY-----\\nMIIE\\n-----END PRIVATE KEY-----"  # the line breaks were escaped twice
    account = {"project_id": "calls", "client_email": "a@b.org", "token_uri": "https://127.0.0.1:1"}
    file.write_text(json.dumps(account | {"private_key": key}))
    run_blocking(register("default", a_device()), redis_client)
    settings = {"BELLHOP_REDIS_URL": redis_url, "BELLHOP_FCM_SERVICE_ACCOUNT_FILE": str(file)}
    result = bellhop(*command.split(), **settings, BELLHOP_FCM_URL="https://127.0.0.1:1")
    assert (result.exit_code, type(result.exception)) == (1, SystemExit), repr(result.exception)
    assert f"the private key in {file} cannot be read: download the file again" in result.output


@pytest.mark.parametrize("option", ["import {}", "import-stream --file {}"])
def test_a_file_that_cannot_be_read_is_one_sentence(option, tmp_path):
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    for path, why in ((tmp_path / "missing", "No such file"), (tmp_path, "Is a directory")):
        result = bellhop("devices", *option.format(path).split())
        assert (result.exit_code, result.output.count("\n")) == (2, 4), result.output
        assert why in result.output
    result = bellhop("devices", "import-stream", "--file", str(tmp_path / "binary"))
    assert "the file must be UTF-8 text with one user id per line" in result.output


def test_a_terminal_without_utf_8_shows_every_line():
    latin = os.environ | {"PYTHONIOENCODING": "latin-1"}
    done = run("settings", stdout=subprocess.PIPE, env=latin, errors="replace")
    assert (done.returncode, done.stderr) == (0, "")
    assert "\\u2026" in done.stdout


def test_an_id_that_is_not_utf_8_is_one_sentence(redis_url):
    result = bellhop("devices", "list", os.fsdecode(b"J\xfcrgen"), BELLHOP_REDIS_URL=redis_url)
    assert result.exit_code == 2
    assert "Error: the command line is not UTF-8: set the terminal to UTF-8\n" in result.output


def test_a_port_that_is_in_use_is_one_sentence():
    with socket.create_server(("127.0.0.1", 0)) as other:
        secret = "whsec_" + base64.b64encode(bytes(32)).decode()
        secrets = {"BELLHOP_EVENT_SECRETS": json.dumps({"backend": [secret]})}
        endpoints = {"BELLHOP_EVENT_ENDPOINTS": '[{"name": "backend", "url": "https://api.example.com/"}]'}
        port = other.getsockname()[1]
        result = bellhop("events", "listen", "--port", str(port), **secrets, **endpoints)
    assert result.exit_code == 1
    assert result.output == f"Error: port {port} cannot be used (Address already in use): name another with --port\n"


def test_ctrl_c_ends_a_command_with_130(monkeypatch):
    from bellhop.cli import scripts  # noqa: PLC0415 - its command is replaced

    def interrupted(**_):
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(scripts.command, "callback", interrupted)
    result = bellhop("scripts")
    assert (result.exit_code, result.output) == (130, "\nStopped.\n")


def test_ctrl_c_in_an_import_says_how_to_go_on(redis_url, monkeypatch):
    from bellhop.cli import import_devices  # noqa: PLC0415

    monkeypatch.setattr(import_devices, "BATCH", 2)
    monkeypatch.setattr(import_devices, "run_blocking", stop_at_second_call(import_devices.run_blocking))
    device = '{{"user_id": "u{0}", "provider": "fcm", "token": "t{0}", "app": "a"}}'
    lines = "\n".join(device.format(number) for number in range(5))
    result = bellhop("devices", "import", "-", stdin=lines, BELLHOP_REDIS_URL=redis_url)
    assert result.exit_code == 130
    assert "Stopped after line 2: 2 registered, 0 left out. To go on, run the command again" in result.output


def test_ctrl_c_in_a_replay_says_what_is_queued(redis_url, monkeypatch):
    from bellhop.cli import replay  # noqa: PLC0415

    monkeypatch.setattr(replay, "run_again", stop_at_second_call(lambda *_: None))
    result = bellhop("replay", "one", "two", "three", BELLHOP_REDIS_URL=redis_url)
    assert result.exit_code == 130
    assert "Stopped: 1 of 3 jobs are queued again. To go on, run the command again." in result.output


def stop_at_second_call(function):
    """Press Ctrl-C when a function is called for the second time."""
    calls = []

    def stopping(*arguments):
        calls.append(arguments)
        if len(calls) == 2:
            signal.raise_signal(signal.SIGINT)
        return function(*arguments)

    return stopping


def test_the_progress_has_rate_and_rest(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setattr("click._termui_impl.isatty", lambda _: True)
    clock = iter(range(10_000))
    monkeypatch.setattr("time.time", lambda: next(clock))
    with progress(range(100), "users", 100, str) as items:
        for item in items:
            if item == 50:
                break
    out, err = capsys.readouterr()
    assert out == ""
    assert "50/100" in err
    assert "users/s" in err
    assert "00:0" in err, "the time that is left"
