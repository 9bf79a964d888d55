"""A ring that a bound turned away: everybody learns why nobody was rung, and the rings before it keep their events."""

import pytest

from bellhop.domain.outcomes import CALLS_NOBODY, MEANING, Outcome, Tone
from bellhop.explain.explanation import explain
from bellhop.explain.summary import Flag, summarize
from bellhop.trail import PushAttempted, WebhookOutdated, WebhookPutOff
from tests.trails import START, attempt, ring, told, webhook

IPHONE = {"user": "jane", "device": "ab" * 10, "label": "Jane's iPhone", "provider": "apns"}
RANG = [ring("jane", session="first"), attempt(0.1, IPHONE, "accepted")]
TURNED_AWAY = ring("jane", "ben", after_s=1, session="first", outcome="call_limit", until=None, more=98)


def test_each_user_of_such_a_ring_learns_the_reason():
    for outcome in CALLS_NOBODY:
        refused = ring("jane", "ben", outcome=outcome, until=None)
        found = explain("default:1", [refused])
        assert [person.user for person in found.rounds[0].people] == ["jane", "ben"]
        for person in found.rounds[0].people:
            assert person.verdict == f"{person.user} was not rung: {MEANING[Outcome(outcome)].sentence}."
            assert (person.tone, person.next) == (Tone.BAD, (MEANING[Outcome(outcome)].advice,))
        assert summarize(found).flags == {Flag.NOT_REACHED}


def test_the_ring_before_it_is_told_as_without_it():
    accepted = webhook("call.accepted", 2, "jane", session="first")
    alone = explain("default:1", [*RANG, accepted])
    both = explain("default:1", [*RANG, TURNED_AWAY, accepted])
    assert both.rounds[0] == alone.rounds[0]
    assert "the call had rung too many people in that minute" in both.rounds[1].people[1].verdict


def test_a_ring_that_was_taken_once_was_not_turned_away():
    again = ring("jane", session="first", outcome="caller_limit")
    found = explain("default:1", [*RANG, again], "jane")
    assert found.rounds[0].people[0].reached
    assert "too many people" not in found.summary


@pytest.mark.parametrize(
    ("kind", "reason", "advice"),
    [
        (WebhookPutOff, "Too many rings of the same Stream app waited", "raise BELLHOP_RINGS_WAITING_PER_APP"),
        (WebhookOutdated, "Bellhop ignored it", "what held the webhook up"),
    ],
)
@pytest.mark.parametrize("user", ["", "jane"])
def test_a_ring_that_was_not_taken_is_the_reason(kind, reason, advice, user):
    refused = told(kind, 3, type="call.ring", stamp=START, attempt=3, session="first")
    for more in ([], [webhook("call.session_ended", 40, session="first")]):
        found = explain("default:1", [refused, *more], user, told=("call.created",))
        assert reason in found.summary
        assert found.summary.startswith("Nobody was called.")
        assert [advice in sentence for sentence in found.next] == [True]


def test_a_call_missed_after_such_a_ring_says_so():
    refused = told(WebhookPutOff, 3, type="call.ring", stamp=START, attempt=3, session="first")
    missed = webhook("call.missed", 30, "jane", session="first")
    notice = told(PushAttempted, 31, round=START + 30_000_000, kind="missed", outcome="accepted", **IPHONE)
    (round_, *_) = explain("default:1", [refused, missed, notice]).rounds
    assert round_.headline.startswith("jane missed a call that Bellhop did not ring")
    assert "raise BELLHOP_RINGS_WAITING_PER_APP" in round_.next[0]


def test_a_ring_that_came_again_was_taken():
    refused = told(WebhookPutOff, 0.1, type="call.ring", stamp=START, attempt=1, session="first")
    found = explain("default:1", [refused, *RANG])
    assert found.summary == explain("default:1", RANG).summary
