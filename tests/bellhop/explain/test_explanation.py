"""From the lines of a trail to sentences: every word of the vocabulary has one, and no trail is too strange to tell."""

import json
import random
import re
import time
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bellhop.domain.call import Standing
from bellhop.domain.device import Provider
from bellhop.domain.outcomes import MEANING, Action, Outcome, OutcomeKind, Tone
from bellhop.domain.push import PushKind
from bellhop.explain.explanation import explain
from bellhop.explain.repeats import joined
from bellhop.explain.sentences import (
    FATES,
    NO_TRAIL,
    PROVIDERS,
    PURPOSES,
    PUSHES,
    RINGS_ONLY,
    SENT,
    STANDINGS,
    duration,
    listed,
)
from bellhop.explain.summary import Flag, summarize, summarize_trail
from bellhop.explain.timeline import SENTENCES
from bellhop.trail import (
    MILESTONES,
    SHORT,
    EmailMilestone,
    JobPickedUp,
    PhoneRang,
    PushAttempted,
    PushFinished,
    PushSkipped,
    PushWaited,
    StreamAsked,
    TokenChecked,
    TokenFate,
    decode,
    encode,
)
from tests import trails
from tests.trails import START as T
from tests.trails import attempt, milestones, settled, told, webhook

CID = "default:1"
IPHONE = {"user": "jane", "device": "ab" * 10, "label": "Jane's iPhone", "provider": "apns", "app": "com.example"}
PIXEL = {"user": "jane", "device": "cd" * 10, "label": "Jane's Pixel", "provider": "fcm", "app": "proj"}


ring = partial(trails.ring, session="first")


NO_ANSWER = "jane did not answer before the time to ring was over."
NOT_RUNG = "The time to ring was over, and Bellhop had rung no phone of jane."


def finished(after_s, device, outcome):
    return told(PushFinished, after_s, round=T, kind="ring", outcome=outcome, **device)


def jane(*lines):
    found = explain(CID, lines, "jane")
    assert found.found
    return found.rounds[-1].people[0]


def test_an_iphone_was_reached_by_a_later_alert():
    """The answers to the first alert were lost. The next one was accepted."""
    lost = [attempt(0.1, IPHONE, "unknown"), finished(0.2, IPHONE, "gave_up")]
    found = explain(CID, [ring("jane"), *lost, attempt(12, IPHONE, "accepted", kind="alert_ring")])
    assert found.rounds[-1].people[0].reached
    assert Flag.NOT_REACHED not in summarize(found).flags
    assert "reached 1 of 1" in found.summary


@pytest.mark.parametrize("ahead_s", [-600, 600])
def test_waits_are_true_though_redis_and_stream_differ(ahead_s):
    """The lines have Redis's time, the ring's start and the answer's stamp Stream's."""
    ahead = {"redis_ahead_us": ahead_s * 1_000_000}
    found = explain(
        CID,
        [
            ring("jane", late_s=0.01 + ahead_s, **ahead),
            told(JobPickedUp, 0.02 + ahead_s, round=T, job="ring"),
            attempt(0.25 + ahead_s, IPHONE, "accepted"),
            webhook("call.accepted", 4, "jane", late_s=2 + ahead_s, **ahead),
        ],
    )
    (round_,) = found.rounds
    assert [entry.after_us / 1e6 for entry in round_.timeline] == [0.01, 0.02, 0.25, 6]
    assert [entry.sentence for entry in round_.timeline][1:] == [
        "A worker started the ring 10 ms after it was queued.",
        "Apple accepted the ring for Jane's iPhone.",
        "Stream reports that jane answered. The webhook took 2 s to arrive.",
    ]
    assert round_.people[0].verdict.startswith("Jane's iPhone was rung 0.2 s after the call began")
    assert not round_.next
    assert not summarize(found).flags


@pytest.mark.parametrize("outcome", Outcome)
def test_every_outcome_has_its_words(outcome):
    meaning = MEANING[outcome]
    assert meaning.sentence[0].islower() or meaning.sentence.startswith(("{", "Stream", "Bellhop"))
    assert not meaning.sentence.endswith(".")
    assert not meaning.advice or meaning.advice.endswith(".")


@pytest.mark.parametrize("outcome", [*(o for o in Outcome if MEANING[o].kind is OutcomeKind.ATTEMPT), "no_credentials"])
def test_what_an_attempt_got_names_only_what_a_sender_knows(outcome):
    meaning = MEANING[outcome]
    assert (meaning.sentence + meaning.advice).format(provider="Apple", app="com.example", user="jane")


def test_which_outcomes_are_retried_and_which_prune_a_token():
    assert {outcome for outcome in Outcome if MEANING[outcome].prune} == {Outcome.TOKEN_DEAD}
    retried = {outcome for outcome in Outcome if MEANING[outcome].retry}
    assert retried > {Outcome.UNSENT, Outcome.UNKNOWN, Outcome.UNAVAILABLE, Outcome.THROTTLED, Outcome.MAIL_DEFERRED}
    assert not retried & {Outcome.ACCEPTED, Outcome.TOKEN_DEAD, Outcome.BAD_REQUEST, Outcome.MAIL_REFUSED}


@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if MEANING[outcome].action is Action.ALERT])
def test_what_an_operator_must_do_something_about_is_never_quiet(outcome):
    assert MEANING[outcome].tone is Tone.BAD
    assert MEANING[outcome].advice or outcome is Outcome.GAVE_UP, "its last attempt's advice is given"


