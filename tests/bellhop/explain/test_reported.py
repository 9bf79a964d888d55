"""What phones report about their rings, and what Stream was told, as sentences in the timeline and in the verdict."""

import pytest

from bellhop.domain.outcomes import Tone
from bellhop.domain.phone_report import NOT_SHOWN_BECAUSE, PhoneEvent
from bellhop.explain.explanation import explain
from bellhop.explain.reported import CARRIED, REPORTS
from bellhop.trail import CarryOutcome, PhoneRang, PhoneReported, RejectionCarried
from tests.trails import START, attempt, ring, settled, told

PHONE = {"user": "jane", "device": "ab" * 10, "label": "Jane's Pixel", "provider": "fcm"}
STARTED = "Jane's Pixel was rung 0.2 s after the call began"


def reported(event, after_s=2.0, **facts):
    facts = {"round": START, "device": PHONE["device"], "provider": "fcm", "outcome": event} | facts
    return told(PhoneReported, after_s, **facts)


def rejected(event, after_s=2.0):
    return reported(event, after_s, user="jane", stamp=START + round(after_s * 1e6))


def carried(outcome, **facts):
    return told(RejectionCarried, 2.1, **{"round": START, "user": "jane", "outcome": outcome} | facts)


def explained(*lines):
    explanation = explain("default:1", [ring("jane"), attempt(0.2, PHONE, "accepted", ms=41), *lines])
    [person] = explanation.rounds[0].people
    return person, [entry.sentence for entry in explanation.rounds[0].timeline if entry.what in ("reported", "carried")]


def test_every_word_has_a_sentence():
    assert REPORTS.keys() == {*PhoneEvent}
    assert CARRIED.keys() == {*CarryOutcome}
    assert len({*NOT_SHOWN_BECAUSE.values()}) == len(NOT_SHOWN_BECAUSE)


def test_a_decline_on_the_phone_is_the_standing_at_once():
    person, [sentence] = explained(told(PhoneRang, 0.9, round=START, device=PHONE["device"]), rejected("declined"))
    assert sentence == "Jane's Pixel reports that jane declined on the phone."
    assert (person.standing, person.final, person.tone, person.reason) == ("declined", False, Tone.GOOD, "declined")
    assert person.verdict == (
        f"{STARTED}, and it reported that it rang and that jane declined on the phone. "
        "jane declined 2 s after the call began."
    )


def test_a_busy_phone_says_so():
    person, [sentence] = explained(rejected("busy"))
    assert (sentence, person.standing) == ("Jane's Pixel reports that jane had another call.", "busy")


@pytest.mark.parametrize(
    ("event", "words"),
    [
        ("answered_elsewhere", "that jane answered on another device"),
        ("dismissed", "that jane removed the notification"),
        ("waved", "waved, which this version of Bellhop does not know"),
    ],
)
def test_other_reports_leave_the_standing(event, words):
    person, [sentence] = explained(reported(event))
    assert sentence == f"Jane's Pixel reports {words}."
    assert (person.verdict, person.standing) == (f"{STARTED}, and it reported {words}.", "")


@pytest.mark.parametrize(
    ("reason", "words"), [("full_screen_off", ": the app may not show a call over the whole screen"), ("x_y", ": x y")]
)
def test_a_call_that_was_not_shown_reached_nobody(reason, words):
    person, [sentence] = explained(reported("not_shown", reason=reason), settled(35, "jane", "no_answer"))
    assert sentence == f"Jane's Pixel reports that it did not show the call{words}."
    assert (person.tone, person.reason) == (Tone.BAD, "1 of 1 phones: not shown")
    assert person.next
    shown, _ = explained(reported("not_shown"), told(PhoneRang, 3, round=START, device=PHONE["device"]))
    assert shown.tone is Tone.GOOD


@pytest.mark.parametrize(
    ("after_s", "words"),
    [
        (31, "the ring's time was over"),
        (2, "it is not known for whom a worker of an older version rang the phone"),
    ],
)
def test_a_decline_without_effect_says_why(after_s, words):
    person, [sentence] = explained(reported("declined", after_s))
    assert sentence == f"Jane's Pixel reports that jane declined on the phone. This ended nothing: {words}."
    assert person.standing == ""


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (carried("told", ms=41.0), "Bellhop told Stream that jane declined, after 41 ms."),
        (carried("told", times=3), "Bellhop told Stream that jane declined, with request 3."),
        (
            carried("over", reason="answered"),
            "Bellhop did not tell Stream that jane declined: jane had answered on another device.",
        ),
        (
            carried("over", reason="ended"),
            "Bellhop did not tell Stream that jane declined: the ring was over for jane.",
        ),
        (
            carried("refused", reason="status 403", status=403),
            "Stream does not take from Bellhop that jane declined (status 403). The caller's phone may ring on.",
        ),
        (
            carried("too_late", reason="status 500"),
            "Stream did not take from Bellhop that jane declined before the ring was over (status 500).",
        ),
        (
            carried("again"),
            "A worker stopped when it had perhaps told Stream that jane declined. Bellhop tells Stream again.",
        ),
    ],
)
def test_what_stream_was_told_has_a_sentence(line, sentence):
    assert explained(rejected("declined"), line)[1][-1] == sentence
