import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from bellhop.domain.call_snapshot import CallSnapshot, Participant
from bellhop.domain.event_types import HANDLED_EVENT_TYPES
from bellhop.domain.json_fields import timestamp_us
from tests.webhook.intake.strategies import EVENTS, json_values, mutated_events
from webhook.intake.events import (
    Accepted,
    Ended,
    Envelope,
    EventUser,
    Ignored,
    Left,
    Missed,
    Notification,
    Rejected,
    Removed,
    Ring,
    Started,
    UnreadableEvent,
    UserChanged,
)
from webhook.intake.parsing import PARSERS, parse

CID = "default:6f0b1c52-7a53-4a3e-9c59-0d1f6e0b9d11"
SESSION = "c2d7b6a8-3a0e-4f0b-8d4c-5b1f2a9e7710"
SARA = EventUser("sara-lind", "Sara Lind", "en")
BEN = EventUser("ben-osei", "Ben Osei", "en")
JANE = EventUser("jane-morel", "Jane Morel", "en")
BEN_ANSWERED = CallSnapshot(accepted={"ben-osei": 1794994207410031})
NOTHING = CallSnapshot()


def gave_up(user: str, stamp: int) -> CallSnapshot:
    return CallSnapshot(rejected={user: stamp})


def at(clock: str, micro: int) -> int:
    """Unix µs of a time on the day of the samples."""
    moment = datetime.fromisoformat(f"2026-11-18T{clock}Z").replace(microsecond=micro)
    return round(moment.replace(microsecond=0).timestamp()) * 1_000_000 + micro


def common(type_: str, at: int, snapshot: CallSnapshot = NOTHING, session_id: str = SESSION) -> dict:
    return {
        "type": type_,
        "cid": CID,
        "session_id": session_id,
        "at": at,
        "snapshot": replace(snapshot, session_id=session_id),
    }


BENS_PHONE = "0d9e7c44-5f2b-4c1e-9a61-7be2c1d0aa35"
BEN_IS_IN = replace(BEN_ANSWERED, participants=(Participant(BENS_PHONE, "ben-osei", at("09:30:08", 130442)),))
ENDED = replace(BEN_IS_IN, ended_at=at("09:35:09", 4000))
OVER = at("09:35:40", 230000)
JANE_MISSED_IT = CallSnapshot(
    rejected={"jane-morel": at("09:30:31", 220004)}, missed={"jane-morel": at("09:30:31", 361500)}
)