@pytest.mark.parametrize("outcome", Outcome)
@pytest.mark.parametrize("what", [PushSkipped, PushAttempted, PushFinished, EmailMilestone])
def test_every_outcome_is_told_in_every_place_it_may_come_up(what, outcome):
    person = jane(ring("jane"), told(what, 1, round=T, kind="ring", outcome=outcome, **IPHONE))
    found = explain(CID, [ring("jane"), told(what, 1, round=T, kind="ring", outcome=outcome, **IPHONE)])
    for sentence in (person.verdict, *person.next, *(one.sentence for one in found.rounds[0].timeline)):
        assert re.fullmatch(r"[A-Z{j].*\.", sentence)
        assert not re.search(r"[{}]|None|this version of Bellhop", sentence)


@pytest.mark.parametrize("standing", Standing)
def test_every_standing_has_its_sentence(standing):
    assert STANDINGS[standing].endswith(".")
    sentence = jane(ring("jane"), attempt(0.3, IPHONE, "accepted"), settled(31, "jane", standing)).verdict
    assert sentence.startswith("Jane's iPhone was rung 0.3 s after the call began. ")
    assert "{" not in sentence


@pytest.mark.parametrize("kind", MILESTONES)
def test_every_milestone_has_its_sentence(kind):
    assert kind in SENTENCES
    [moment] = explain(CID, [told(kind, 0)]).rounds[0].timeline
    assert re.fullmatch(r"\w.*\.", moment.sentence)
    assert "{" not in moment.sentence


@pytest.mark.parametrize("fate", TokenFate)
def test_every_fate_of_a_token_has_its_sentence(fate):
    found = explain(CID, [ring("jane"), told(TokenChecked, 1, round=T, kind="ring", detail=fate, **IPHONE)])
    assert "Jane's iPhone" in found.rounds[0].timeline[-1].sentence
    assert fate in FATES


@pytest.mark.parametrize("table", [PUSHES, SENT, PURPOSES])
def test_every_kind_of_push_has_its_words(table):
    assert set(table) == set(PushKind)
    assert set(PROVIDERS) == set(Provider)


def test_the_story_of_the_readme():
    person = jane(
        ring("jane"),
        webhook("call.rejected", 0.8, "sara", session="first"),
        finished(0.9, IPHONE, "cancelled"),
        settled(0.9, "jane", "cancelled"),
    )
    assert person.verdict == (
        "Jane's iPhone was not rung: the call was cancelled 0.8 s after it began, before the first attempt."
    )
    assert person.tone is Tone.QUIET


def test_a_ring_that_worked_after_failures_is_explained():
    person = jane(
        ring("jane"), *(attempt(n, IPHONE, "unavailable") for n in (0.1, 0.5)), attempt(1.2, IPHONE, "accepted")
    )
    assert person.verdict == "Jane's iPhone was rung 1.2 s after the call began, after 2 failed attempts."


def test_each_device_has_its_part_in_the_verdict():
    person = jane(ring("jane"), attempt(0.2, IPHONE, "accepted"), attempt(0.3, PIXEL, "token_dead", status=404))
    assert person.verdict == (
        "Jane's iPhone was rung 0.2 s after the call began. Jane's Pixel was not rung: Google says that the app was "
        "removed from this phone, or that its push token was replaced (404)."
    )
    assert person.reached


def test_without_an_answer_it_is_not_known_whether_it_rang():
    lines = ring("jane"), *(attempt(n, IPHONE, "unknown") for n in (3, 6, 9)), finished(9, IPHONE, "gave_up")
    assert jane(*lines).verdict == (
        "It is not known whether Jane's iPhone was rung: no attempt succeeded in the available time, after 3 "
        "attempts with an unknown result; the last time the connection to Apple broke before an answer came, so the "
        "push may or may not have arrived."
    )


def test_a_second_run_of_a_job_does_not_hide_the_first():
    lines = ring("jane"), attempt(0.2, IPHONE, "too_large", status=413), finished(3, IPHONE, "duplicate")
    assert jane(*lines).deliveries[0].outcome == "too_large"


def test_a_push_that_waits_for_the_provider_is_not_over():
    person = jane(ring("jane"), told(PushWaited, 0.1, round=T, kind="ring", outcome="circuit_open", **IPHONE))
    assert person.tone is Tone.OPEN
    assert (
        person.verdict == "Jane's iPhone is not rung yet: Apple failed repeatedly for com.example, so the push waited."
    )


def delayed(after_s):
    return told(PushWaited, after_s, round=T, kind="ring", outcome="delayed", **IPHONE)


LONG_WAY = "the connection to Apple took long, so Bellhop checked the call again"


def test_a_delayed_push_is_open_and_the_delay_is_no_failure():
    person = jane(ring("jane"), delayed(0.6))
    assert (person.tone, person.verdict) == (Tone.OPEN, f"Jane's iPhone is not rung yet: {LONG_WAY}.")
    assert not person.next
    timeline = explain(CID, [ring("jane"), delayed(0.6)]).rounds[0].timeline
    assert timeline[-1].sentence == f"Bellhop cannot send the ring for Jane's iPhone yet: {LONG_WAY}."
    person = jane(ring("jane"), delayed(0.6), attempt(0.9, IPHONE, "accepted"))
    assert (person.tone, person.verdict) == (Tone.GOOD, "Jane's iPhone was rung 0.9 s after the call began.")


