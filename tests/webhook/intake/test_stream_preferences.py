"""What Stream's user objects say about pushes: switched off, until when, and which callers are blocked."""

import copy
import json

import pytest

from bellhop.domain.json_fields import timestamp_us
from bellhop.domain.round import FOREVER
from tests.webhook.intake.strategies import EVENTS
from webhook.intake.parsing import load_leniently, parse

END = "2026-12-24T18:00:00Z"
END_US = timestamp_us(END)


def first_member(fields):
    event = copy.deepcopy(EVENTS["call.ring"])
    event["members"][0]["user"] |= fields
    return parse(json.dumps(event).encode()).members[0]


@pytest.mark.parametrize(
    ("fields", "until"),
    [
        ({}, 0),
        ({"push_notifications": None, "push_preferences": None}, 0),
        ({"push_notifications": {"disabled": False}}, 0),
        ({"push_notifications": {"disabled": True}}, FOREVER),
        ({"push_notifications": {"disabled": True, "disabled_until": END}}, END_US),
        ({"push_notifications": {"disabled": False, "disabled_until": END}}, END_US),
        ({"push_notifications": {"disabled": "yes", "disabled_until": []}}, 0),
        ({"push_notifications": {"disabled": True, "disabled_until": "9999-12-31T00:00:00Z"}}, FOREVER),
        ({"push_notifications": {"disabled_until": "1960-01-01T00:00:00Z"}}, 0),
        ({"push_preferences": {"call_level": "none"}}, FOREVER),
        ({"push_preferences": {"call_level": "all"}}, 0),
        ({"push_preferences": {"call_level": "default", "disabled_until": END}}, END_US),
        ({"push_preferences": {"call_level": "none"}, "push_notifications": {"disabled": False}}, FOREVER),
    ],
)
def test_pushes_are_off_until_the_later_of_both_ends(fields, until):
    assert first_member(fields).muted_until == until


@pytest.mark.parametrize(
    ("blocked", "blocks"),
    [(None, False), ([], False), (["tom-hale"], False), (["tom-hale", "sara-lind"], True), ([1, "sara-lind"], True)],
)
def test_a_member_may_have_blocked_the_caller(blocked, blocks):
    assert first_member({"blocked_user_ids": blocked}).blocks_caller is blocks


def test_both_readers_read_blocked_users_the_same():
    event = {"user": {"id": "ben", "blocked_user_ids": ["ann", None]}}
    body = json.dumps(event).encode()
    assert load_leniently(body).user.blocked_user_ids == ["ann", None]
