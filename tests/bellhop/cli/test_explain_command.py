"""`bellhop explain`: a call in a terminal, wrapped, coloured, harmless, and as JSON."""

import json

import pytest
import redis
from click.testing import CliRunner

from bellhop.cli import main
from bellhop.explain.explanation import explain
from bellhop.store.keys import trail_key
from bellhop.trail import JobPickedUp, PushAttempted, PushSkipped, WebhookReceived, read_trail
from tests.trails import line

T = 1_784_887_200_123_000
CID = "default:1"
IPHONE = {"user": "jane", "device": "ab" * 10, "label": "Jane's iPhone", "provider": "apns", "app": "com.example"}
LINES = [
    line(WebhookReceived, T + 9_000, type="call.ring", stamp=T, users=["jane", "ben"], round=T, callers=["sara"]),
    line(JobPickedUp, T + 12_000, round=T, job="ring"),
    line(PushSkipped, T + 13_000, round=T, kind="ring", user="ben", outcome="no_devices"),
    line(
        PushAttempted,
        T + 250_000,
        round=T,
        kind="ring",
        outcome="wrong_app",
        status=400,
        reason="DeviceTokenNotForTopic",
        **IPHONE,
    ),
]


@pytest.fixture
def bellhop(redis_url):
    with redis.Redis.from_url(redis_url) as client:
        client.rpush(trail_key("default", CID), *LINES)

        def run(*args, status=0, columns=100, color=False):
            environment = {"BELLHOP_REDIS_URL": redis_url, "COLUMNS": str(columns)}
            result = CliRunner(env=environment).invoke(main, ["explain", *args], color=color)
            assert result.exit_code == status, result.output
            return result.output

        run.redis = client
        yield run


def test_verdict_then_advice_then_timeline(bellhop):
    output = bellhop(CID, "jane", columns=200)
    order = [
        "sara called jane and ben, at 2026-07-24 10:00:00.123 UTC.",
        "✗ jane: Jane's iPhone was not rung: Apple says that this phone's push token belongs to another app",
        "→ Check which app the phone registers its token with",
        "+0.01 s  Stream reports that sara called jane and ben.",
        "+0.25 s  An attempt to send the ring for Jane's iPhone failed",
    ]
    places = [output.index(part) for part in order]
    assert places == sorted(places)
    assert "ben gets no ring" not in output


def test_without_a_user_everybody_is_told(bellhop):
    output = bellhop(CID)
    assert "Bellhop reached 0 of 2 people. Something went wrong for jane and ben." in output
    assert "✗ ben was not rung: no phone is registered for calls." in output


@pytest.mark.parametrize("columns", [40, 72, 100])
def test_lines_are_wrapped_to_the_terminal(bellhop, columns):
    output = bellhop(CID, columns=columns)
    # A word that is longer than the line is not cut: it may be something to copy.
    assert all(len(text) <= columns for text in output.splitlines())


def test_colours_are_for_terminals_only(bellhop):
    assert "\x1b[31m" in bellhop(CID, color=True)
    assert "\x1b" not in bellhop(CID)


def test_json_is_the_explanation_itself(bellhop):
    found = explain(CID, read_trail(LINES), "jane")
    assert json.loads(bellhop(CID, "jane", "--json")) == json.loads(json.dumps(found.as_json()))


def test_a_call_nobody_knows_exits_with_1_and_says_what_to_check(bellhop):
    output = bellhop("default:other", status=1)
    assert "Bellhop has no record of the call default:other." in output
    assert "run `bellhop check`" in " ".join(output.split())


def test_a_call_of_another_app_is_found_with_its_tenant_only(bellhop):
    bellhop.redis.rpush(trail_key("staging", "default:2"), *LINES)
    bellhop("default:2", status=1)
    assert "sara called jane and ben" in bellhop("default:2", "--tenant", "staging")


def test_a_user_who_was_not_called_exits_with_1(bellhop):
    assert "kim was not called. This call was for jane and ben." in bellhop(CID, "kim", status=1)


def test_a_name_cannot_play_with_the_terminal(bellhop):
    evil = IPHONE | {"label": "\x1b]0;gotcha\x07\x1b[2J\n\rphone", "user": "ev\x1bil"}
    bellhop.redis.rpush(trail_key("default", "default:3"), line(PushSkipped, T, round=T, kind="ring", **evil))
    output = bellhop("default:3")
    assert not {character for character in output if ord(character) < 32} - {"\n"}


def test_an_unknown_call_names_the_other_stream_apps(redis_url):
    apps = [{"tenant": tenant, "api_keys": [tenant], "api_secrets": ["s"]} for tenant in ("live", "staging")]
    environment = {"BELLHOP_REDIS_URL": redis_url, "BELLHOP_STREAM_APPS": json.dumps(apps)}
    result = CliRunner(env=environment).invoke(main, ["explain", "default:unknown", "--tenant", "live"])
    assert result.exit_code == 1
    assert "Bellhop looked in the Stream app live. Try --tenant staging." in result.output
    assert CliRunner(env=environment).invoke(main, ["explain", "default:unknown", "--tenant", "nope"]).exit_code == 2