EXPECTED = {
    "call.ring": Ring(
        **common("call.ring", at("09:30:01", 41230)),
        caller=SARA,
        members=(BEN, JANE),
        video=True,
        ring_ms=30_000,
        missed_ms=30_000,
        call_name="Design review",
        custom={"display_name": "Design review", "chat_id": "room-42"},
        created_by_id="sara-lind",
    ),
    "call.notification": Notification(
        **common("call.notification", at("09:30:01", 8123)),
        sender=SARA,
        members=(BEN, JANE),
        call_name="Design review",
        custom={"display_name": "Design review", "chat_id": "room-42"},
    ),
    "call.missed": Missed(
        **common("call.missed", at("09:30:31", 361905), JANE_MISSED_IT),
        caller=SARA,
        members=(JANE,),
        notify=True,
        ring_ms=30_000,
        missed_ms=30_000,
        call_name="Design review",
        custom={"display_name": "Design review", "chat_id": "room-42"},
    ),
    "call.accepted": Accepted(**common("call.accepted", at("09:30:07", 410331), BEN_ANSWERED), user_id="ben-osei"),
    "call.session_participant_joined": Accepted(
        **common("call.session_participant_joined", at("09:30:08", 130442)),
        user_id="ben-osei",
        participant_id=BENS_PHONE,
    ),
    "call.rejected": Rejected(
        **common("call.rejected", at("09:30:09", 120447), gave_up("jane-morel", at("09:30:09", 120004))),
        user_id="jane-morel",
        reason="decline",
    ),
    "call.rejected.timeout": Rejected(
        **common("call.rejected", at("09:30:31", 220447), gave_up("jane-morel", at("09:30:31", 220004))),
        user_id="jane-morel",
        reason="timeout",
    ),
    "call.rejected.cancel": Rejected(
        **common("call.rejected", at("09:30:06", 220447), gave_up("sara-lind", at("09:30:06", 220004))),
        user_id="sara-lind",
        reason="cancel",
    ),
    "call.ended": Ended(**common("call.ended", at("09:35:09", 5550), ENDED), only_session=""),
    "call.ended.by_server": Ended(**common("call.ended", at("09:35:09", 5550), ENDED), only_session=""),
    "call.deleted": Ended(
        **common("call.deleted", at("09:45:00", 77000), replace(ENDED, session_ended_at=OVER)), only_session=""
    ),
    "call.session_ended": Ended(
        **common("call.session_ended", at("09:35:40", 218730), replace(BEN_ANSWERED, session_ended_at=OVER)),
        only_session=SESSION,
    ),
    "call.created": Ignored(**common("call.created", at("09:30:00", 912447), session_id="")),
    "call.updated": Ignored(**common("call.updated", at("09:30:03", 77000))),
    **{
        kind: Started(
            **common(kind, stamp, BEN_IS_IN),
            creator=SARA,
            members=(),
            call_name="Design review",
            custom={"display_name": "Design review", "chat_id": "room-42"},
        )
        for kind, stamp in (
            ("call.live_started", at("09:30:05", 77000)),
            ("call.session_started", at("09:30:08", 151187)),
        )
    },
    "call.member_added": Ignored(**common("call.member_added", at("09:30:40", 77000), BEN_IS_IN)),
    "call.member_removed": Removed(
        **common("call.member_removed", at("09:30:41", 77000), BEN_IS_IN), user_ids=("jane-morel",)
    ),
    "call.session_participant_left": Left(
        **common("call.session_participant_left", at("09:35:08", 218730)),
        user_id="ben-osei",
        participant_id=BENS_PHONE,
    ),
    "user.updated": UserChanged(
        type="user.updated", cid="", session_id="", at=at("09:30:02", 803311), snapshot=NOTHING, user_id="ben-osei"
    ),
}


def event(name: str, **changes):
    """A sample with some of its top-level fields replaced, read."""
    return parse(json.dumps(EVENTS[name] | changes).encode())


def call(name: str, **changes) -> dict:
    return {"call": EVENTS[name]["call"] | changes}


@pytest.mark.parametrize("name", sorted(EVENTS))
def test_samples_are_read(name, samples):
    assert parse((samples / f"{name}.json").read_bytes()) == EXPECTED[name]


def test_every_handled_event_type_has_a_parser_and_no_other():
    assert PARSERS.keys() == HANDLED_EVENT_TYPES


# Members


def test_members_come_as_objects_as_ids_or_not_at_all():
    members = [None, 7, "ben-osei", {"user_id": "jane-morel", "user": None}, {"user": {"id": "ana"}}, {}, [], True]
    ring = event("call.ring", members=members)
    assert ring.members == tuple(EventUser(user_id, user_id) for user_id in ("7", "ben-osei", "jane-morel", "ana"))
    assert event("call.ring", members=None).members == ()


def test_the_caller_is_never_rung_and_nobody_is_rung_twice():
    twice = [*EVENTS["call.ring"]["members"], {"user_id": "ben-osei"}, {"user": EVENTS["call.ring"]["user"]}]
    assert event("call.ring", members=twice).members == (BEN, JANE)


def test_a_member_may_call_and_the_creator_may_be_rung():
    ring = event("call.ring", user={"id": "ben-osei"}, members=["ben-osei", "sara-lind"])
    assert (ring.caller.id, ring.created_by_id) == ("ben-osei", "sara-lind")
    assert [member.id for member in ring.members] == ["sara-lind"]


def test_at_most_a_thousand_members_are_kept():
    for kind in ("call.ring", "call.notification", "call.missed"):
        found = event(kind, members=[str(number) for number in range(5_000)] * 2)
        assert (len(found.members), found.left_out) == (1_000, 4_000)


# People


def test_without_a_user_in_the_event_the_creator_is_the_caller():
    assert event("call.ring", user=None).caller == SARA
    assert event("call.ring", user={"name": "no id"}).caller == SARA
    unknown = event("call.ring", user=None, **call("call.ring", created_by=None))
    assert unknown.caller == EventUser("", "")
    assert unknown.members == (BEN, JANE)


