"""Every state of a phone has a sentence of its own, a next step, and a report that shows it."""

import re
from typing import Any

import pytest

from bellhop.clock import Micros
from bellhop.domain.device import Kind, Platform, RingsBy
from bellhop.domain.phone import PhoneHealth, PhoneRecord
from bellhop.domain.phone_diagnosis import states_of, worst
from bellhop.domain.phone_states import STATES, PhoneState, RingEffect
from tests.factories import a_device, an_iphone

BY_ALERT = an_iphone(kind=Kind.ALERT, hardware_id="phone", rings=RingsBy.ALERT)
NOW = Micros(1_796_000_000_000_000)  # 29 November 2026
TODAY_MS = NOW // 1000
NOV_12_MS = 1_794_500_000_000
DAY_MS = 86_400_000
ALSO: dict[str, dict[str, Any]] = {
    "rarely_used": {"os_version": "12"},
    "not_used_daily": {"os_version": "12.1"},
    "restricted_bucket": {"os_version": "16"},
    "silent_on_android_17": {"os_version": "17", "sdk_version": "1.5.9"},
    "answered_call_hangs_up": {"sdk_version": "1.55.3"},
}
"""What else a phone must report to be in a state."""


def a_record(state: PhoneState, since_ms: int = NOV_12_MS) -> PhoneRecord:
    """The record of a phone that is in this state."""
    choice = {name: wanted[0] if isinstance(wanted, tuple) else wanted for name, wanted in state.when.items()}
    health = PhoneHealth(**choice | ALSO.get(state.word, {}))
    demoted = 3 if state.word == "pushes_demoted" else 0
    event, reason = ("not_shown", "notifications_off") if state.word == "could_not_show" else ("", "")
    since = dict.fromkeys(health.known(), since_ms)
    return PhoneRecord(health, TODAY_MS, since, TODAY_MS, TODAY_MS, event, reason, demoted)


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.word)
def test_a_report_shows_the_state(state):
    (found,) = states_of(a_record(state), BY_ALERT if state.rings is RingsBy.ALERT else None, NOW)
    assert (found.word, found.effect, found.path) == (state.word, state.effect, state.path)
    assert found.sentence.endswith(".") and not re.search(r"[{}]|  | \.|\.\.", found.sentence)
    assert re.fullmatch(r"[A-Z].{10,}\.", found.next)
    if state.steps:
        assert found.next.startswith(f"On the phone, open {state.path}, and ") and state.steps[0] == "Settings"
    if "{since}" in state.sentence:
        assert " since 12 Nov" in found.sentence
        assert found.since_ms == NOV_12_MS


def test_there_are_many_states_and_no_two_say_the_same():
    assert len(STATES) >= 25
    for texts in ([state.word for state in STATES], [state.sentence for state in STATES]):
        assert len(set(texts)) == len(texts)


@pytest.mark.parametrize("name", sorted(PhoneHealth.model_fields.keys() - {"manufacturer", "model", "app_version"}))
def test_every_field_of_a_report_is_used(name):
    needed = {field for state in STATES for field in (*state.when, *ALSO.get(state.word, ()))}
    assert name in needed


def test_a_phone_without_faults_is_in_no_state():
    good = PhoneHealth(
        os="android",
        os_version="16",
        signed_in=True,
        notifications="allowed",
        channel_importance="high",
        channel_sound=True,
        full_screen_intent=True,
        battery_optimised=False,
        background_restricted=False,
        standby_bucket="active",
        data_saver=False,
        power_save=False,
        paused_if_unused=False,
        play_services="ok",
        fcm_priority="high",
        do_not_disturb="off",
        ringer="normal",
        ring_volume=70,
        telecom_error=False,
    )
    assert states_of(PhoneRecord(good, TODAY_MS, event="rang"), a_device(), NOW) == []
    assert states_of(PhoneRecord(), an_iphone(), NOW) == []


@pytest.mark.parametrize(
    ("device", "word"),
    [
        (a_device(), "notifications_denied"),
        (an_iphone(), "no_notices"),
        (a_device(platform=Platform.IOS), "no_notices"),
        (BY_ALERT, "alerts_denied"),
    ],
)
def test_the_device_tells_the_system_if_the_phone_does_not(device, word):
    record = PhoneRecord(PhoneHealth(notifications="denied"), TODAY_MS)
    assert [state.word for state in states_of(record, device, NOW)] == [word]


@pytest.mark.parametrize("state", [state for state in STATES if state.passes], ids=lambda state: state.word)
def test_what_passes_is_only_a_note_after_an_hour(state):
    old = a_record(state)._replace(health_at_ms=TODAY_MS - DAY_MS)
    (found,) = states_of(old, None, NOW)
    assert (found.word, found.effect) == (state.word, RingEffect.NOTE)


def test_the_day_has_its_year_if_it_is_another():
    full_screen = next(state for state in STATES if state.word == "full_screen_off")
    sentences = [
        states_of(a_record(full_screen, at_ms), None, NOW)[0].sentence
        for at_ms in (NOV_12_MS, NOV_12_MS - 365 * DAY_MS, 0)
    ]
    assert [re.findall(r" since [\w ]+", sentence) for sentence in sentences] == [
        [" since 12 Nov"],
        [" since 12 Nov 2025"],
        [],
    ]


@pytest.mark.parametrize(
    ("version", "found"),
    [("1.5.9", True), ("1.6.0", False), ("1.10.0", False), ("1.6.0-beta", False), ("", False), ("new", False)],
)
def test_versions_are_compared_as_numbers(version, found):
    health = PhoneHealth(os="android", os_version="17", sdk="flutter", sdk_version=version)
    words = [state.word for state in states_of(PhoneRecord(health), None, NOW)]
    assert words == (["silent_on_android_17"] if found else [])


def test_the_worst_state_comes_first():
    health = PhoneHealth(os="android", battery_optimised=True, full_screen_intent=False, play_services="missing")
    found = states_of(PhoneRecord(health), None, NOW)
    assert [state.effect for state in found] == [RingEffect.SILENT, RingEffect.UNSURE, RingEffect.NOTE]
    assert worst(state.effect for state in found) is RingEffect.SILENT
    assert worst([]) is RingEffect.NOTE


def test_the_reason_of_the_phone_is_a_sentence():
    record = PhoneRecord(event="not_shown", reason="notifications_off")
    assert states_of(record, None, NOW)[0].sentence.endswith(": the app may not show notifications.")
    assert states_of(record._replace(reason="already_over"), None, NOW) == []
    assert "it: new word." in states_of(record._replace(reason="new_word"), None, NOW)[0].sentence