def test_a_server_of_redis_that_did_not_answer_is_named():
    away = "a server of Redis did not answer"
    waiting = [told(PushWaited, 2, round=T, kind="ring", user="jane", outcome="redis_away")]
    person = jane(ring("jane"), *waiting)
    assert (person.tone, person.verdict) == (Tone.OPEN, f"jane is not rung yet: {away}.")
    waiting.append(told(PushWaited, 3, round=T, kind="ring", outcome="redis_away", **IPHONE))
    found = explain(CID, [ring("jane"), *waiting, attempt(4, IPHONE, "accepted")]).rounds[-1]
    assert found.people[0].verdict == "Jane's iPhone was rung 4 s after the call began."
    assert [entry.sentence for entry in found.timeline[1:3]] == [
        f"Bellhop cannot send the ring for jane yet: {away}.",
        f"Bellhop cannot send the ring for Jane's iPhone yet: {away}.",
    ]
    assert found.next == (MEANING[Outcome.REDIS_AWAY].advice,)


def test_a_delayed_push_that_was_never_sent_has_advice():
    person = jane(ring("jane"), delayed(0.6), finished(29, IPHONE, "gave_up"))
    assert person.verdict == f"Jane's iPhone was not rung: no attempt succeeded in the available time: {LONG_WAY}."
    assert person.tone is Tone.BAD
    [advice] = person.next
    assert advice.startswith("If this happens often, check how busy this machine is")


def test_a_push_overtaken_by_the_end_says_why_it_waited():
    person = jane(
        ring("jane"),
        delayed(0.6),
        webhook("call.rejected", 2, "sara", session="first"),
        finished(2, IPHONE, "cancelled"),
    )
    assert person.verdict == (
        f"Jane's iPhone was not rung: the call was cancelled 2 s after it began, before the first attempt: {LONG_WAY}."
    )


def test_a_cancel_after_a_long_silence_is_a_failure():
    lines = ring("jane"), webhook("call.rejected", 9, "sara", session="first"), finished(9, IPHONE, "cancelled")
    assert jane(*lines).tone is Tone.BAD


@pytest.mark.parametrize(
    ("reason", "sentence"),
    [
        ("", "jane declined 2 s after the call began."),
        ("busy", "jane had another call."),
        ("timeout", "jane did not answer in time."),
    ],
)
def test_what_a_user_did_is_told_before_it_is_settled(reason, sentence):
    person = jane(ring("jane"), attempt(0.1, IPHONE, "accepted"), webhook("call.rejected", 2, "jane", reason=reason))
    assert person.verdict.endswith(sentence)
    assert not person.final


@pytest.mark.parametrize(
    ("user", "reason", "sentence"),
    [
        ("sara", "", "Stream reports that the caller, sara, cancelled the call."),
        ("sara", "timeout", "Stream reports that nobody answered in time, and the app of the caller, sara, gave up."),
        ("jane", "report-call-failed", "Stream reports that the phone of jane could not show the call."),
        ("jane", "other", "Stream reports that jane declined."),
        (
            "jane",
            "call-has-ended",
            "Stream reports that the phone of jane stopped ringing, since the call was over (call-has-ended).",
        ),
    ],
)
def test_a_rejection_is_told_by_who_gave_it_and_why(user, reason, sentence):
    round_ = explain(CID, [ring("jane"), webhook("call.rejected", 2, user, reason=reason)]).rounds[0]
    assert round_.timeline[-1].sentence == sentence


def test_a_caller_whose_app_gave_up_did_not_cancel():
    lines = ring("jane"), attempt(0.1, IPHONE, "accepted"), webhook("call.rejected", 20, "sara", reason="timeout")
    assert jane(*lines).verdict.endswith("jane did not answer before the time to ring was over.")


def test_what_a_phone_does_after_the_cancel_is_no_decline():
    cancelled = webhook("call.rejected", 5, "sara", reason="")
    person = jane(ring("jane"), attempt(0.1, IPHONE, "accepted"), cancelled, webhook("call.rejected", 5.3, "jane"))
    assert person.verdict.endswith("The call was cancelled 5 s after it began.")


def test_muting_and_quiet_hours_do_not_count_as_failures():
    for outcome, clause in (
        ("muted", "they had muted all calls"),
        ("quiet_hours", "the call began in their quiet hours"),
    ):
        person = jane(ring("jane"), told(PushSkipped, 0.1, round=T, kind="ring", user="jane", outcome=outcome))
        assert (person.verdict, person.tone, person.next) == (f"jane was not rung: {clause}.", Tone.QUIET, ())


@pytest.mark.parametrize(
    ("outcome", "facts", "clause"),
    [
        ("muted", "2026-07-25T08:00:00+02:00", "they had muted all calls until 2026-07-25 06:00 UTC"),
        ("muted", "9999-12-31T23:59:59-14:00", "they had muted all calls"),
        ("muted", "soon", "they had muted all calls"),
        ("disabled", "2026-07-25T08:00:00+00:00", "the phone was disabled by an operator at 2026-07-25 08:00 UTC"),
        ("disabled", "", "the phone was disabled by an operator"),
        (
            "quiet_hours",
            "22:00-07:00 Europe/Berlin",
            "the call began in their quiet hours (22:00 to 07:00, in the user's time zone Europe/Berlin)",
        ),
        (
            "quiet_hours",
            "22:00-07:00",
            "the call began in their quiet hours (22:00 to 07:00 UTC, since no time zone is known)",
        ),
        ("quiet_hours", "at night", "the call began in their quiet hours"),
        ("no_devices", "0 devices", "no device of jane was registered"),
        (
            "no_devices",
            "1 device",
            "jane had 1 device for notices and none for calls: an iPhone rings by its VoIP token",
        ),
        ("no_devices", "", "no phone is registered for calls"),
    ],
)
def test_why_no_push_was_wanted_or_possible(outcome, facts, clause):
    skipped = told(PushSkipped, 0.1, round=T, kind="ring", user="jane", outcome=outcome, reason=facts)
    round_ = explain(CID, [ring("jane"), skipped]).rounds[0]
    assert round_.people[0].verdict == f"jane was not rung: {clause}."
    assert round_.timeline[-1].sentence == f"jane gets no ring: {clause}."


