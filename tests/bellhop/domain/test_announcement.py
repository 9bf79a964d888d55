"""Announcements: one public document, the same id for each repeat, and what a caller must not learn."""

import json

import pytest

from bellhop.domain.announcement import (
    CALLER_TYPES,
    DEAD_ENDS,
    Announcement,
    AnnouncementType,
    about_ring,
    dead_end,
    for_caller,
    read_told,
    without_private_fields,
)
from bellhop.domain.outcomes import MEANING, Outcome, OutcomeKind
from tests.factories import a_round

AT = 1_800_000_001_000_002
ROUND = a_round("ben", started_at=1_800_000_000_000_001, for_s=30)
UNREACHABLE = about_ring(AnnouncementType.UNREACHABLE, ROUND, "ben", AT, reason=Outcome.MUTED)


def test_the_document_is_what_the_page_says():
    assert json.loads(UNREACHABLE.document()) == {
        "id": UNREACHABLE.id,
        "type": "ring.unreachable",
        "timestamp": "2027-01-15T08:00:01.000002Z",
        "data": {
            "app": "default",
            "call_cid": "default:1",
            "ring_started_at": "2027-01-15T08:00:00.000001Z",
            "ring_ends_at": "2027-01-15T08:00:30.000001Z",
            "caller_id": "sara",
            "user_id": "ben",
            "reason": "muted",
        },
    }


def test_a_repeat_has_the_same_id_and_nothing_else_has():
    def id_of(type_=AnnouncementType.RINGING, user="ben", at=AT, **changes):
        return about_ring(type_, a_round(**{"started_at": AT} | changes), user, at).id

    assert id_of() == id_of(at=AT + 1)
    others = {id_of(AnnouncementType.REACHED), id_of(user="ann"), id_of(cid="default:2"), id_of(tenant="other")}
    assert len(others | {id_of(), id_of(started_at=AT + 1)}) == 6


def test_a_caller_learns_no_reason():
    document = json.loads(UNREACHABLE.document())
    told = {
        "type": "bellhop.ring.unreachable",
        "user_id": "ben",
        "ring_started_at": "2027-01-15T08:00:00.000001Z",
    }
    assert for_caller(document) == told
    assert "reason" not in without_private_fields(document)["data"]
    assert without_private_fields(document)["data"]["user_id"] == "ben"


def test_what_was_told_is_read_from_the_round():
    made = [about_ring(type_, ROUND, user, AT) for type_ in AnnouncementType for user in ("ben", "a:b", "")]
    fields = {announcement.told_field: str(announcement.at) for announcement in made}
    assert read_told({"facts": "{}", "told:from-later:ben": "1", **fields}) == {
        (announcement.type, announcement.user_id): AT for announcement in made
    }


@pytest.mark.parametrize(
    ("outcomes", "reason"),
    [
        ([], None),
        ([Outcome.SAME_PHONE], None),
        ([Outcome.NO_DEVICES], Outcome.NO_DEVICES),
        ([Outcome.TOKEN_DEAD, Outcome.BAD_TOKEN], Outcome.TOKEN_DEAD),
        ([Outcome.TOKEN_DEAD, Outcome.SAME_PHONE, Outcome.GAVE_UP], Outcome.GAVE_UP),
        ([Outcome.TOKEN_DEAD, Outcome.ACCEPTED], None),
        ([Outcome.TOKEN_DEAD, Outcome.DUPLICATE], None),
        ([Outcome.TOKEN_DEAD, Outcome.ANSWERED], None),
        ([Outcome.GAVE_UP, Outcome.DECLINED], None),
        ([Outcome.NO_DEVICES, Outcome.RUNG_AGAIN], None),
    ],
)
def test_a_dead_end_is_one_for_all_phones(outcomes, reason):
    assert dead_end(outcomes) is reason


def test_a_dead_end_is_never_a_push_or_an_answer():
    assert all(MEANING[outcome].kind is not OutcomeKind.EMAIL for outcome in DEAD_ENDS)
    assert not {Outcome.ACCEPTED, Outcome.DUPLICATE, Outcome.UNKNOWN, Outcome.WORKER_DIED} & set(DEAD_ENDS)


def test_a_caller_hears_of_rings_only():
    assert {type_.value for type_ in CALLER_TYPES} == {"ring.reached", "ring.ringing", "ring.unreachable"}
    assert Announcement(AnnouncementType.ALARM, "default", "alarm", AT, "evt_1").told_instead == []
