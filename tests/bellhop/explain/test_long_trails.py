"""Trails with many users or rounds: the work grows as the trail does, and a list of calls reads a part of it."""

import pytest

from bellhop.explain.explanation import explain, explain_latest
from bellhop.explain.summary import MAX_LINES, summarize_trail
from bellhop.trail import UserSettled
from tests.long_trails import START, answered_one_by_one, rung_again_and_again
from tests.trails import ring, settled, webhook
from tests.work import growth, work_of
from webhook.console.picture import picture

CID = "default:1"


def left_one_by_one(count):
    names = [f"user-{number}" for number in range(count)]
    left = [webhook("call.session_participant_left", 1, name, session=name) for name in (*names, "sara")]
    return [ring(*names), *left]


def cancelled_for_everybody(count):
    names = [f"user-{number}" for number in range(count)]
    cancel = webhook("call.rejected", 5, "sara")
    return [ring(*names), cancel, *(settled(5.1, name, "cancelled") for name in names)]


def not_settled(count):
    return [line for line in rung_again_and_again(count) if not isinstance(line, UserSettled)]


TRAILS = [answered_one_by_one, rung_again_and_again, left_one_by_one, cancelled_for_everybody, not_settled]


def drawn(trail):
    return [picture(round_) for round_ in explain(CID, trail).rounds]


@pytest.mark.parametrize("trail_of", TRAILS)
def test_a_trail_four_times_as_long_is_four_times_the_work(trail_of):
    assert growth(drawn, trail_of(25), trail_of(100)) < 4.5


@pytest.mark.parametrize("trail_of", TRAILS)
def test_a_summary_of_a_longer_trail_grows_with_it(trail_of):
    assert growth(lambda trail: summarize_trail(CID, trail), trail_of(25), trail_of(100)) < 4.5


def test_the_latest_rounds_are_explained_and_the_others_counted():
    latest, left_out = explain_latest(CID, rung_again_and_again(30), 50)
    assert [round_.started_at for round_ in latest.rounds] == [START + n * 60_000_000 for n in range(20, 30)]
    assert left_out == 20
    assert latest.summary == (
        "Called 30 times. The last time, Bellhop reached 1 of 1 person. The 20 earlier rounds are not explained here."
    )


def test_what_fits_is_explained_as_ever():
    trail = rung_again_and_again(9)
    assert explain_latest(CID, trail, 50) == (explain(CID, trail), 0)


def test_a_last_round_that_is_too_long_is_explained_as_a_whole():
    trail = answered_one_by_one(40)
    assert explain_latest(CID, trail, 50) == (explain(CID, trail), 0)


def test_a_user_of_an_early_round_is_found_in_a_long_trail():
    trail = [*rung_again_and_again(1, "ben"), *rung_again_and_again(31)[4:]]
    latest, left_out = explain_latest(CID, trail, 50, "ben")
    assert (latest.found, [round_.started_at for round_ in latest.rounds], left_out) == (True, [START], 30)
    assert explain_latest(CID, trail, 50, "nobody").explanation.found is False


def test_a_summary_of_many_rounds_says_how_many_it_looked_at():
    rounds = MAX_LINES // 5 + 100
    summary = summarize_trail(CID, rung_again_and_again(rounds))
    assert (summary.rounds, summary.unchecked, summary.reached) == (rounds, 100, 1)


def test_rounds_that_are_not_looked_at_cost_little():
    trail = rung_again_and_again(200)
    assert work_of(explain_latest, CID, trail, 50) < work_of(explain, CID, trail) / 2
