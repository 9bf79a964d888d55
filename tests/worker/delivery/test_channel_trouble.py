"""Which answers of a provider show that something is wrong with an app."""

import pytest

from bellhop.domain.outcomes import AttemptResult, Outcome
from worker.delivery.channel_trouble import ChannelTrouble

WRONG = AttemptResult(Outcome.WRONG_APP, 403, "SENDER_ID_MISMATCH")


def after(*results):
    trouble = ChannelTrouble()
    for number, result in enumerate(results):
        trouble.record(result, f"user-{number}")
    return trouble


def test_the_first_answer_tells_credentials_of_another_app():
    assert after(WRONG).wrong_app == WRONG


@pytest.mark.parametrize("outcome", [Outcome.ACCEPTED, Outcome.TOKEN_DEAD])
def test_one_user_of_another_app_says_nothing_of_the_app(outcome):
    right = AttemptResult(outcome)
    assert after(WRONG, right).wrong_app is None
    assert after(right, WRONG, WRONG).wrong_app is None
    assert after(right, WRONG, WRONG, WRONG).wrong_app == WRONG


def test_the_last_attempt_that_was_not_served_is_remembered():
    busy = AttemptResult(Outcome.UNAVAILABLE, 503, "ServiceUnavailable")
    assert after(WRONG, busy, AttemptResult(Outcome.ACCEPTED)).not_served == busy