def test_a_token_of_the_other_kind_is_what_is_missing():
    skips = [
        told(PushSkipped, 0.1, round=T, kind=kind, user="jane", outcome="no_devices", reason="2 devices")
        for kind in ("ring", "missed")
    ]
    round_ = explain(CID, [ring("jane"), *skips]).rounds[0]
    assert "VoIP token (PushKit) too, with kind voip" in round_.people[0].next[0]
    assert "2 devices for calls and none for notices" in round_.timeline[-1].sentence


@pytest.mark.parametrize(
    ("pushes", "sentence"),
    [
        ([], NOT_RUNG),
        ([attempt(0.2, IPHONE, "unavailable"), finished(30, IPHONE, "gave_up")], NOT_RUNG),
        ([attempt(0.2, IPHONE, "unknown")], NO_ANSWER),
        ([attempt(0.2, IPHONE, "accepted")], NO_ANSWER),
    ],
    ids=["no push", "failed pushes", "a push that may have arrived", "a push that was accepted"],
)
def test_nobody_fails_to_answer_a_phone_that_never_rang(pushes, sentence):
    gave_up = webhook("call.rejected", 30, "sara", reason="timeout")
    assert jane(ring("jane"), *pushes, gave_up).verdict.endswith(sentence)
    assert jane(ring("jane"), *pushes, gave_up, settled(31, "jane", "no_answer")).verdict.endswith(sentence)


def test_the_end_of_a_push_is_called_by_what_came_before():
    ends = finished(30, IPHONE, "cancelled")
    tried = [ring("jane"), attempt(0.2, IPHONE, "unavailable"), ends]
    assert (
        explain(CID, tried).rounds[0].timeline[-1].sentence.startswith("No more attempts to send the ring for Jane's")
    )
    untried = explain(CID, [ring("jane"), ends]).rounds[0].timeline[-1].sentence
    assert untried == "The ring for Jane's iPhone was not sent: the call was cancelled."


def test_a_pause_that_is_too_long_is_told():
    gave_up = told(
        PushFinished,
        0.3,
        round=T,
        kind="ring",
        outcome="gave_up",
        reason="next attempt 10 s later, the ring ends sooner",
        **IPHONE,
    )
    round_ = explain(CID, [ring("jane"), attempt(0.2, IPHONE, "throttled"), gave_up]).rounds[0]
    assert (
        "the available time (next attempt 10 s later, the ring ends sooner), after 1 failed" in round_.people[0].verdict
    )
    assert round_.timeline[-1].sentence.endswith("time (next attempt 10 s later, the ring ends sooner).")


def test_repeated_attempts_are_one_line_with_a_count():
    attempts = [attempt(after_s, IPHONE, "unavailable", status=503, ms=12.0) for after_s in (0.2, 0.5, 1.1)]
    other = attempt(0.4, PIXEL, "unavailable", status=503)
    lines = [*attempts[:2], other, attempts[2], attempt(2.4, IPHONE, "throttled", status=429)]
    timeline = explain(CID, [ring("jane"), *lines, attempt(3, IPHONE, "accepted")]).rounds[0].timeline
    assert [(entry.at - T, entry.outcome) for entry in joined(timeline)[1:]] == [
        (200_000, "unavailable"),
        (400_000, "unavailable"),
        (2_400_000, "throttled"),
        (3_000_000, "accepted"),
    ]
    assert joined(timeline)[1].sentence == (
        "An attempt to send the ring for Jane's iPhone failed after 12 ms: Apple had an internal problem (503). "
        "2 more attempts, until 1.1 s after the call began, ended in the same way."
    )


def test_times_are_also_given_as_people_write_them():
    [round_] = explain(CID, [ring("jane")]).as_json()["rounds"]
    assert (round_["started_at"], round_["started_time"]) == (T, "2026-07-24T10:00:00.123000Z")
    assert round_["until_time"] == "2026-07-24T10:00:30.123000Z"
    assert round_["timeline"][0]["time"] == "2026-07-24T10:00:00.133000Z"
    [outside] = explain(CID, [webhook("call.ended", 1)]).rounds
    assert (outside.started_time, outside.until_time) == ("", "")


def test_a_service_account_of_another_project():
    other = PIXEL | {"user": "ben", "device": "ef" * 10, "label": "Ben's Pixel"}
    wrong = {"status": 403, "reason": "SENDER_ID_MISMATCH"}
    lines = [ring("jane", "ben"), attempt(0.2, PIXEL, "wrong_app", **wrong)]
    [person, _] = explain(CID, lines).rounds[0].people
    assert person.verdict == (
        "Jane's Pixel was not rung: Google says that this phone's push token belongs to another Firebase project than "
        "proj, the project of Bellhop's service account (403 SENDER_ID_MISMATCH)."
    )
    assert person.next[0].startswith("If every Android phone gets this answer, Bellhop's service account is of another")
    both = explain(CID, [*lines, attempt(0.2, other, "wrong_app", **wrong)]).rounds[0].people
    assert {text.partition(":")[0] for one in both for text in one.next} == {
        "Every Android phone of this call got this answer"
    }
    [person, _] = explain(CID, [*lines, attempt(0.2, other, "accepted")]).rounds[0].people
    assert person.next[0].startswith("If every Android phone")


