"""Stream's own templates, taken over: nothing of them is lost without a word."""

import asyncio
import json

import pytest
from click.testing import CliRunner

from bellhop.cli import main
from bellhop.cli.check.stream import template_findings
from bellhop.domain.device import Provider
from bellhop.domain.own_pushes import NO_TEMPLATES
from bellhop.domain.push import PushKind
from bellhop.sandbox.stream_rest import StreamApiStandIn, call_type
from bellhop.settings import Settings
from bellhop.settings.pushes_file import read_pushes
from bellhop.stream_templates import CallTypes, as_toml, custom_fields_of, our_template, taken_over, without_ours

RING = {
    "apns": {"title": "{{ user.display_name }} calls", "body": "", "sound": "ring.caf", "data": {"screen": "call"}},
    "fcm": {"data": {"title": "{{user.display_name}} calls", "room": "{{ call.custom.room }}", "size": 3}},
}
MISSED = {
    "apns": {
        "title": "Missed",
        "body": "{{{ call.display_name }}} by {{ user.custom.tier }} {% x",
        "sound": "default",
        "data": {"call_cid": "x", "who": "{{#if user.name}}a{{/if}}", "long": "y" * 1_001},
        "content-available": 1,
    }
}


def pushes_of(**types):
    return [*taken_over(CallTypes.model_validate_json(json.dumps({"call_types": types})).call_types)]


@pytest.mark.parametrize(
    ("theirs", "ours", "unknown"),
    [
        ("{{ user.display_name }} in {{{call.display_name}}}", "{{ caller.name }} in {{ call.name }}", ""),
        ("{{ call.custom.room_id }}", "{{ call.custom.room_id }}", ""),
        ("a {% b {# c", "a {{ '{%' }} b {{ '{#' }} c", ""),
        ("{{ members.0.name }} {{ x }}", "{{ None }} {{ None }}", "members.0.name"),
    ],
)
def test_a_template_of_streams_is_translated(theirs, ours, unknown):
    assert our_template(theirs) == (ours, unknown)


def test_every_field_is_taken_over_or_named(tmp_path):
    pushes = pushes_of(default=call_type(call_ring=RING, call_missed=MISSED))
    path = tmp_path / "pushes.toml"
    path.write_text(as_toml(pushes, ["default"]))
    used = custom_fields_of(pushes)
    assert used == {"call": ["room"], "caller": ["tier"]}
    settings = Settings(pushes_file=path, push_call_fields=["room"], push_caller_fields=["tier"])
    own = read_pushes(settings)
    assert own.problems == []
    ring = own.templates.of(PushKind.RING, Provider.APNS, "any", "default:1")
    assert ([*ring.texts], [*ring.data]) == (["title", "ringtone"], ["screen"])
    android = own.templates.of(PushKind.RING, Provider.FCM, "any", "default:1")
    assert ([*android.texts], [*android.data]) == (["title"], ["room", "size"])
    missed = own.templates.of(PushKind.MISSED, Provider.APNS, "any", "default:1")
    assert ([*missed.texts], [*missed.data]) == (["title", "body"], [])
    [lost] = [push.lost for push in pushes if push.lost]
    assert [reason.partition(":")[0] for reason in lost] == [
        "data call_cid",
        "data who",
        "data long",
        "content-available",
    ]
    assert all(without_ours(push, own.templates, ["any"]) == [] for push in pushes)
    assert without_ours(pushes[0], NO_TEMPLATES, ["any"]) == ["ringtone", "screen", "title"]


@pytest.mark.parametrize(
    "odd", [{"apns": 1, "fcm": []}, {"apns": {"title": 7, "data": "x", "sound": None}}, {"fcm": {"data": [1]}}]
)
def test_templates_of_another_form_count_as_none(odd):
    assert pushes_of(default=call_type(call_ring=odd)) == []


def test_what_is_the_same_for_all_call_types_stands_once():
    same, other = call_type(call_ring=RING), call_type(call_ring=RING | {"fcm": {"data": {"a": "b"}}})
    text = as_toml(pushes_of(one=same, two=same), ["one", "two"])
    assert (text.count("[[pushes]]"), text.count("call_type")) == (2, 0)
    text = as_toml(pushes_of(one=same, two=other), ["one", "two"])
    assert (text.count("[[pushes]]"), text.count("call_type")) == (3, 2)


def test_the_check_says_what_a_team_would_lose(tmp_path):
    types = CallTypes.model_validate({"call_types": {"default": call_type(call_ring=RING, call_missed=MISSED)}})
    said = [finding.sentence for finding in template_findings("Stream", types.call_types, Settings())]
    assert said[0].startswith(
        "the ring push of call type default through apns has ringtone, screen, title at Stream, and not in your own"
    )
    assert [
        sentence for sentence in said if "Bellhop cannot send data who: Bellhop has no {{#if user.name}}" in sentence
    ]
    assert [
        *template_findings(
            "Stream",
            {
                "default": CallTypes.model_validate({"call_types": {"default": call_type("call_ring")}}).call_types[
                    "default"
                ]
            },
            Settings(),
        )
    ] == []


async def test_the_command_writes_the_file(tmp_path):
    path = tmp_path / "pushes.toml"
    async with StreamApiStandIn("app-key", "a-secret-that-is-long-enough-for-hs256") as stream:
        stream.call_types = {"default": call_type(call_ring=RING, call_missed=MISSED)}
        environment = {
            "STREAM_API_URL": stream.url,
            "STREAM_API_KEY": "app-key",
            "STREAM_API_SECRET": "a-secret-that-is-long-enough-for-hs256",
        }
        runner = CliRunner(env={f"BELLHOP_{name}": value for name, value in environment.items()})
        run = [main, ["import-stream-templates", str(path)]]
        result = await asyncio.to_thread(runner.invoke, *run)
        again = await asyncio.to_thread(runner.invoke, *run)
        stream.secrets = {}
        refused = await asyncio.to_thread(runner.invoke, main, ["import-stream-templates", "-"])
    assert result.exit_code == 0, result.stderr
    assert path.read_text().count("[[pushes]]") == 3
    assert f"set BELLHOP_PUSHES_FILE={path}\nset BELLHOP_PUSH_CALL_FIELDS=room\n" in result.stderr
    assert "not taken over: missed through apns, call type default, data call_cid" in result.stderr
    assert (again.exit_code, "exists" in again.stderr) == (1, True)
    assert (refused.exit_code, "Stream's call types cannot be read: status 401" in refused.stderr) == (1, True)
