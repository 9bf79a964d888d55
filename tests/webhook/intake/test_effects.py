"""What each event does. The order of events and repeated events must not change the result."""

import json
from functools import partial

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from bellhop.domain.call_snapshot import CallSnapshot, Participant
from bellhop.domain.push import PushKind
from bellhop.domain.stamp_history import KEPT, PastStamp, history_field
from bellhop.queue.job_payloads import CallRef
from bellhop.queue.names import NOTIFY_JOB, RING_JOB, SETTLE_JOB
from bellhop.store.blocking_client import run_script
from bellhop.store.keys import call_key
from tests.factories import a_ring_event, event_fields
from webhook.intake.apply import Verdict, apply
from webhook.intake.effects import EffectRules, Effects, effects
from webhook.intake.events import (
    Accepted,
    Ended,
    Event,
    EventUser,
    Ignored,
    Left,
    Missed,
    Notification,
    Rejected,
    Removed,
    Ring,
    Started,
)

NOW = 1_800_000_000_000_000
S = 1_000_000
RULES = EffectRules("default", ring_default_s=30, missed_grace_s=5)
RULES_WITH_FIELDS = EffectRules("default", ring_default_s=30, missed_grace_s=5, call_fields=("topic", "room"))
SARA, BEN, JANE = (
    EventUser(user, user.title(), custom_email=f"{user}@example.com") for user in ("sara", "ben", "jane")
)
CALL = CallRef(tenant="default", cid="default:1")


FIELDS = event_fields("x", NOW)


def ring(members=(BEN, JANE), at: int | None = NOW, **changes) -> Ring:
    return a_ring_event(at, members=members, **changes)


def found(event: Event, now: int = NOW) -> Effects:
    return effects(event, now, RULES)


def test_a_round_keeps_only_the_custom_fields_that_are_allowed():
    events = {
        "work": ring(custom={"topic": "Loan", "secret": "x"}, caller_fields={"tier": "pro"}),
        "missed": Missed(
            **FIELDS,
            caller=SARA,
            members=(BEN,),
            notify=True,
            call_name="",
            custom={"topic": "Loan", "secret": "x"},
            caller_fields={"tier": "pro"},
        ),
    }
    for event in events.values():
        for rules, kept in ((RULES, {}), (RULES_WITH_FIELDS, {"topic": "Loan"})):
            derived = effects(event, NOW, rules)
            round_ = derived.missed or derived.work.payload
            assert (round_.call_fields, round_.custom) == (kept, {})
        assert round_.caller_fields == {"tier": "pro"}
    bare = effects(ring(custom={"topic": "Loan"}), NOW, RULES).work.payload
    assert not {"call_fields", "caller_fields"} & json.loads(bare.as_json()).keys()


def test_a_ring_opens_a_round_and_queues_it():
    did = found(ring())
    assert did.work is not None
    assert did.round is did.work.payload
    assert did.work.name == RING_JOB
    assert (did.round.started_at, did.round.deadline) == (NOW, NOW + 30 * S)
    assert did.settle_at == NOW + 35 * S
    assert [(one.id, one.email) for one in did.round.recipients] == [
        ("ben", "ben@example.com"),
        ("jane", "jane@example.com"),
    ]
    assert did.stamps == ()


def test_a_ring_for_nobody_does_nothing():
    assert found(ring(members=())) == Effects()


def test_the_caller_and_the_creator_can_end_a_ring_unless_rung():
    callers = {
        "the creator rings": ring(),
        "a member rings": ring((JANE,), caller=BEN),
        "a member rings the creator": ring((SARA, JANE), caller=BEN),
        "nobody is named": ring(caller=EventUser("", ""), created_by_id=""),
    }
    assert {name: found(event).round.callers for name, event in callers.items()} == {
        "the creator rings": ("sara",),
        "a member rings": ("ben", "sara"),
        "a member rings the creator": ("ben",),
        "nobody is named": (),
    }


def test_a_caller_without_a_name_is_an_unknown_caller():
    assert found(ring(caller=EventUser("", ""))).round.caller_name == "Unknown caller"


def test_a_notification_is_passed_on_and_leaves_no_state():
    did = found(Notification(**FIELDS, sender=SARA, members=(BEN,), call_name="Standup"))
    assert did.work is not None
    assert (did.work.name, did.stamps, did.round, did.missed) == (NOTIFY_JOB, (), None, None)
    assert (did.work.payload.callers, did.work.payload.deadline) == (("sara",), NOW + 3600 * S)