@pytest.mark.parametrize(("what", "outcome"), [(PushAttempted, "credentials_refused"), (PushWaited, "circuit_open")])
def test_a_key_of_one_environment_does_not_concern_all_phones(what, outcome):
    refused = told(what, 0.2, round=T, kind="ring", outcome=outcome, reason="BadEnvironmentKeyIdInToken", **IPHONE)
    lines = [ring("jane"), refused, finished(30, IPHONE, "gave_up")]
    advice = " ".join(explain(CID, lines).rounds[0].people[0].next)
    assert advice.startswith("The credentials for com.example are for one of Apple's environments only")
    assert "no phone" not in advice


def test_a_browser_that_subscribed_with_another_key():
    browser = {"user": "jane", "device": "ef" * 10, "label": "Jane's Firefox", "provider": "webpush", "app": "web"}
    lines = [ring("jane"), attempt(0.2, browser, "wrong_app", status=401, reason="KEY_MISMATCH")]
    [person] = explain(CID, lines).rounds[0].people
    assert person.verdict == (
        "Jane's Firefox was not rung: the browser subscribed with another public key than that of web "
        "(401 KEY_MISMATCH)."
    )
    assert person.next[0].startswith("Let the page subscribe again, with the key that GET /v1/web-push/key returns.")


def test_a_firebase_project_without_an_apns_key():
    lines = [ring("jane"), attempt(0.2, PIXEL, "no_apns_key", status=401, reason="THIRD_PARTY_AUTH_ERROR")]
    [person] = explain(CID, lines).rounds[0].people
    assert person.verdict == (
        "Jane's Pixel was not rung: Google could not pass the push on: for proj, Firebase has no valid APNs key for "
        "iPhones, or no Web Push key for browsers (401 THIRD_PARTY_AUTH_ERROR)."
    )
    assert person.next[0].startswith("In the Firebase console, under Project settings, Cloud Messaging, upload")


def test_names_stand_beside_ids_where_stream_gave_them():
    lines = [ring("u-1", "u-2", names=["Sara Lind", "Jane Roe"]), attempt(0.2, IPHONE | {"user": "u-1"}, "accepted")]
    found = explain(CID, lines)
    assert found.rounds[0].headline.startswith("sara (Sara Lind) called u-1 (Jane Roe) and u-2, at 20")
    assert [(person.user, person.name) for person in found.rounds[0].people] == [("u-1", "Jane Roe"), ("u-2", "")]
    line = summarize(found)
    assert (line.caller, line.caller_name, line.called) == ("sara", "Sara Lind", "u-1 (Jane Roe) and u-2")


def test_a_phone_that_says_it_rang_ends_the_search():
    rang = told(PhoneRang, 0.9, round=T, device=IPHONE["device"], provider="apns")
    lines = [ring("jane"), attempt(0.2, IPHONE, "accepted"), settled(31, "jane", "no_answer")]
    assert "If a phone stayed silent although Apple accepted the push" in jane(*lines).next[0]
    person = jane(*lines, rang)
    assert person.verdict.startswith("Jane's iPhone was rung 0.2 s after the call began, and it reported that it rang.")
    assert (person.next, person.deliveries[0].rang) == ((), True)


def test_a_late_webhook_and_a_late_worker_are_named():
    lines = [ring("jane", late_s=8, attempt=3), told(JobPickedUp, 12, round=T, job="ring")]
    round_ = explain(CID, lines).rounds[0]
    assert [advice.split(" to arrive")[0].split(" for a worker")[0] for advice in round_.next] == [
        "Stream's webhook took 8 s",
        "The ring waited 4 s",
    ]
    assert round_.timeline[0].sentence.endswith("The webhook took 8 s to arrive, at attempt 3.")
    assert "the clock of Redis's machine may be wrong" in round_.next[0]


def test_a_ring_that_no_worker_took_up():
    found = explain(CID, [ring("jane")])
    assert found.rounds[0].people[0].tone is Tone.OPEN
    assert found.rounds[0].next[0].startswith("No worker has started the ring")


@pytest.mark.parametrize("outcome", ["credentials_refused", "circuit_open"])
def test_refused_credentials_have_advice_if_another_phone_rang(outcome):
    refused = {"kind": "ring", "user": "jane", "device": "ab" * 10, "provider": "apns", "app": "com.example"}
    rang = {"kind": "ring", "user": "jane", "device": "cd" * 10, "provider": "fcm", "outcome": "accepted"}
    lines = [
        ring("jane"),
        told(JobPickedUp, 0.01, round=T, job="ring"),
        told(PushAttempted, 0.1, round=T, **rang),
        told(PushAttempted, 0.2, round=T, outcome=outcome, reason="InvalidProviderToken", **refused),
        told(PushFinished, 5, round=T, outcome="gave_up", **refused),
    ]
    (round_,) = explain(CID, lines).rounds
    assert round_.people[0].reached
    assert round_.next == (MEANING[Outcome.CREDENTIALS_REFUSED].advice.format(provider="Apple", app="com.example"),)


IPHONE_WAITS = {"kind": "ring", "user": "jane", "device": "ab" * 10, "label": "iPhone", "provider": "apns"}


