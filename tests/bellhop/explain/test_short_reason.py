"""Why somebody's phone rang or did not ring, in a few words."""

import pytest

from bellhop.domain.outcomes import Tone
from bellhop.explain.explanation import explain
from bellhop.explain.summary import person_results, summarize
from bellhop.trail import EmailMilestone, PushFinished, PushSkipped, PushWaited
from tests.trails import START as T
from tests.trails import attempt, ring, settled, told, webhook

IPHONE = {"user": "jane", "device": "ab" * 10, "label": "Jane's iPhone", "provider": "apns"}
PIXEL = {"user": "jane", "device": "cd" * 10, "label": "Jane's Pixel", "provider": "fcm"}
MISSED = settled(40, "jane", "missed")


def skipped(outcome, user="jane", reason=""):
    return told(PushSkipped, 0.02, round=T, kind="ring", user=user, outcome=outcome, reason=reason)


def push(what, after_s, outcome, device=IPHONE, **facts):
    return told(what, after_s, round=T, kind="ring", outcome=outcome, **device, **facts)


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ([], "no worker took it up in time"),
        ([skipped("no_devices"), MISSED], "no devices"),
        ([skipped("no_devices", reason="1 device"), MISSED], "no token for calls"),
        ([skipped("muted"), MISSED], "muted"),
        ([skipped("muted"), settled(2, "jane", "cancelled")], "muted"),
        ([skipped("quiet_hours"), settled(2, "jane", "answered")], "answered"),
        ([attempt(0.1, IPHONE, "token_dead"), MISSED], "token dead"),
        ([attempt(0.1, IPHONE, "token_dead"), attempt(0.1, PIXEL, "token_dead"), MISSED], "all tokens dead"),
        (
            [attempt(0.1, IPHONE, "token_dead"), attempt(0.1, PIXEL, "unavailable"), MISSED],
            "token dead and provider unavailable",
        ),
        ([attempt(0.1, IPHONE, "token_dead"), attempt(0.1, PIXEL, "accepted")], "1 of 2 phones: token dead"),
        ([attempt(0.1, IPHONE, "accepted"), MISSED], "not answered"),
        ([attempt(0.1, IPHONE, "accepted"), settled(2, "jane", "declined")], "declined"),
        ([attempt(0.1, IPHONE, "accepted"), settled(40, "jane", "no_answer")], ""),
        ([attempt(7.1, IPHONE, "accepted"), MISSED], "rang after 7.1 s"),
        (
            [push(PushWaited, 0.1, "circuit_open", reason="InvalidProviderToken"), push(PushFinished, 30, "timed_out")],
            "credentials refused",
        ),
        ([attempt(0.1, IPHONE, "unavailable"), push(PushFinished, 30, "timed_out")], "provider unavailable"),
        (
            [attempt(0.1, IPHONE, "accepted"), MISSED, attempt(41, PIXEL, "token_dead", kind="missed")],
            "not answered, notice: token dead",
        ),
        (
            [
                attempt(0.1, IPHONE, "accepted"),
                settled(40, "jane", "missed"),
                told(EmailMilestone, 45, round=T, user="jane", outcome="mail_refused"),
            ],
            "not answered, e-mail: mail refused",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_reason_has_a_few_words(lines, reason):
    explanation = explain("default:1", [ring("jane"), *lines], now=T + 60_000_000)
    assert explanation.rounds[0].people[0].reason == reason
    assert summarize(explanation).reason == reason


@pytest.mark.parametrize(
    ("lines", "tone", "reason"),
    [
        (
            [attempt(0.1, PIXEL, "accepted"), skipped("no_devices", "ben"), settled(2, "ben", "missed")],
            Tone.BAD,
            "no devices: ben",
        ),
        (
            [attempt(0.1, PIXEL, "accepted"), skipped("muted", "ben"), settled(2, "ben", "missed")],
            Tone.QUIET,
            "muted: ben",
        ),
        (
            [attempt(0.1, PIXEL, "accepted"), attempt(0.1, IPHONE, "token_dead"), settled(2, "ben", "answered")],
            Tone.BAD,
            "1 of 2 phones: token dead: jane",
        ),
        (
            [attempt(5, PIXEL, "accepted"), settled(9, "jane", "answered")],
            Tone.BAD,
            "no attempt: ben; rang after 5 s: jane",
        ),
        (
            [skipped("no_devices"), skipped("no_devices", "ben"), MISSED, settled(2, "ben", "missed")],
            Tone.BAD,
            "no devices",
        ),
    ],
)
def test_list_and_page_judge_a_call_by_one_rule(lines, tone, reason):
    explanation = explain("default:1", [ring("jane", "ben"), *lines], now=T + 60_000_000)
    call, results = summarize(explanation), person_results(explanation.rounds[0])
    assert (call.tone, call.reason) == (tone, reason)
    assert results[0].tone is call.tone, "the worst comes first"
    assert frozenset().union(*(result.flags for result in results)) == call.flags


def test_people_with_different_reasons_are_named():
    lines = [attempt(0.1, IPHONE, "accepted"), attempt(0.1, PIXEL | {"user": "ben"}, "accepted")]
    lines += [settled(2, "jane", "answered"), settled(9, "ben", "ended")]
    assert summarize(explain("default:1", [ring("jane", "ben"), *lines])).reason == "answered: jane; call ended: ben"


def test_trouble_in_an_earlier_round_is_named():
    """The row is red, and says why, as the page of the call shows it."""
    later = [ring("jane", after_s=60), told(PushFinished, 61, round=T + 60_000_000, kind="ring", outcome="accepted")]
    lines = [ring("jane"), attempt(0.1, IPHONE, "token_dead"), MISSED, *later, webhook("call.accepted", 70, "jane")]
    call = summarize(explain("default:1", lines, now=T + 100_000_000))
    assert (call.tone, call.reason) == (Tone.BAD, "token dead")