def test_a_rejection_is_stamped_with_what_its_reason_means():
    marks = {
        reason: found(Rejected(**FIELDS, user_id="ben", reason=reason)).stamps
        for reason in ("decline", "busy", "timeout", "report-call-failed", "any text", "")
    }
    assert {reason: stamps[0] for reason, stamps in marks.items()} == {
        "decline": ("d:ben", NOW),
        "busy": ("b:ben", NOW),
        "timeout": ("t:ben", NOW),
        "report-call-failed": ("t:ben", NOW),
        "any text": ("d:ben", NOW),
        "": ("d:ben", NOW),
    }
    assert {stamps[1] for stamps in marks.values()} == {("x:ben", NOW)}


def test_a_call_missed_counts_in_its_session_or_is_a_round():
    did = found(Missed(**FIELDS, caller=SARA, members=(BEN, JANE), notify=True, call_name=""))
    assert did.stamps == (("m:s-1:ben", NOW), ("m:s-1:jane", NOW))
    assert did.missed is not None
    assert (did.missed.ringless, did.missed.deadline, did.settle_at) == (True, NOW, NOW)
    quiet = found(Missed(**FIELDS, caller=SARA, members=(BEN,), notify=False, call_name=""))
    assert quiet.stamps == (("q:s-1:ben", NOW),)


def test_an_end_is_of_the_call_or_of_one_session():
    assert found(Ended(**FIELDS, only_session="")).stamps == (("ended", NOW),)
    assert found(Ended(**FIELDS, only_session="s-1")).stamps == (("ended:s-1", NOW),)


def test_what_may_end_a_round_is_settled_at_once():
    events = [
        Rejected(**FIELDS, user_id="ben", reason=""),
        Ended(**FIELDS, only_session=""),
        Missed(**FIELDS, caller=SARA, members=(BEN,), notify=True, call_name=""),
    ]
    assert [found(event).work for event in events] == [(SETTLE_JOB, CALL)] * 3


def kept(stamps):
    return tuple((history_field(name, PastStamp(at, "s-1")), at) for name, at in stamps)


def test_any_event_teaches_who_missed_the_call_and_who_is_in_it():
    in_it = (Participant("p-1", "ben", NOW - 1), Participant("", "ana", NOW - 2))
    did = found(Ignored(**FIELDS | {"snapshot": CallSnapshot({}, {}, None, {"jane": NOW - 3}, NOW - 4, in_it, "s-1")}))
    assert set(did.stamps) == {
        ("a:ben", NOW - 1),
        ("a:ana", NOW - 2),
        ("m:s-1:jane", NOW - 3),
        ("ended:s-1", NOW - 4),
    }
    assert (history_field("j:ben", PastStamp(NOW - 1, "p-1")), NOW - 1) in did.history
    assert not [name for name, _ in did.history if name.endswith("j:ana")]


def test_the_call_inside_a_rejection_tells_its_stamp_too():
    def rejected(told):
        snapshot = CallSnapshot(rejected={"ben": told})
        return found(Rejected(**FIELDS | {"snapshot": snapshot}, user_id="ben", reason="call-has-ended"))

    assert rejected(NOW - S).stamps == (("x:ben", NOW), ("x:ben", NOW - S), ("x:ben", NOW - S))
    assert set(kept([("p:ben", NOW), ("p:ben", NOW - S)])) <= set(rejected(NOW - S).history)
    assert set(kept([("p:ben", NOW - S - 1)])).isdisjoint(rejected(NOW - S - 1).history)


def test_who_leaves_or_is_removed_is_kept_in_the_history_alone():
    left = found(Left(**FIELDS, user_id="sara", participant_id="p-1"))
    assert (left.stamps, left.work, left.settle_open) == ((), None, True)
    assert left.history == ((history_field("l:sara", PastStamp(NOW, "p-1")), NOW),)
    removed = found(Removed(**FIELDS, user_ids=("ben", "jane")))
    assert (removed.stamps, removed.history) == ((), kept([("k:ben", NOW), ("k:jane", NOW)]))
    assert removed.work == (SETTLE_JOB, CALL)


