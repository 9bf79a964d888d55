"""A test ring in explanations and lists: it says what the phones did, and is never a missed call."""

import pytest

from bellhop.domain import round_of_test
from bellhop.explain.explanation import explain
from bellhop.explain.summary import missed, summarize
from bellhop.trail import PhoneRang
from tests.trails import START as T
from tests.trails import attempt, told, webhook

PIXEL = {"user": "jane", "device": "ab" * 10, "label": "Jane's Pixel", "provider": "fcm"}
BEGAN = webhook(round_of_test.EVENT, 0, "jane", round=T, callers=["bellhop"], until=T + 30_000_000)
LONG_AFTER = T + 3_600_000_000


@pytest.mark.parametrize("outcome", ["accepted", "token_dead", "unavailable"])
def test_a_test_is_never_a_missed_call_or_a_problem(outcome):
    found = explain("default:1", [BEGAN, attempt(0.1, PIXEL, outcome)], now=LONG_AFTER)
    summary, [round_] = summarize(found), found.rounds
    assert (summary.kind, round_.kind, summary.flags) == ("test", "test", frozenset())
    assert not any(missed(round_, person) for person in round_.people)
    assert round_.headline.startswith("A test rang the phones of jane, at ")


def test_a_test_says_what_the_phones_did():
    rang = told(PhoneRang, 0.8, round=T, device=PIXEL["device"])
    found = explain("default:1", [BEGAN, attempt(0.1, PIXEL, "accepted"), rang], now=LONG_AFTER)
    [jane] = found.rounds[0].people
    assert jane.verdict == "Jane's Pixel was rung 0.1 s after the call began, and it reported that it rang."
    assert jane.reached
    assert found.rounds[0].timeline[0].sentence == "A test ring of the phones of jane began."