@pytest.mark.parametrize(
    ("lines", "verdict"),
    [
        ([], "jane was not rung: no worker took it up in time."),
        (
            [told(JobPickedUp, 0.02, round=T, job="ring")],
            "jane was not rung: a worker took it up, but sent nothing before the time to ring was over.",
        ),
        (
            [told(PushWaited, 0.02, round=T, outcome="delayed", **IPHONE_WAITS)],
            "iPhone was not rung: the connection to Apple took long, so Bellhop checked the call again.",
        ),
        (
            [told(PushAttempted, 0.02, round=T, outcome="unavailable", **IPHONE_WAITS)],
            "iPhone was not rung: Apple had an internal problem.",
        ),
    ],
    ids=["no worker", "a worker that stopped", "a push that waited", "a push that failed"],
)
def test_a_ring_is_not_open_when_its_time_is_over(lines, verdict):
    trail, until = [ring("jane", redis_ahead_us=2_000_000), *lines], T + 30_000_000
    [at_its_end] = explain(CID, trail, now=until + 2_000_000).rounds[0].people
    [person] = explain(CID, trail, now=until + 2_000_001).rounds[0].people
    assert (at_its_end.tone, person.tone, person.verdict) == (Tone.OPEN, Tone.BAD, verdict)
    assert summarize_trail(CID, trail, until + 3_000_000).flags >= {Flag.NOT_REACHED}


def test_a_call_while_the_credentials_are_refused():
    waits = told(
        PushWaited, 0.02, round=T, kind="ring", outcome="circuit_open", reason="InvalidProviderToken", **IPHONE
    )
    refusal = "Apple refuses the credentials for com.example, so the push waited (InvalidProviderToken)."
    assert jane(ring("jane"), waits).verdict == f"Jane's iPhone is not rung yet: {refusal}"
    person = jane(ring("jane"), waits, finished(30, IPHONE, "gave_up"))
    assert person.verdict == f"Jane's iPhone was not rung: no attempt succeeded in the available time: {refusal}"
    assert person.next == (MEANING[Outcome.CREDENTIALS_REFUSED].advice.format(provider="Apple", app="com.example"),)


UNTOLD = "Stream has told Bellhop nothing of this call but the ring, so it is not known whether jane answered."


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ([], UNTOLD),
        ([told(StreamAsked, 31, round=T, outcome="no_answer")], UNTOLD),
        ([told(StreamAsked, 31, round=T, outcome="unknown_call")], UNTOLD),
        ([told(StreamAsked, 31, round=T, outcome="answered")], NO_ANSWER),
        ([webhook("call.session_participant_joined", 3, "sara")], NO_ANSWER),
    ],
    ids=[
        "no other webhook",
        "no answer of Stream's",
        "a call that Stream does not know",
        "an answer of Stream's",
        "another webhook",
    ],
)
def test_no_answer_is_no_fact_if_stream_told_only_of_the_ring(lines, sentence):
    trail = [ring("jane"), attempt(0.2, IPHONE, "accepted"), *lines, settled(32, "jane", "no_answer")]
    round_ = explain(CID, trail).rounds[0]
    assert round_.people[0].verdict.endswith(sentence)
    assert round_.timeline[-1].sentence == f"{sentence} A missed-call notice for jane is due."
    assert [advice for advice in round_.next if "sends call.ring and no other event" in advice] == (
        [RINGS_ONLY] if sentence == UNTOLD else []
    )


def test_an_answered_call_that_no_worker_took_up():
    trail = [ring("jane"), webhook("call.accepted", 3, "jane")]
    [person] = explain(CID, trail, now=T + 40_000_000).rounds[0].people
    assert person.verdict.startswith("jane was not rung: no worker took it up in time. jane answered")
    assert (person.tone, summarize_trail(CID, trail, T + 40_000_000).flags) == (Tone.GOOD, frozenset())


def test_each_ring_is_a_round_and_events_find_their_round():
    again = T + 60_000_000
    lines = [
        ring("jane"),
        ring("jane", after_s=60, session="other"),
        webhook("call.missed", 61, "jane", session="first"),
        webhook("call.accepted", 62, "jane", session="other"),
        settled(63, "jane", "missed"),
        settled(63, "jane", "answered", again),
    ]
    rounds = explain(CID, lines, "jane").rounds
    assert [round_.started_at for round_ in rounds] == [T, again]
    assert [round_.people[0].standing for round_ in rounds] == ["missed", "answered"]
    assert "jane missed the call" in rounds[0].timeline[1].sentence
    assert explain(CID, lines, "jane").summary.startswith("Called 2 times. The last time: ")


def test_a_round_known_from_its_call_missed_alone():
    lines = [
        webhook("call.missed", 0, "jane"),
        settled(0.1, "jane", "missed"),
        attempt(0.2, PIXEL, "accepted", kind="missed"),
    ]
    [round_] = explain(CID, lines).rounds
    assert round_.kind == "missed"
    assert round_.headline.startswith("jane missed a call that Stream had not asked Bellhop to ring")
    assert round_.people[0].verdict == "Jane's Pixel was sent a missed-call notice. jane missed the call."


def test_a_notification():
    opening = webhook("call.notification", 0, "jane", round=T, callers=["sara"])
    [round_] = explain(CID, [opening, attempt(0.2, PIXEL, "accepted", kind="notification")]).rounds
    assert round_.headline == "sara notified jane of the call, at 2026-07-24 10:00:00.123 UTC."
    assert round_.people[0].verdict == "Jane's Pixel was notified."


