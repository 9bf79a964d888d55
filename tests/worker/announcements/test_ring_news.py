"""What a fan-out announces: a user is reached, or no phone rings, and never both."""

import json

from hypothesis import given
from hypothesis import strategies as st

from bellhop.domain.announcement import DEAD_ENDS, AnnouncementType, for_caller
from bellhop.domain.outcomes import MEANING, Outcome, OutcomeKind
from bellhop.domain.plan import Plan, Skip
from bellhop.domain.push import PushKind
from tests.factories import a_delivery, a_device, a_push, a_round
from worker.announcements.ring_news import RingNews
from worker.delivery.attempt import SENT

NOW = 1_800_000_000_000_000
FINAL = st.sampled_from(sorted(outcome for outcome in Outcome if MEANING[outcome].kind is not OutcomeKind.EMAIL))
PHONES = st.lists(st.tuples(FINAL, st.booleans()), min_size=1, max_size=4)


def told_of(phones, kind=PushKind.RING):
    """What is announced of ben, whose phones end so: the final outcome, and whether an attempt got no answer."""
    news, devices = RingNews(kind, a_round("ben")), [a_device(token=f"token-{n}") for n in range(len(phones))]
    news.planned(Plan([a_push(device) for device in devices], []))
    found = []
    for device, (outcome, unsure) in zip(devices, phones, strict=True):
        result = a_delivery(device, outcome)
        found += [news.attempted(result, NOW), news.phone_done("ben", [result], NOW, unsure=unsure)]
    return [(announcement.type, dict(announcement.data)) for announcement in found if announcement]


@given(PHONES)
def test_a_user_is_reached_or_unreachable_or_neither(phones):
    outcomes = {outcome for outcome, _ in phones}
    told = [type_ for type_, _ in told_of(phones)]
    if outcomes & SENT:
        assert told == [AnnouncementType.REACHED]
    elif outcomes - {Outcome.SAME_PHONE} <= set(DEAD_ENDS) and outcomes != {Outcome.SAME_PHONE}:
        assert told == [] if any(unsure for _, unsure in phones) else [AnnouncementType.UNREACHABLE]
    else:
        assert told == []


def test_the_reason_is_told_to_the_backend():
    ((type_, data),) = told_of([(Outcome.TOKEN_DEAD, False), (Outcome.GAVE_UP, False)])
    assert (type_, data["user_id"], data["reason"]) == (AnnouncementType.UNREACHABLE, "ben", "gave_up")


def test_a_notice_is_announced_and_a_quiet_push_is_not():
    assert [type_ for type_, _ in told_of([(Outcome.ACCEPTED, False)] * 2, PushKind.MISSED)] == ["call.missed_notice"]
    assert told_of([(Outcome.ACCEPTED, False)], PushKind.NOTIFICATION) == []
    assert told_of([(Outcome.TOKEN_DEAD, False)], PushKind.MISSED) == []


def test_one_who_blocked_the_caller_is_unreachable_as_others_are():
    news = RingNews(PushKind.RING, a_round("ben", "ann"))
    blocked = news.skipped(Skip("ben", Outcome.CALLER_BLOCKED), NOW)
    muted = news.skipped(Skip("ann", Outcome.MUTED), NOW)
    told = [for_caller(json.loads(announcement.document())) for announcement in (blocked, muted)]
    assert [custom.pop("user_id") for custom in told] == ["ben", "ann"]
    assert told[0] == told[1], "a caller cannot tell them apart"
