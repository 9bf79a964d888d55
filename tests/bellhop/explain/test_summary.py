"""A call in one line, and which calls a support person filters for."""

import pytest
from msgspec.structs import replace

from bellhop.domain.outcomes import Tone
from bellhop.explain.explanation import explain
from bellhop.explain.summary import Flag, summarize
from bellhop.trail import EmailMilestone, PushAttempted, PushFinished, PushSkipped, UserSettled, WebhookReceived
from tests.trails import START as T
from tests.trails import told

PHONES = {"ben": {"device": "b" * 20, "label": "Ben's iPhone"}, "jane": {"device": "c" * 20, "label": "Jane's Pixel"}}


def rung(*users, kind="ring"):
    facts = {"type": f"call.{kind}", "stamp": T, "round": T, "users": list(users), "callers": ["sara"]}
    return told(WebhookReceived, 0.01, until=T + 30_000_000, **facts)


def pushed(user, after_s, outcome="accepted", what=PushAttempted, kind="ring"):
    return told(what, after_s, round=T, kind=kind, user=user, provider="apns", outcome=outcome, **PHONES[user])


def skipped(user, outcome):
    return told(PushSkipped, 0.02, round=T, kind="ring", user=user, outcome=outcome)


def settled(user, outcome):
    return told(UserSettled, 35, round=T, user=user, outcome=outcome)


def seen(*lines):
    return summarize(explain("default:1", lines))


STORIES = {
    "rung at once": ([rung("ben"), pushed("ben", 0.1)], set()),
    "rung, and missed": ([rung("ben"), pushed("ben", 0.1), settled("ben", "missed")], set()),
    "rung late": ([rung("ben"), pushed("ben", 3.5)], {Flag.LATE}),
    "one phone at once, the other late": (
        [rung("ben"), pushed("ben", 0.1), replace(pushed("ben", 9), device="d" * 20)],
        set(),
    ),
    "no time left": (
        [rung("ben"), pushed("ben", 31, "too_late", PushFinished), settled("ben", "no_answer")],
        {Flag.LATE, Flag.NOT_REACHED},
    ),
    "a dead token": (
        [rung("ben"), pushed("ben", 0.1, "token_dead"), settled("ben", "missed")],
        {Flag.NOT_REACHED, Flag.FAILED},
    ),
    "a dead token, and an answer in the app": (
        [rung("ben"), pushed("ben", 0.1, "token_dead"), settled("ben", "answered")],
        {Flag.FAILED},
    ),
    "failed once, then rung": ([rung("ben"), pushed("ben", 0.1, "unavailable"), pushed("ben", 0.4)], set()),
    "no credentials": (
        [rung("ben"), pushed("ben", 0.1, "no_credentials", PushFinished)],
        set(Flag) - {Flag.LATE},
    ),
    "no phone": ([rung("ben"), skipped("ben", "no_devices"), settled("ben", "missed")], {Flag.NOT_REACHED}),
    "muted": ([rung("ben"), skipped("ben", "muted"), settled("ben", "missed")], {Flag.NOT_REACHED}),
    "no phone, but an answer in the app": (
        [rung("ben"), skipped("ben", "no_devices"), settled("ben", "answered")],
        set(),
    ),
    "cancelled before the first attempt": (
        [rung("ben"), pushed("ben", 0.5, "cancelled", PushFinished), settled("ben", "cancelled")],
        {Flag.NOT_REACHED},
    ),
    "one of two": (
        [rung("ben", "jane"), pushed("ben", 0.1), skipped("jane", "no_devices")],
        {Flag.NOT_REACHED},
    ),
    "just begun": ([rung("ben")], set()),
    "a notification that nobody got": ([rung("ben", kind="notification"), skipped("ben", "no_devices")], set()),
    "an e-mail that was refused": (
        [
            rung("ben"),
            pushed("ben", 0.1),
            settled("ben", "missed"),
            told(EmailMilestone, 40, round=T, user="ben", outcome="mail_refused"),
        ],
        {Flag.FAILED},
    ),
    "an e-mail that went out in the end": (
        [
            rung("ben"),
            pushed("ben", 0.1),
            told(EmailMilestone, 40, round=T, user="ben", outcome="mail_unknown"),
            told(EmailMilestone, 50, round=T, user="ben", outcome="mail_accepted"),
        ],
        set(),
    ),
}


@pytest.mark.parametrize(("lines", "flags"), STORIES.values(), ids=STORIES)
def test_what_is_worth_a_look(lines, flags):
    assert seen(*lines).flags == flags


def test_a_line_says_who_called_whom_and_how_many_were_reached():
    found = seen(rung("ben", "jane"), pushed("ben", 0.1), skipped("jane", "no_devices"))
    assert (found.caller, found.called, found.reached, found.people) == ("sara", "ben and jane", 1, 2)
    assert (found.started_at, found.rounds, found.tone) == (T, 1, Tone.BAD)


def test_many_people_are_counted_not_listed():
    assert seen(rung(*(f"user-{number}" for number in range(9)))).called == "user-0, user-1, user-2 and 6 more"


def test_a_bad_round_is_found_before_a_good_one():
    later = T + 60_000_000
    second = replace(rung("ben"), at=later, stamp=later, round=later)
    found = seen(
        rung("ben"),
        skipped("ben", "no_devices"),
        settled("ben", "missed"),
        second,
        replace(pushed("ben", 60.1), round=later),
    )
    assert (found.rounds, found.started_at, found.reached) == (2, later, 1)
    assert found.flags == {Flag.NOT_REACHED}


def test_lines_without_a_ring_make_a_line_too():
    assert seen(told(WebhookReceived, 0, type="call.ended", stamp=T)).flags == frozenset()
    assert summarize(explain("default:1", [])).tone is Tone.OPEN