def test_a_notice_that_nobody_asked_for_waits_for_streams_time():
    did = found(ring(at=NOW, ring_ms=10_000, missed_ms=25_000))
    assert (did.round.deadline, did.round.missed_due) == (NOW + 10 * S, NOW + 25 * S)
    assert did.settle_at == NOW + 25 * S + (did.settle_at - did.round.missed_due)
    assert found(ring(at=NOW, ring_ms=25_000, missed_ms=10_000)).round.missed_due == 0
    endless = found(ring(at=NOW, ring_ms=10_000, endless=True))
    assert endless.round.deadline == found(ring(at=NOW, ring_ms=None)).round.deadline


@pytest.mark.parametrize(
    ("timeouts", "rest_s"),
    [
        ({}, 0),
        ({"ring_ms": 10_000}, 0),
        ({"ring_ms": 10_000, "missed_ms": 4_000}, 6),
        ({"ring_ms": 4_000, "missed_ms": 10_000}, 0),
        ({"endless": True, "missed_ms": 4_000}, 26),
        ({"endless": True, "ring_ms": 60_000, "missed_ms": 4_000}, 56),
    ],
)
def test_a_missed_without_its_ring_tells_how_long_phones_ring(timeouts, rest_s):
    did = found(Missed(**FIELDS, **timeouts, caller=SARA, members=(BEN,), notify=True, call_name=""))
    assert did.missed.deadline == NOW + rest_s * S


def test_any_event_teaches_what_the_call_inside_it_says():
    snapshot = CallSnapshot(accepted={"ben": NOW - 1}, rejected={"sara": NOW - 2}, ended_at=NOW - 3)
    stamps = (("a:ben", NOW - 1), ("x:sara", NOW - 2), ("ended", NOW - 3))
    assert found(Ignored(**FIELDS | {"snapshot": snapshot})) == Effects(stamps=stamps, history=kept(stamps[1:]))
    assert found(Accepted(**FIELDS | {"snapshot": snapshot}, user_id="jane")).stamps == (("a:jane", NOW), *stamps)


def test_stamps_that_cannot_be_are_now():
    assert found(ring(at=None)).round.started_at == found(ring(at=NOW + 61 * S)).round.started_at == NOW
    late = CallSnapshot(accepted={"ben": NOW + 3600 * S}, ended_at=NOW + 3600 * S)
    assert {at for _, at in found(Ignored(**FIELDS | {"snapshot": late})).stamps} == {NOW}


# Any order, any number of times

people = st.sampled_from([SARA, BEN, JANE])
users = st.sampled_from(["sara", "ben", "jane"])
sessions = st.sampled_from(["s-1", "s-2"])
envelopes = st.builds(event_fields, st.just("x"), st.integers(NOW - 5, NOW + 5), session_id=sessions)
events = st.one_of(
    st.builds(
        lambda envelope, members, caller: Ring(
            **envelope, caller=caller, members=members, video=True, ring_ms=None, call_name="", created_by_id="sara"
        ),
        envelopes,
        st.lists(people, min_size=1, max_size=3, unique_by=lambda one: one.id).map(tuple),
        people,
    ),
    st.builds(lambda envelope, user: Accepted(**envelope, user_id=user), envelopes, users),
    st.builds(
        lambda envelope, user, reason: Rejected(**envelope, user_id=user, reason=reason),
        envelopes,
        users,
        st.sampled_from(["busy", "timeout", "", "any text", "call-ended"]),
    ),
    st.builds(
        lambda envelope, who, notify: Missed(**envelope, caller=SARA, members=(who,), notify=notify, call_name=""),
        # Never in the very microsecond of a ring, which is one round with it then.
        st.builds(event_fields, st.just("x"), st.sampled_from([NOW - 7, NOW + 7]), session_id=sessions),
        people,
        st.booleans(),
    ),
    st.builds(lambda envelope, only: Ended(**envelope, only_session=only), envelopes, st.sampled_from(["", "s-1"])),
    st.builds(lambda envelope, user: Removed(**envelope, user_ids=(user,)), envelopes, users),
    st.builds(lambda envelope, user: Left(**envelope, user_id=user, participant_id=""), envelopes, users),
)


