"""A round as a picture: the rows, their marks and their places."""

import itertools

import pytest

from bellhop.domain import round_of_test
from bellhop.domain.outcomes import Tone
from bellhop.explain.explanation import explain
from bellhop.trail import EmailMilestone, JobPickedUp, PhoneRang, PhoneReported, PushSkipped
from tests import trails
from tests.trails import START as T
from tests.trails import ring, told, webhook
from webhook.console import time_format
from webhook.console.picture import MAX_ROWS, picture

IPHONE = {"user": "jane", "device": "ab" * 10, "label": "Jane's iPhone", "provider": "apns"}


def attempt(after_s, outcome, ms=10, kind="ring", **device):
    return trails.attempt(after_s, device or IPHONE, outcome, kind, ms=ms)


def drawn(*lines):
    return picture(explain("default:1", lines).rounds[0])


def rows(found):
    return {row.full_name: row for row in found.rows}


PICKED_UP = told(JobPickedUp, 0.02, round=T, job="ring")


def test_a_ring_has_rows_for_webhooks_queue_and_each_phone():
    found = drawn(ring("jane"), PICKED_UP, attempt(0.1, "accepted"))
    says = {name: row.result for name, row in rows(found).items()}
    assert says == {"Stream": "1 webhook, from +10 ms", "Queue": "waited 10 ms", "Jane's iPhone": "accepted +100 ms"}
    assert "Jane's iPhone: accepted +100 ms" in found.description


def test_an_attempts_bar_has_its_length_and_ends_at_its_answer():
    (mark,) = rows(drawn(ring("jane"), PICKED_UP, attempt(1.0, "accepted", ms=900)))["Jane's iPhone"].marks
    (short,) = rows(drawn(ring("jane"), PICKED_UP, attempt(1.0, "accepted", ms=10)))["Jane's iPhone"].marks
    assert mark.x == short.x
    assert mark.length > 10 * short.length > 0
    assert mark.title.startswith("+1.0 s: Apple accepted the ring")


def test_attempts_that_failed_come_before_the_one_that_did_not():
    row = rows(drawn(ring("jane"), PICKED_UP, attempt(0.1, "unavailable"), attempt(0.5, "accepted")))["Jane's iPhone"]
    assert [mark.tone for mark in row.marks] == [Tone.BAD, Tone.GOOD]
    assert row.marks[0].x < row.marks[1].x
    assert row.tone is Tone.GOOD


def test_the_way_of_a_late_webhook_is_drawn():
    (mark,) = rows(drawn(ring("jane", late_s=7)))["Stream"].marks
    assert mark.length > 50


def test_a_round_without_webhooks_on_the_trail_is_explained():
    assert rows(drawn(PICKED_UP, attempt(0.1, "accepted")))["Stream"].result == "nothing"


def test_a_ring_that_no_worker_takes_up_waits():
    assert rows(drawn(ring("jane")))["Queue"].result == "waits for a worker"


def test_a_person_without_a_phone_has_a_row():
    skipped = told(PushSkipped, 0.03, round=T, kind="ring", user="jane", outcome="no_devices")
    assert rows(drawn(ring("jane"), PICKED_UP, skipped))["jane"].result == "no devices"


def test_a_user_without_a_phone_for_notices_has_a_row_for_that():
    skipped = told(PushSkipped, 31, round=T, kind="missed", user="jane", outcome="no_devices")
    found = drawn(ring("jane"), PICKED_UP, attempt(0.1, "token_dead"), skipped)
    assert rows(found)["jane, notice"].result == "no devices"


def test_a_phone_that_says_it_rang_did_so_then():
    rang = told(PhoneRang, 0.4, round=T, user="jane", device=IPHONE["device"])
    row = rows(drawn(ring("jane"), PICKED_UP, attempt(0.1, "accepted"), rang))["Jane's iPhone"]
    assert row.result == "rang +400 ms"
    assert len(row.marks) == 2


def test_a_decline_on_a_phone_is_a_line_at_its_own_time():
    report = told(PhoneReported, 2, round=T, user="jane", device=IPHONE["device"], outcome="declined", stamp=T + 1)
    at_stream = webhook("call.rejected", 3, "jane", reason="decline")
    found = drawn(ring("jane", "ben"), PICKED_UP, attempt(0.1, "accepted"), report, at_stream)
    assert [line.label for line in found.lines] == ["jane declined +2.0 s", "ringing ends +30.0 s"]
    assert [mark.title for mark in rows(found)["Jane's iPhone"].marks][1:] == [
        "+2.0 s: Jane's iPhone reports that jane declined on the phone."
    ]


def test_the_two_tokens_of_an_iphone_have_rows_of_two_names():
    other = IPHONE | {"device": "cd" * 10}
    found = drawn(ring("jane"), PICKED_UP, attempt(0.1, "accepted"), attempt(31, "accepted", kind="missed", **other))
    assert {"Jane's iPhone", "Jane's iPhone, notice"} <= set(rows(found))


def test_a_second_ring_has_a_row_of_its_own():
    other = IPHONE | {"device": "cd" * 10}
    found = drawn(
        ring("jane"), PICKED_UP, attempt(0.1, "accepted"), attempt(5, "accepted", kind="second_ring", **other)
    )
    says = {name: row.result for name, row in rows(found).items()}
    assert (says["Jane's iPhone"], says["Jane's iPhone, again"]) == ("accepted +100 ms", "accepted +5.0 s")


