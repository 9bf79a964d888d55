"""A ring that a bound turned away: everybody learns why nobody was rung, and the rings before it keep their events."""

from bellhop.domain.outcomes import CALLS_NOBODY, MEANING, Outcome, Tone
from bellhop.explain.explanation import explain
from bellhop.explain.summary import Flag, summarize
from tests.trails import attempt, ring, webhook

IPHONE = {"user": "jane", "device": "ab" * 10, "label": "Jane's iPhone", "provider": "apns"}
RANG = [ring("jane", session="first"), attempt(0.1, IPHONE, "accepted")]
TURNED_AWAY = ring("jane", "ben", after_s=1, session="first", outcome="call_limit", until=None, more=98)


def test_each_user_of_such_a_ring_learns_the_reason():
    for outcome in CALLS_NOBODY:
        refused = ring("jane", "ben", outcome=outcome, until=None)
        told = explain("default:1", [refused])
        assert [person.user for person in told.rounds[0].people] == ["jane", "ben"]
        for person in told.rounds[0].people:
            assert person.verdict == f"{person.user} was not rung: {MEANING[Outcome(outcome)].sentence}."
            assert (person.tone, person.next) == (Tone.BAD, (MEANING[Outcome(outcome)].advice,))
        assert summarize(told).flags == {Flag.NOT_REACHED}


def test_the_ring_before_it_is_told_as_without_it():
    accepted = webhook("call.accepted", 2, "jane", session="first")
    alone = explain("default:1", [*RANG, accepted])
    told = explain("default:1", [*RANG, TURNED_AWAY, accepted])
    assert told.rounds[0] == alone.rounds[0]
    assert "the call had rung too many people in that minute" in told.rounds[1].people[1].verdict


def test_a_ring_that_was_taken_once_was_not_turned_away():
    again = ring("jane", session="first", outcome="caller_limit")
    told = explain("default:1", [*RANG, again], "jane")
    assert told.rounds[0].people[0].reached
    assert "too many people" not in told.summary