def test_of_each_name_and_session_the_latest_stamps_are_kept(redis_server):
    stamps = [NOW - number for number in range(KEPT + 5)]
    for order in (stamps, stamps[::-1]):
        with redis.Redis.from_url(redis_server.url) as client:
            client.flushall()
            for number, at in enumerate(order):
                event = Rejected(**event_fields("x", at, session_id=f"s-{number % 2}"), user_id="ben", reason="")
                apply(partial(run_script, client), "default", str(number), event, found(event), NOW)
                event = Ended(**event_fields("x", at), only_session="")
                apply(partial(run_script, client), "default", f"end-{number}", event, found(event), NOW)
            kept_fields = {name for name in client.hkeys(call_key("default", "default:1")) if name.startswith(b"at:")}
        assert {name for name in kept_fields if name.endswith(b":ended")} == {
            history_field("ended", PastStamp(at, "s-1")).encode() for at in stamps[:KEPT]
        }
        assert len([name for name in kept_fields if name.endswith(b"d:ben")]) == len(stamps), "20 of each session"


def test_who_comes_and_goes_makes_nobody_read_a_full_call(redis_server):
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
        client.config_resetstat()
        for number in range(40):
            user, device = f"user-{number % 8}", f"device-{number}"
            joined = Accepted(**event_fields("x", NOW + number), user_id=user, participant_id=device)
            left = Left(**event_fields("x", NOW + number), user_id=user, participant_id=device)
            for event in (joined, left):
                apply(partial(run_script, client), "default", f"{event}", event, found(event), NOW)
        assert "cmdstat_hgetall" not in client.info("commandstats")


def test_a_call_that_never_rests_forgets_what_is_out_of_date(redis_server):
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
        script, hour = partial(run_script, client), 3600 * S
        for number in range(100):
            now = NOW + number * hour
            joined = Accepted(**event_fields("x", now), user_id=f"user-{number}")
            apply(script, "default", str(number), joined, found(joined, now), now)
            if number % 10 == 0:
                rung = ring(at=now)
                apply(script, "default", f"ring-{number}", rung, found(rung, now), now)
        state = client.hgetall(call_key("default", "default:1"))
        assert {b"a:user-98", b"a:user-99", b"r:%d" % (NOW + 90 * hour)} <= set(state)
        assert len(state) < 2 * 27 + 10
        assert int(state[b"version"]) == 110


@given(data=st.data(), happened=st.lists(events, min_size=1, max_size=8))
def test_the_same_events_in_any_order_give_the_same_state(redis_server, data, happened):
    shuffled = data.draw(st.permutations(happened))
    repeated = data.draw(st.lists(st.sampled_from(happened), max_size=4))
    assert _state(redis_server.url, happened) == _state(redis_server.url, [*shuffled, *repeated])


def _state(url: str, arrived: list[Event]) -> dict[bytes, bytes]:
    """The stamps and the rung rounds of a call after these events."""
    with redis.Redis.from_url(url) as client:
        client.flushall()
        script = partial(run_script, client)
        for number, event in enumerate(arrived):
            assert apply(script, "default", str(number), event, found(event), NOW) is Verdict.TAKEN
        state = client.hgetall(call_key("default", "default:1"))
        rung = {field for field in state if field.startswith(b"r:") and not client.hexists(_round(field), "ringless")}
        rounds = {
            _round(field): {name for name in client.hkeys(_round(field)) if name.startswith(b"u:")} for field in rung
        }
        stamps = {field: at for field, at in state.items() if field[:2] not in (b"r:", b"ve", b"pr", b"se")}
        return stamps | rounds


def _round(field: bytes) -> bytes:
    return b"bellhop:round:default:default:1:" + field[2:]


def test_a_call_that_began_is_told_to_members_who_are_not_in_it():
    jane = Participant("phone", "jane", NOW)
    fields = event_fields("live_started", NOW, snapshot=CallSnapshot(participants=(jane,)))
    on = EffectRules("default", ring_default_s=30, missed_grace_s=5, started={PushKind.LIVE_STARTED: {"default"}})
    for members, told in (((BEN, JANE), ["ben"]), ((), [])):
        event = Started(**fields, creator=SARA, members=members, call_name="Standup")
        derived = effects(event, NOW, on)
        assert derived.work.started is PushKind.LIVE_STARTED
        assert [recipient.id for recipient in derived.work.payload.recipients] == told
        assert effects(event, NOW, RULES).work is None, "it is off by default"
    assert effects(Started(**fields, creator=SARA, members=(JANE,), call_name=""), NOW, on).work is None