def test_a_person_without_a_name_is_called_by_their_id():
    for name in (None, "  ", 7):
        assert event("call.ring", user={"id": "ana", "name": name}).caller == EventUser("ana", "ana")


@pytest.mark.parametrize("name", ["call.ring", "call.notification", "call.missed"])
def test_the_callers_allowed_fields_are_read(samples, name):
    body = (samples / f"{name}.json").read_bytes()
    read = parse(body, ("image", "tier", "email")).caller_fields
    assert read == {"image": "https://cdn.example.com/avatars/sara-lind.png", "tier": "pro"}
    assert parse(body, ("tier",)).caller_fields == {"tier": "pro"}
    assert parse(body).caller_fields == {}


@pytest.mark.parametrize(
    ("fields", "read"),
    [
        ({"user": {"id": "", "image": "x"}, "call": {"created_by": {"id": "s", "image": "y"}}}, {"image": "y"}),
        ({"user": None, "call": {"created_by": {"id": "s", "custom": {"n": 7}}}}, {"n": "7"}),
        ({"user": {"id": 7, "image": "x" * 1_001, "custom": {"n": " a ", "image": "no"}}}, {"n": "a"}),
        ({"user": {"id": "s", "image": ["x"], "custom": [1]}}, {}),
        ({"user": {"id": "s"}, "call": 7}, {}),
        ({}, {}),
    ],
)
def test_callers_of_any_form_are_read(fields, read):
    body = {"type": "call.ring", "call_cid": "default:1", "members": []} | fields
    assert parse(json.dumps(body).encode(), ("image", "n")).caller_fields == read


def test_an_email_comes_from_custom_data_and_is_never_printed():
    ana = event("call.ring", user={"id": "ana", "custom": {"email": " ana@example.com "}}).caller
    assert ana.custom_email == "ana@example.com"
    assert "example.com" not in repr(ana)
    for custom in (None, {}, {"email": None}, {"email": ["ana@example.com"]}, {"email": "a" * 255}):
        assert event("call.ring", user={"id": "ana", "custom": custom}).caller.custom_email == ""


def test_names_are_cut_and_values_that_must_be_whole_are_dropped():
    ana = event("call.ring", user={"id": "ana", "name": "n" * 300, "language": "l" * 40}).caller
    assert ana == EventUser("ana", "n" * 255)
    assert event("call.ring", members=["i" * 256, "i" * 255]).members == (EventUser("i" * 255, "i" * 255),)


def test_half_an_emoji_does_not_lose_the_call():
    ring = event("call.ring", user={"id": "ana", "name": "Ana \ud83d"}, members=["\udc00"])
    assert ring.caller.name == "Ana ?"
    assert ring.members == (EventUser("?", "?"),)


# Ring


@pytest.mark.parametrize(
    ("video", "settings", "expected"),
    [
        (True, {"video": {"enabled": False}}, True),
        (False, {"video": {"enabled": True}}, False),
        (None, {"video": {"enabled": True}}, True),
        ("true", {"video": {"enabled": 1}}, False),
        (None, {"video": None}, False),
        (None, None, False),
    ],
)
def test_video_comes_from_the_ring_or_else_from_the_settings(video, settings, expected):
    assert event("call.ring", video=video, **call("call.ring", settings=settings)).video is expected


@pytest.mark.parametrize(
    ("incoming", "auto_cancel", "expected"),
    [
        (10_000, 20_000, 20_000),
        (20_000, 10_000, 20_000),
        (None, 20_000, 20_000),
        (0, 20_000, 20_000),
        (-1, 0, None),
        ("10000", True, None),
        (12_000.9, None, 12_000),
        (float("inf"), float("nan"), None),
        (10**40, None, 10**40),
        (None, None, None),
    ],
)
def test_the_time_to_ring_is_the_longer_of_two_time_outs(incoming, auto_cancel, expected):
    ring = {"incoming_call_timeout_ms": incoming, "auto_cancel_timeout_ms": auto_cancel}
    assert event("call.ring", **call("call.ring", settings={"ring": ring})).ring_ms == expected


