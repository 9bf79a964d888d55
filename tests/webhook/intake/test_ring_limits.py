"""What counts as a ring that goes on at the same time as others of its call."""

import pytest

from bellhop.sandbox.stream_webhooks import SampleCall
from tests.webhook.intake.test_claim_and_effects import poster


@pytest.fixture
def post(redis_url, monkeypatch):
    """Posts webhooks. Redis counts each ring, and not only those after the first three of a minute."""
    monkeypatch.setattr("webhook.intake.ring_limits.BusyTable.note", lambda *_: True)
    post = poster(redis_url, open_rounds_per_call=2)
    return lambda event: post(event, webhook_id=event["created_at"])[1]


def test_only_some_rings_of_a_call_go_on_at_the_same_time(post):
    call = SampleCall(members=("ben",))
    assert [post(call.ring()) for _ in range(3)] == ["taken", "taken", "turned_away"]


def test_invitations_are_no_rings_that_go_on(post):
    call = SampleCall(members=("ben",))
    assert {post(call.notification()) for _ in range(4)} == {"taken"}
    assert [post(call.ring()) for _ in range(3)] == ["taken", "taken", "turned_away"]
    assert post(call.notification()) == "taken"
