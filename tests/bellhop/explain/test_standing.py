"""Where a user stands in an explanation is what the rules of the call decide; each difference has its reason here."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from bellhop.clock import Micros
from bellhop.domain.call import CallState, RoundState, Standing
from bellhop.domain.call_snapshot import CallSnapshot
from bellhop.domain.standing import standing
from bellhop.explain.rounds import BEFORE_ANY_DEADLINE, sorted_into_rounds
from bellhop.trail import UserSettled, WebhookReceived, decode
from tests.factories import event_fields
from tests.webhook.intake.test_effects import NOW, RULES, SARA, events, people
from webhook.intake.apply import _received
from webhook.intake.effects import effects
from webhook.intake.events import (
    Accepted,
    Ended,
    Ignored,
    Left,
    Missed,
    Notification,
    Rejected,
    Removed,
    Ring,
)

TYPES = {
    Ring: "call.ring",
    Notification: "call.notification",
    Missed: "call.missed",
    Accepted: "call.accepted",
    Rejected: "call.rejected",
    Ended: "call.ended",
    Removed: "call.member_removed",
    Left: "call.session_participant_left",
}
notifications = st.builds(
    lambda at, who: Notification(**event_fields("x", at), sender=SARA, members=(who,), call_name=""),
    st.integers(NOW - 5, NOW + 5),
    people,
)


def as_stream_sends_it(event):
    """Give an event its type; the end of a session is an event of that session; a call.missed is not quiet."""
    typed = replace(event, type=TYPES[type(event)])
    if isinstance(typed, Ended) and typed.only_session:
        return replace(typed, type="call.session_ended", session_id=typed.only_session)
    return replace(typed, notify=True) if isinstance(typed, Missed) else typed


def rules_and_explanation(*happened):
    """Return the call as Redis keeps it, and the round logs of its trail."""
    stamps, rounds, lines = {}, [], []
    for event in happened:
        found = effects(event, NOW, RULES)
        lines.append(decode(_received(event, found, NOW, 0, attempt=1)))
        for stamp, at in (*found.stamps, *found.history):
            stamps[stamp] = max(at, stamps.get(stamp, at))
        if found.round:
            ids = frozenset(recipient.id for recipient in found.round.recipients)
            round_ = found.round
            rounds.append(
                RoundState(round_.started_at, round_.session_id, round_.deadline, ids, callers=round_.callers)
            )
    logs = {log.started_at: log for log in sorted_into_rounds(lines)}
    return CallState(stamps, tuple(rounds)), logs


@given(st.lists((events | notifications).map(as_stream_sends_it), min_size=1, max_size=8))
def test_a_trail_decides_as_the_stamps_in_redis_do(happened):
    begun, chosen = set(), []
    for event in happened:  # two rings of one microsecond are one round
        if isinstance(event, Ring | Notification):
            if event.at in begun:
                continue
            begun.add(event.at)
        chosen.append(event)
    call, logs = rules_and_explanation(*chosen)
    for round_ in call.rounds:
        for user in round_.recipients:
            expected = standing(call, round_, user, BEFORE_ANY_DEADLINE)
            assert logs[round_.started_at].standing_of(user) is expected


RING = Ring(
    **event_fields("x", NOW) | {"type": "call.ring"},
    caller=SARA,
    members=(replace(SARA, id="ben"),),
    video=False,
    ring_ms=None,
    call_name="",
    created_by_id="sara",
)


@pytest.mark.parametrize(
    ("event", "by_the_rules", "on_the_trail", "reason"),
    [
        (
            Missed(**event_fields("x", NOW + 9), caller=SARA, members=RING.members, notify=False, call_name=""),
            Standing.MISSED_QUIETLY,
            Standing.MISSED,
            "a line does not say that Stream asked for silence",
        ),
        (
            Ignored(**event_fields("x", NOW + 9, snapshot=CallSnapshot(rejected={"ben": Micros(NOW + 8)}))),
            Standing.DECLINED,
            Standing.RINGING,
            "a line does not hold the snapshot that Stream puts into every event",
        ),
    ],
)
def test_what_a_trail_does_not_hold_is_known_when_it_is_settled(event, by_the_rules, on_the_trail, reason):
    event = replace(event, type=TYPES.get(type(event), "call.updated"))
    call, logs = rules_and_explanation(RING, event)
    (round_,) = call.rounds
    assert standing(call, round_, "ben", BEFORE_ANY_DEADLINE) is by_the_rules, reason
    assert logs[NOW].standing_of("ben") is on_the_trail, reason


def joined(after_us, participant):
    fields = event_fields("session_participant_joined", NOW + after_us)
    return Accepted(**fields, user_id="sara", participant_id=participant)


def left(after_us, participant):
    fields = event_fields("session_participant_left", NOW + after_us)
    return Left(**fields, user_id="sara", participant_id=participant)


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ([], Standing.RINGING),
        ([left(9_000_000, "p-2")], Standing.CANCELLED),
    ],
)
def test_a_caller_who_reconnects_has_not_hung_up(more, expected):
    """Stream notices late that the first connection is lost."""
    call, logs = rules_and_explanation(RING, joined(1, "p-1"), joined(2, "p-2"), left(3, "p-1"), *more)
    (round_,) = call.rounds
    assert standing(call, round_, "ben", BEFORE_ANY_DEADLINE) is expected
    assert logs[NOW].standing_of("ben") is expected
    assert logs[NOW].us_until("cancelled", "ben") == (9_000_000 if more else None)


def test_no_time_runs_out_in_an_explanation():
    (log,) = sorted_into_rounds([WebhookReceived(at=NOW, type="call.ring", stamp=NOW, users=("ben",), until=NOW + 1)])
    assert log.standing_of("ben") is Standing.RINGING
    assert not log.of("ben", UserSettled)