@pytest.mark.parametrize(
    ("timeouts", "endless"),
    [
        ({"auto_cancel": 0, "incoming": 15_000}, True),
        ({"incoming": 0}, True),
        ({"auto_cancel": False}, False),
        ({}, False),
    ],
)
def test_a_time_out_of_0_never_comes(timeouts, endless):
    ring = {f"{name}_{'call_' if name == 'incoming' else ''}timeout_ms": ms for name, ms in timeouts.items()}
    assert event("call.ring", **call("call.ring", settings={"ring": ring})).endless is endless


@pytest.mark.parametrize("kind", ["call.blocked_user", "call.kicked_user"])
def test_a_user_who_is_thrown_out_is_named_by_the_event(kind):
    thrown_out = parse(json.dumps({"type": kind, "call_cid": CID, "user": {"id": "jane-morel"}}).encode())
    assert thrown_out == Removed(type=kind, cid=CID, session_id="", at=None, snapshot=NOTHING, user_ids=("jane-morel",))


def test_what_is_about_another_session_is_not_learned():
    session = EVENTS["call.missed"]["call"]["session"] | {"ended_at": "2026-11-18T09:35:40Z"}
    other = call("call.missed", session=session | {"id": "another"})
    assert event("call.missed", **other, session_id=SESSION).snapshot == replace(
        JANE_MISSED_IT, missed={}, session_id=SESSION
    )
    same = event("call.missed", **call("call.missed", session=session)).snapshot
    assert same == replace(JANE_MISSED_IT, session_ended_at=at("09:35:40", 0), session_id=SESSION)


@pytest.mark.parametrize(
    ("custom", "expected"),
    [
        ({"title": "c", "name": "b", "display_name": " a "}, "a"),
        ({"title": "c", "name": "b", "display_name": ""}, "b"),
        ({"title": "c", "name": {"de": "b"}}, "c"),
        ({"display_name": "n" * 300}, "n" * 255),
        ({}, ""),
        (None, ""),
    ],
)
def test_the_call_is_named_as_in_streams_own_pushes(custom, expected):
    assert event("call.ring", **call("call.ring", custom=custom)).call_name == expected


# Rejected, accepted, missed, ended


def test_a_reason_is_any_text_or_absent():
    assert event("call.rejected", reason=None).reason == ""
    assert event("call.rejected", reason="  BUSY ").reason == "busy"
    assert event("call.rejected", reason="Android Service Task Removed").reason == "android service task removed"
    assert len(event("call.rejected", reason="\u0130" * 100).reason) == 64


def test_joining_the_call_counts_from_the_moment_of_joining():
    participant = EVENTS["call.session_participant_joined"]["participant"]
    joined = event("call.session_participant_joined", participant=participant | {"joined_at": None})
    assert joined.at == at("09:30:08", 152187)


def test_missed_members_are_told_unless_stream_says_otherwise():
    assert event("call.missed", notify_user=None).notify
    assert not event("call.missed", notify_user=False).notify


def test_the_end_of_an_old_session_spares_the_current_one():
    assert event("call.session_ended", session_id="old").only_session == "old"
    with pytest.raises(UnreadableEvent, match=r"^call\.session_ended has no session id$"):
        event("call.session_ended", session_id=None, **call("call.ring", session=None, current_session_id="new"))


# What any event teaches


def test_the_session_is_the_events_else_the_calls():
    assert event("call.ring", session_id="s-1").session_id == "s-1"
    assert event("call.ring", session_id=None).session_id == SESSION
    current = call("call.ring", session=None, current_session_id="s-2")
    assert event("call.ring", session_id="", **current).session_id == "s-2"


def test_the_call_is_named_by_the_event_else_by_the_call_in_it():
    assert event("call.ring", call_cid=None).cid == CID


def test_an_event_of_any_type_carries_a_snapshot_of_the_call():
    stamp = "2026-11-18T09:30:07Z"
    session = {
        "accepted_by": {"ben-osei": stamp, "": stamp, "ana": None},
        "rejected_by": {"ana": stamp, "sara-lind": 7},
    }
    changed = call("call.updated", session=session, ended_at=stamp)
    snapshot = event("call.updated", type="call.new_in_2027", **changed).snapshot
    moment = at("09:30:07", 0)
    assert replace(snapshot, session_id="") == CallSnapshot({"ben-osei": moment}, {"ana": moment}, moment)