def test_a_test_ring_shows_its_phones_and_no_webhook():
    began = webhook(round_of_test.EVENT, 0, "jane", round=T, callers=["bellhop"], until=T + 30_000_000)
    says = {name: row.result for name, row in rows(drawn(began, PICKED_UP, attempt(0.1, "accepted"))).items()}
    assert says == {"Stream": "nothing", "Queue": "waited 20 ms", "Jane's iPhone": "accepted +100 ms"}


def test_the_end_of_a_ring_in_a_browser_is_called_so():
    found = drawn(ring("jane"), PICKED_UP, attempt(0.1, "accepted"), attempt(5, "worker_died", kind="ring_over"))
    assert rows(found)["Jane's iPhone, end of the ring"].result == "worker died"


def test_a_phones_ring_and_its_notice_have_separate_rows():
    mail = told(EmailMilestone, 40, round=T, user="jane", outcome="mail_accepted")
    found = drawn(ring("jane"), PICKED_UP, attempt(0.1, "accepted"), attempt(31, "throttled", kind="missed"), mail)
    says = {name: (row.result, len(row.marks)) for name, row in rows(found).items()}
    assert says["Jane's iPhone"] == ("accepted +100 ms", 1)
    assert says["Jane's iPhone, notice"] == ("throttled", 1)
    assert says["jane, e-mail"] == ("mail accepted", 1)


@pytest.mark.parametrize(
    ("line", "label", "kind"),
    [
        (webhook("call.accepted", 2, "jane"), "jane answered +2.0 s", "answer"),
        (webhook("call.session_participant_joined", 2, "jane"), "jane joined +2.0 s", "answer"),
        (webhook("call.rejected", 2, "jane", reason="decline"), "jane declined +2.0 s", "end"),
        (webhook("call.rejected", 2, "sara", reason="cancel"), "sara cancelled +2.0 s", "end"),
        (webhook("call.ended", 2), "call ended +2.0 s", "end"),
    ],
)
def test_what_ends_the_ringing_is_a_line_through_all_rows(line, label, kind):
    first, last = drawn(ring("jane", "ben"), PICKED_UP, line).lines
    assert (first.label, first.kind) == (label, kind)
    assert (last.label, last.kind) == ("ringing ends +30.0 s", "deadline")
    assert first.x < last.x
    assert first.y < last.y


def test_everything_stays_inside_the_picture():
    lines = [ring("jane"), PICKED_UP, attempt(-3, "accepted", ms=99), attempt(5000, "gone_for_good", ms=1e9)]
    found = drawn(*lines, webhook("call.ended", 90_000))
    places = [mark.x for row in found.rows for mark in row.marks] + [line.x for line in found.lines]
    places += [mark.x - mark.length for row in found.rows for mark in row.marks] + [x for x, _ in found.ticks]
    assert all(0 < place < 100 for place in places)
    assert max(row.y for row in found.rows) < found.height
    assert ("1 h" in [text for _, text in found.ticks]) is True


def test_ticks_grow_to_the_right_and_keep_apart():
    for until in (5, 30, 180, 4000, 200_000):
        xs = [x for x, _ in drawn(ring("jane"), PICKED_UP, webhook("call.ended", until)).ticks]
        assert all(after - before > 8 for before, after in itertools.pairwise(xs))


def test_a_call_of_a_thousand_is_drawn_in_part():
    users = [f"user-{number}" for number in range(1000)]
    skips = [told(PushSkipped, 0.1, round=T, kind="ring", user=user, outcome="no_devices") for user in users]
    found = drawn(ring(*users), PICKED_UP, *skips)
    assert len(found.rows) == MAX_ROWS
    assert found.left_out == 1002 - MAX_ROWS


def test_of_thousands_of_webhooks_only_visible_marks_are_drawn():
    answers = [webhook("call.accepted", 2 + number / 1000, f"user-{number}") for number in range(3000)]
    row = rows(drawn(ring("jane"), PICKED_UP, *answers))["Stream"]
    assert row.result.startswith("3001 webhooks")
    assert 2 < len(row.marks) < 200
    assert row.marks[0].x < row.marks[-1].x


def test_what_has_no_beginning_is_not_drawn():
    assert drawn(webhook("call.ended", 3)) is None


NOW = 1_784_887_200_000_000


@pytest.mark.parametrize(
    ("ago_s", "text"),
    [
        (-5, "just now"),
        (0.5, "just now"),
        (1, "1 second ago"),
        (59, "59 seconds ago"),
        (60, "1 minute ago"),
        (3599, "59 minutes ago"),
        (7200, "2 hours ago"),
        (86400, "1 day ago"),
        (864000, "10 days ago"),
    ],
)
def test_how_long_ago_is_told_in_one_unit(ago_s, text):
    assert time_format.ago(NOW - round(ago_s * 1e6), NOW) == text


def test_today_needs_no_date():
    assert time_format.clock(NOW, NOW + 1) == "10:00:00 UTC"
    assert time_format.clock(NOW, NOW + 86_400_000_000) == "2026-07-24 10:00:00 UTC"
    assert time_format.iso(NOW + 123_456) == "2026-07-24T10:00:00.123Z"


@pytest.mark.parametrize("at", [-1, 0, 2**63, 10**30])
def test_no_moment_is_too_strange_to_show(at):
    assert time_format.iso(at) and time_format.clock(at, NOW) and time_format.ago(at, NOW)


@pytest.mark.parametrize(
    ("us", "text"),
    [
        (None, ""),
        (0, "+0 ms"),
        (999000, "+999 ms"),
        (1500000, "+1.5 s"),
        (-20000, "-20 ms"),
        (90000000, "+1 min 30 s"),
        (3660000000, "+1 h 01 min"),
    ],
)
def test_a_moment_of_a_call_is_counted_from_its_beginning(us, text):
    assert time_format.after(us) == text