def test_a_trail_whose_beginning_is_lost():
    [round_] = explain(CID, [attempt(0.2, IPHONE, "accepted"), settled(31, "jane", "no_answer")]).rounds
    assert round_.headline.startswith("Somebody called jane")
    assert round_.people[0].verdict.startswith("Jane's iPhone was rung 0.2 s after the call began.")


def test_a_phone_that_nobody_named_goes_by_what_it_is():
    for label, name in (("apns voip 3f2a1b", "iPhone 3f2a1b"), ("fcm alert 3f2a1b", "Android phone 3f2a1b")):
        person = jane(ring("jane"), attempt(0.2, IPHONE | {"label": label}, "accepted"))
        assert person.verdict == f"{name} was rung 0.2 s after the call began."


def test_a_thousand_people_are_told_soon():
    names = [f"user-{number}" for number in range(1_000)]
    lines = [ring(*names), webhook("call.ended", 31, session="first")]
    for name in names:
        phone = IPHONE | {"user": name, "device": name}
        lines += [attempt(0.2, phone, "unavailable"), attempt(0.5, phone, "accepted"), settled(31, name, "ended")]
    began = time.process_time()
    assert explain(CID, lines).summary.startswith("Bellhop reached 1000 of 1000 people.")
    assert time.process_time() - began < 5, "each person looks at their own lines, not at everybody's"


def test_people_whom_a_long_list_left_out_are_counted():
    assert "sara called a, b and 998 more" in explain(CID, [ring("a", "b", more=998)]).rounds[0].headline


def test_nothing_is_known_of_a_call():
    found = explain(CID, [])
    assert (found.found, found.next, found.rounds) == (False, NO_TRAIL, ())
    assert found.summary == "Bellhop has no record of the call default:1."


def test_a_user_who_was_not_in_the_call_is_named():
    found = explain(CID, [ring("jane", "ben")], "Jane")
    assert (found.found, found.summary) == (False, "Jane was not called. This call was for jane and ben.")


def test_another_users_pushes_are_not_in_ones_timeline():
    lines = [ring("jane", "ben"), attempt(0.1, IPHONE, "accepted"), attempt(0.2, PIXEL | {"user": "ben"}, "accepted")]
    found = explain(CID, lines, "ben")
    assert [one.user for one in found.rounds[0].people] == ["ben"]
    assert "Jane" not in str(found.rounds[0].timeline[1].sentence.replace("Jane's Pixel", ""))


def test_words_of_a_newer_version_are_told_as_they_are():
    lines = [ring("jane"), attempt(0.1, IPHONE, "teleported"), decode(f'[2,"beamed",{T},{{"u":"jane"}}]')]
    assert 'the outcome is "teleported", which this version of Bellhop does not know' in jane(*lines).verdict
    found = explain(CID, lines)
    assert any(
        one.sentence.endswith("has no sentence for this line of the trail: beamed.") for one in found.rounds[0].timeline
    )


def test_lines_of_the_first_version_find_their_round():
    lines = [
        {"what": "received", "at": T + 10_000, "type": "call.ring", "stamp": T, "users": ["jane"]},
        {"what": "attempted", "at": T + 400_000, "kind": "ring", "outcome": "accepted"} | IPHONE,
    ]
    assert jane(*map(decode, map(json.dumps, lines))).verdict == "Jane's iPhone was rung 0.4 s after the call began."


@pytest.mark.parametrize(
    ("us", "text"),
    [
        (-5, "0 ms"),
        (340, "0 ms"),
        (99_000, "99 ms"),
        (800_000, "0.8 s"),
        (2_000_000, "2 s"),
        (9_960_000, "10 s"),
        (61_000_000, "1 min 1 s"),
        (7_200_000_000, "2 h"),
        (9_000_000_000, "2 h 30 min"),
        (4 * 86_400_000_000, "4 days"),
    ],
)
def test_durations(us, text):
    assert duration(us) == text


def test_a_sentence_names_a_dozen_people_at_most():
    assert listed([str(number) for number in range(100)], 900).endswith("10, 11 and 988 more")


def test_lists_of_names():
    assert [listed([]), listed(["a"]), listed(["a", "b"]), listed(["a", "b", "c"], 2)] == [
        "",
        "a",
        "a and b",
        "a, b, c and 2 more",
    ]


words = st.sampled_from([*Outcome, *Standing, *PushKind, *Provider, *TokenFate, "", "strange", "{0}", "{x"])
users = st.sampled_from(["jane", "ben", "sara", "", "{user}", "ki\u0000m"])
stamps = st.integers(T - 3, T + 3) | st.integers(0, 2**53)
types = st.sampled_from(
    ["call.ring", "call.rejected", "call.accepted", "call.missed", "call.ended", "call.session_ended", "call.x", "{x}"]
)
right = {
    "round": stamps,
    "stamp": stamps,
    "at": stamps,
    "kind": st.sampled_from(PushKind),
    "user": users,
    "users": st.lists(users, max_size=3).map(tuple),
    "callers": st.lists(users, max_size=2).map(tuple),
    "type": types,
    "outcome": words,
    "device": st.sampled_from(["", "aa", "bb"]),
    "detail": words,
}
wrong = {SHORT[name]: words | st.integers() | st.none() | st.lists(st.integers()) for name in SHORT}
strange_lines = st.builds(
    lambda what, at, facts: json.dumps([2, what, at, facts]),
    st.sampled_from([milestone.what for milestone in MILESTONES]) | words,
    stamps,
    st.fixed_dictionaries({}, optional=wrong),
)
valid_lines = st.lists((milestones(**right).map(encode) | strange_lines).map(decode), max_size=12)