# Stamps


@pytest.mark.parametrize(
    "stamp",
    [
        "2026-11-18T09:30:01.041230977Z",
        "2026-11-18T09:30:01.04123Z",
        "2026-11-18T11:30:01.041230+02:00",
        "2026-11-18 04:00:01.041230-05:30",
        " 2026-11-18T09:30:01.041230977Z ",
        1794994201041230977,
        "1794994201041230977",
    ],
)
def test_every_spelling_of_a_stamp_is_the_same_microsecond(stamp):
    assert event("call.ring", created_at=stamp).at == 1794994201041230


@pytest.mark.parametrize(
    "stamp",
    [
        None,
        True,
        [],
        {},
        "",
        "soon",
        "2026-11-18",
        "2026-11-18T09:30:01",
        "2026-13-18T09:30:01Z",
        "0001-01-01T00:00:00Z",
        "0001-01-01T00:00:00+23:59",
        "9999-12-31T23:59:59-23:59",
        "9" * 5_000,
        "\ud83d",
        0,
        -1,
        1794994201,
        1794994201041,
        10**30,
        float("nan"),
        float("inf"),
        -1e308,
    ],
)
def test_an_invalid_stamp_counts_as_absent(stamp):
    assert event("call.ring", created_at=stamp).at is None


@given(st.datetimes(datetime(2001, 9, 10), datetime(2255, 1, 1), timezones=st.just(UTC)), st.integers(0, 999))  # noqa: DTZ001
def test_rfc_3339_and_unix_nanoseconds_agree(moment, nano):
    micro = round(moment.replace(microsecond=0).timestamp()) * 1_000_000 + moment.microsecond
    text = f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond:06}{nano:03}Z"
    assert timestamp_us(text) == timestamp_us(micro * 1_000 + nano) == timestamp_us(str(micro * 1_000 + nano)) == micro
    assert timestamp_us(float(micro * 1_000)) == pytest.approx(micro, abs=1)


# What cannot be read


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"call.ring",
        b"\xff\xfe\x00",
        b"[" * 100_000,
        b'{"type":"call.ring","n":' + b"9" * 5_000 + b"}",
        b"[]",
        b"null",
        b'"call.ring"',
        b"{}",
        b'{"type":null}',
        b'{"type":" "}',
        b'{"type":7}',
        b'{"type":"call.ring"}',
        b'{"type":"call.ended","call_cid":""}',
        b'{"type":"call.accepted","call_cid":"default:1"}',
        b'{"type":"call.rejected","call_cid":"default:1","user":{"id":null}}',
        b'{"type":"call.session_participant_joined","call_cid":"default:1","participant":{}}',
    ],
)
def test_what_cannot_be_acted_on_is_unreadable(body):
    with pytest.raises(UnreadableEvent, match=r"^(it|call\.\w+) "):
        parse(body)


def test_the_error_reveals_nothing_of_the_body():
    with pytest.raises(UnreadableEvent) as unreadable:
        parse(b'{"type":"call.ring","user":{"custom":{"email":"ana@example.com"')
    assert unreadable.value.__suppress_context__
    assert "ana" not in str(unreadable.value)


def test_of_a_key_given_twice_the_last_one_counts():
    assert parse(b'{"type":"call.ring","type":"user.updated"}').type == "user.updated"


def read_or_refuse(body: bytes) -> None:
    try:
        found = parse(body)
    except UnreadableEvent:
        return
    assert isinstance(found, Envelope)
    assert found.at is None or 10**15 <= found.at <= 2**53
    assert max(map(len, (found.type, found.cid, found.session_id))) <= 255
    repr(found).encode()  # no half surrogate anywhere


@given(st.binary() | json_values.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_an_event_or_unreadable(body):
    read_or_refuse(body)


@given(mutated_events())
def test_any_change_to_an_event_leaves_it_an_event_or_unreadable(changed):
    read_or_refuse(json.dumps(changed).encode())
