"""`bellhop payload` prints what a push would carry, and sends nothing."""

import json

import pytest
from click.testing import CliRunner

from bellhop.cli import main
from bellhop.cli.check import of_the_settings
from bellhop.cli.check.finding import Level
from bellhop.settings import Settings

TABLE = '[[pushes]]\nkind = "missed"\nprovider = "fcm"\nbody = "{{ call.custom.chat_id }} {{ receiver.language }}"\n'


@pytest.fixture
def bellhop(tmp_path):
    """Run the command; returns (status, the JSON that it printed, what it complained of)."""

    def run(*args, table=TABLE):
        (tmp_path / "pushes.toml").write_text(table)
        settings = {"BELLHOP_PUSHES_FILE": str(tmp_path / "pushes.toml"), "BELLHOP_PUSH_CALL_FIELDS": "chat_id"}
        result = CliRunner(env=settings).invoke(main, ["payload", *args])
        return result.exit_code, json.loads(result.stdout or "null"), result.stderr

    return run


def test_a_push_with_the_teams_text_is_printed(bellhop):
    status, message, said = bellhop("--kind", "missed", "--provider", "fcm", "--language", "de", "--platform", "ios")
    assert status == 0
    assert message["data"]["body"] == message["apns"]["payload"]["aps"]["alert"]["body"] == "room-42 de"
    assert message["data"]["title"] == "Verpasster Anruf"
    assert message["android"] == {"priority": "HIGH"}
    assert "of 4,096 bytes" in said


def test_a_webhook_in_a_file_is_the_call(bellhop, samples, tmp_path):
    ring = json.loads((samples / "call.ring.json").read_bytes())
    ring["call"]["custom"]["display_name"] = "Another call"
    (tmp_path / "webhook.json").write_text(json.dumps(ring))
    _, payload, _ = bellhop("--kind", "ring", "--provider", "apns", "--call", str(tmp_path / "webhook.json"))
    assert payload["stream"]["call_display_name"] == "Another call"


@pytest.mark.parametrize("body", ['{"type": "call.ended", "call_cid": "default:1"}', "{", '{"type": "call.ring"}'])
def test_a_file_that_is_no_such_webhook_is_refused(bellhop, tmp_path, body):
    (tmp_path / "webhook.json").write_text(body)
    status, _, said = bellhop("--kind", "ring", "--provider", "apns", "--call", str(tmp_path / "webhook.json"))
    assert status == 1
    assert "webhook.json is" in said


def test_mistakes_are_named_by_the_command_and_the_check(bellhop, tmp_path):
    status, _, said = bellhop("--kind", "ring", "--provider", "apns", table=TABLE.replace("call.custom", "cal.custom"))
    assert (status, "line 4, body: uses cal.custom.chat_id" in said) == (1, True)
    findings = list(of_the_settings(Settings(pushes_file=tmp_path / "pushes.toml")))
    [problem] = [finding for finding in findings if finding.level is Level.PROBLEM]
    assert problem.subject == "Own pushes"