@given(valid_lines, users, st.randoms(use_true_random=False))
def test_any_lines_in_any_order_are_told(lines, user, chance: random.Random):
    found = explain(CID, lines, user)
    assert found.summary
    timeline = [
        entry.at for round_ in explain(CID, lines).rounds for entry in round_.timeline if entry.what != "skipped"
    ]
    assert sorted(timeline) == sorted(line.at for line in lines if getattr(line, "word", line.what) != "skipped"), (
        "once"
    )
    json.dumps(found.as_json())
    shuffled = explain(CID, sorted(lines, key=lambda _: chance.random()), user)
    assert shuffled.found == found.found


@pytest.mark.parametrize(
    ("outcome", "so_often"),
    [
        ("unsent", "1 failed attempt"),
        ("unavailable", "1 failed attempt"),
        ("throttled", "1 failed attempt"),
        ("bad_token", "1 failed attempt"),
        ("unknown", "1 attempt with an unknown result"),
        ("worker_died", "1 attempt with an unknown result"),
    ],
)
def test_a_push_that_is_still_tried_does_not_count_as_failed(outcome, so_often):
    so_far = [ring("jane"), attempt(5, IPHONE, outcome, reason="gaierror")]
    person = jane(*so_far)
    assert f"yet, after {so_often}; Bellhop is still trying: " in person.verdict
    assert (person.tone, person.standing, person.final, person.next) == (Tone.OPEN, "", False, ())
    assert "went wrong" not in explain(CID, so_far).summary
    assert jane(*so_far, finished(30, IPHONE, "gave_up")).tone is Tone.BAD
    over = jane(*so_far, settled(30, "jane", "no_answer"))
    assert over.tone is Tone.BAD
    assert "still trying" not in over.verdict


@pytest.mark.parametrize("outcome", ["token_dead", "wrong_app", "bad_request", "too_large", "an_other_word"])
def test_a_push_that_is_not_tried_again_is_over_in_mid_ring(outcome):
    assert "still trying" not in jane(ring("jane"), attempt(5, IPHONE, outcome)).verdict


def test_a_token_unknown_in_both_environments_is_given_up():
    tries = [attempt(n, IPHONE, "bad_token") for n in (1, 2)]
    assert "still trying" not in jane(ring("jane"), *tries).verdict
    assert "still trying" not in jane(ring("jane"), attempt(1, PIXEL, "bad_token")).verdict


def test_a_notice_is_still_being_tried_after_the_ring_is_over():
    lines = [ring("jane"), attempt(0.3, IPHONE, "accepted"), settled(31, "jane", "no_answer")]
    person = jane(*lines, attempt(32, PIXEL, "unavailable", kind="missed"))
    assert "Bellhop is still trying" in person.verdict


def test_two_people_who_were_called_twice_are_two_people():
    lines = [ring("jane", "ben"), attempt(0.2, IPHONE, "accepted"), ring("jane", "ben", after_s=60, session="other")]
    assert explain(CID, lines[:2]).summary == "Bellhop reached 1 of 2 people."
    assert explain(CID, lines).summary == "Called 2 times. The last time, Bellhop reached 0 of 2 people."


def test_a_user_who_answered_without_a_push_is_in_the_summary():
    again = ring("jane", "ben", after_s=60, session="other")
    lines = [ring("jane", "ben"), attempt(0.2, IPHONE, "accepted"), again, settled(61, "jane", "answered", again.round)]
    assert explain(CID, lines).summary == (
        "Called 2 times. The last time, Bellhop reached 0 of 2 people. No push was needed for jane."
    )
    lines += [settled(62, "ben", "declined", again.round)]
    assert explain(CID, lines).summary.endswith(" 0 of 2 people. No push was needed for jane and ben.")


def test_an_unneeded_e_mail_is_explained():
    lines = [ring("jane"), told(EmailMilestone, 40, round=T, user="jane", outcome="push_accepted")]
    said = explain(CID, lines).rounds[0].timeline[-1].sentence
    assert said == "No missed-call e-mail for jane: they got a missed-call notice on the phone."


def test_a_call_that_began_is_explained_beside_its_ring():
    began_us = T + 8_000_000
    rung = [ring("jane", "ben"), webhook("call.accepted", 7, "ben")]
    later = webhook("call.rejected", 9, "jane", reason="decline")
    told_off = explain("c", [*rung, webhook("call.session_started", 8), later]).rounds
    assert [round_.kind for round_ in told_off] == ["ring"], "the push is off: the event begins no round"
    began = webhook("call.session_started", 8, round=began_us, callers=["sara"])
    eva = {"user": "eva", "device": "d", "label": "Pixel", "provider": Provider.FCM}
    push = told(PushAttempted, 8.2, round=began_us, kind=PushKind.SESSION_STARTED, outcome=Outcome.ACCEPTED, **eva)
    of_ring, of_start = explain("c", [*rung, began, later, push]).rounds
    assert {person.user: person.standing for person in of_ring.people} == {"jane": "declined", "ben": "answered"}
    assert of_start.kind == PushKind.SESSION_STARTED
    assert "sara's call began; notified: eva" in of_start.headline
    assert of_start.people[0].verdict == "Pixel was notified of the call's start."
    unknown = told(StreamAsked, 8.3, round=began_us, kind="session_started", outcome="no_answer", reason="status 500")
    [_, of_start] = explain("c", [*rung, began, unknown]).rounds
    assert "who the members of the call are, and Stream did not say it (status 500)" in of_start.timeline[-1].sentence
