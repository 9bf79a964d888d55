"""Can this user be rung? One answer, with every reason that is known before anybody calls."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from bellhop.clock import Micros
from bellhop.domain.device import Kind, RingsBy
from bellhop.domain.outcomes import Outcome
from bellhop.domain.phone import PhoneHealth, PhoneRecord
from bellhop.domain.user import Contact, Preferences, QuietHours, User
from bellhop.queue.names import RINGS
from bellhop.queue.worker_status import ChannelStatus, InstallationState, WorkerStatus
from bellhop.reachability import judge
from bellhop.reachability_facts import LatestPushes, ReachabilityFacts, read_reachability_facts
from bellhop.store import phones, registry
from bellhop.store.blocking_client import run_script
from bellhop.store.keys import calls_of_user_key, trail_key, user_key
from bellhop.store.steps import run_blocking
from bellhop.store.unreachable_devices import keep_unreachable
from bellhop.trail import PhoneRang, PushAttempted
from tests.factories import a_browser, a_device, an_iphone, web_settings
from tests.trails import line

NOW = Micros(1_796_000_000_000_000)
NOW_MS = NOW // 1000
DAY = 86_400_000_000
ANN = a_device("ann", registered_at=NOW - DAY, name="Ann's Pixel")
IPHONE = an_iphone("ann", registered_at=NOW - DAY, name="Ann's iPhone")
WELL = PhoneRecord(PhoneHealth(os="android", notifications="allowed"), NOW_MS)
OPERATORS_WORDS = ("worker", "credential", "Firebase", "bellhop", "BELLHOP", "docs/", "app calls")


def an_installation(*channels, workers=("w-1",)):
    statuses = {"w-1": WorkerStatus(tuple(channels))} if channels else {}
    return InstallationState({}, {RINGS: list(workers)}, statuses)


def facts(*devices, **changes):
    """What is known of ann, who has these devices; all is well but for the changes."""
    fields = {
        "user_id": "ann",
        "now": NOW,
        "devices": list(devices),
        "user": User(),
        "records": {device.key: WELL for device in devices},
        "pushes": {},
        "unreachable": None,
        "today": "",
        "installation": an_installation(ChannelStatus("fcm", "calls"), ChannelStatus("apns", "calls")),
        "apps": frozenset({("fcm", "calls"), ("apns", "calls")}),
        "has_receipts": True,
    }
    return ReachabilityFacts(**fields | changes)


def words(answer):
    return [reason.word for reason in answer.reasons]


def until(**after):
    return datetime.fromtimestamp(NOW / 1e6, UTC) + timedelta(**after)


def reporting(device, **health):
    since = dict.fromkeys(health, NOW_MS - 17 * 86_400_000)
    return {"records": {device.key: PhoneRecord(PhoneHealth(**health), NOW_MS, since)}}


VOIP_BESIDE = an_iphone("ann", hardware_id="phone")
BY_ALERT = an_iphone("ann", kind=Kind.ALERT, hardware_id="phone", rings=RingsBy.ALERT)
ONE_REASON = [
    (facts(), "no_devices", "no"),
    (facts(an_iphone("ann", kind=Kind.ALERT)), "only_for_notices", "no"),
    (facts(VOIP_BESIDE, BY_ALERT, **reporting(BY_ALERT, notifications="denied")), "alerts_denied", "no"),
    (facts(BY_ALERT, **reporting(BY_ALERT, notification_sound=False)), "alerts_without_sound", "maybe"),
    (facts(ANN, user=User(preferences=Preferences(mute_until=until(hours=1)))), "muted", "no"),
    (
        facts(
            ANN,
            user=User(
                Contact(time_zone="Europe/Amsterdam"),
                Preferences(quiet_hours=QuietHours(**{"from": "22:00", "to": "07:00"})),
            ),
        ),
        "quiet_hours",
        "no",
    ),
    (facts(ANN, user=User(deactivated=True)), "deactivated", "no"),
    (facts(ANN, installation=an_installation(ChannelStatus("fcm", "calls"), workers=())), "no_worker", "no"),
    (facts(ANN, apps=frozenset({("fcm", "other")})), "no_credentials", "no"),
    (facts(ANN, installation=an_installation(ChannelStatus("fcm", "calls", blocked=True))), "circuit_open", "maybe"),
    (
        facts(ANN, installation=an_installation(ChannelStatus("fcm", "calls", refused="InvalidProviderToken"))),
        "credentials_refused",
        "no",
    ),
    (facts(ANN, pushes={ANN.key: LatestPushes(0, 0, "token_dead", NOW)}), "token_dead", "no"),
    (facts(ANN, pushes={ANN.key: LatestPushes(0, 0, "bad_token", NOW)}), "bad_token", "no"),
    (facts(ANN, pushes={ANN.key: LatestPushes(0, 0, "wrong_app", NOW)}), "wrong_app", "no"),
    (facts(ANN, pushes={ANN.key: LatestPushes(0, 0, "no_apns_key", NOW)}), "no_apns_key", "no"),
    (facts(ANN, pushes={ANN.key: LatestPushes(2, NOW - DAY, "accepted", NOW)}), "no_receipt_ever", "yes"),
    (
        facts(
            ANN,
            pushes={ANN.key: LatestPushes(2, NOW - DAY, "accepted", NOW)},
            records={ANN.key: WELL._replace(first_receipt_ms=1, last_receipt_ms=NOW_MS - 2 * 86_400_000)},
        ),
        "no_receipt_lately",
        "maybe",
    ),
    (facts(a_device("ann", registered_at=NOW - 40 * DAY)), "registered_long_ago", "yes"),
    (facts(a_device("ann", registered_at=NOW - 300 * DAY)), "registered_long_ago", "maybe"),
    (facts(an_iphone("ann", registered_at=NOW - 300 * DAY)), "registered_long_ago", "yes"),
    (
        facts(a_browser("ann", registered_at=NOW - DAY, expires_at=NOW - 1), apps=frozenset()),
        "subscription_ended",
        "maybe",
    ),
    (facts(ANN, user=User(disabled_phones={ANN.key: NOW})), "disabled", "no"),
    (facts(ANN, unreachable=b"huawei"), "unreachable_phones", "yes"),
    (facts(ANN, records={}), "no_health", "yes"),
    (facts(ANN, **reporting(ANN, full_screen_intent=False)), "full_screen_off", "maybe"),
    (facts(ANN, **reporting(ANN, channel_importance="none")), "channel_off", "no"),
    (facts(ANN, **reporting(ANN, battery_optimised=True)), "battery_optimised", "yes"),
]


@pytest.mark.parametrize(("known", "word", "rings"), ONE_REASON)
def test_one_fault_is_one_reason(known, word, rings):
    answer = judge(known)
    assert (words(answer), answer.rings) == ([word], rings)
    (reason,) = answer.reasons
    assert reason.sentence.endswith(".") and reason.next[-1] in ".?" and "{" not in reason.sentence + reason.next
    assert reason.sentence in answer.sentence or rings == "yes"
    assert (reason.device == "") is (word in GENERAL)


GENERAL = {"no_devices", "only_for_notices", "muted", "quiet_hours", "deactivated", "no_worker", "unreachable_phones"}


@pytest.mark.parametrize(("known", "word", "rings"), ONE_REASON)
def test_users_read_no_details_of_the_service(known, word, rings):
    answer = judge(known, for_user=True)
    text = " ".join([answer.sentence, *(f"{reason.sentence} {reason.next}" for reason in answer.reasons)])
    assert not [detail for detail in OPERATORS_WORDS if detail in text]
    assert answer.rings == rings


def test_nothing_is_wrong_with_a_phone_that_rang():
    pushes = {ANN.key: LatestPushes(2, NOW - DAY, "accepted", NOW - DAY)}
    rang = {ANN.key: WELL._replace(first_receipt_ms=1, last_receipt_ms=NOW_MS)}
    answer = judge(facts(ANN, pushes=pushes, records=rang))
    assert (answer.rings, answer.reasons, answer.sentence) == ("yes", [], "ann can be rung.")


def test_the_best_phone_decides():
    silent = reporting(ANN, channel_importance="none")["records"]
    answer = judge(facts(ANN, IPHONE, records=silent | {IPHONE.key: WELL}))
    assert (words(answer), answer.rings) == (["channel_off"], "yes")
    unsure = reporting(IPHONE, focus=True)["records"]
    answer = judge(facts(ANN, IPHONE, records=silent | unsure))
    assert (words(answer), answer.rings) == (["channel_off", "focus_on"], "maybe")
    assert "A Focus was on" in answer.sentence
    assert judge(facts(ANN, IPHONE, records=silent, user=User(deactivated=True))).rings == "no"


def test_a_setting_has_its_path_and_its_day():
    (reason,) = judge(facts(ANN, **reporting(ANN, full_screen_intent=False))).reasons
    assert "off for the app since 13 Nov" in reason.sentence
    assert reason.path == "Settings › Apps › Special app access › Full screen notifications"  # noqa: RUF001
    assert (reason.phone, reason.since.date().isoformat()) == ("Ann's Pixel", "2026-11-13")


@pytest.mark.parametrize(
    "pushes", [LatestPushes(1, NOW, "accepted", NOW), LatestPushes(0, 0, "token_dead", NOW - 2 * DAY)]
)
def test_a_newer_registration_or_a_ring_of_now_counts(pushes):
    assert judge(facts(ANN, pushes={ANN.key: pushes})).rings == "yes"
    assert words(judge(facts(ANN, pushes={ANN.key: pushes}))) == []


@pytest.mark.parametrize(("caller", "found"), [("", ["muted"]), ("mum", []), ("tom", ["caller_blocked"])])
def test_a_caller_may_be_let_through_or_blocked(caller, found):
    wishes = Preferences(mute_until=until(hours=1), always_from=("mum",), never_from=("tom",))
    assert words(judge(facts(ANN, user=User(preferences=wishes)), caller=caller)) == found


def test_trouble_of_several_kinds_is_told_to_the_user_once():
    known = facts(
        ANN, apps=frozenset({("fcm", "x")}), installation=an_installation(ChannelStatus("fcm", "calls", blocked=True))
    )
    assert words(judge(known)) == ["no_credentials", "circuit_open"]
    assert words(judge(known, for_user=True)) == ["service_trouble"]


@pytest.fixture
def read(redis_url, redis_client):
    settings = web_settings(redis_url, receipt_secret="a" * 32)
    return lambda user="ann": read_reachability_facts(redis_client, settings, "default", user)


def test_the_facts_are_read_from_redis(redis_client, read):
    device = a_device("ann", registered_at=1)
    run_blocking(registry.register("default", device), redis_client)
    run_script(redis_client, phones.note_health("default", "ann", device.key, NOW, PhoneHealth(focus=True)))
    redis_client.hset(user_key("default", "ann"), "preferences", json.dumps({"mute_until": "2030-01-01T00:00:00Z"}))
    redis_client.execute_command(*keep_unreachable("default", "ann", ["huawei"]))
    redis_client.zadd(calls_of_user_key("default", "ann"), {"default:1": 1})
    push = {"round": 1, "kind": "ring", "user": "ann", "device": device.key, "provider": "fcm"}
    attempts = [(1, "unavailable"), (2, "accepted"), (3, "token_dead")]
    lines = [line(PushAttempted, at, **push | {"outcome": outcome}) for at, outcome in attempts]
    accepted = push | {"outcome": "accepted"}
    others = [line(PushAttempted, 9, **accepted | other) for other in ({"user": "ben"}, {"kind": "missed"})]
    redis_client.rpush(trail_key("default", "default:1"), *reversed(lines), *others)
    known = read()
    assert known.devices == [device]
    assert known.pushes == {device.key: LatestPushes(1, 2, Outcome.TOKEN_DEAD, 3)}
    assert known.records[device.key].health.focus is True
    answer = judge(known)
    assert answer.rings == "no"
    assert {"muted", "unreachable_phones", "token_dead", "no_worker"} <= set(words(answer))


def test_a_phone_may_report_before_the_provider_answers(redis_client, read):
    device = a_device("ann", registered_at=1)
    run_blocking(registry.register("default", device), redis_client)
    receipt = phones.note_receipt("default", "ann", device.key, 1_000_000, round_started_at=7, event="rang")
    run_script(redis_client, receipt)
    redis_client.zadd(calls_of_user_key("default", "ann"), {"default:1": 1})
    push = {"round": 7, "kind": "ring", "user": "ann", "device": device.key, "provider": "fcm", "outcome": "accepted"}
    accepted = line(PushAttempted, 2_000_000, **push)
    redis_client.rpush(trail_key("default", "default:1"), accepted)
    assert "no_receipt_lately" in words(judge(read()))
    redis_client.lpush(trail_key("default", "default:1"), line(PhoneRang, 1_000_000, round=7, device=device.key))
    assert "no_receipt_lately" not in words(judge(read()))


def test_a_user_who_is_not_known_has_no_phone(redis_client, read):
    answer = judge(read("nobody"))
    assert words(answer) == ["no_worker", "no_devices"]
    run_blocking(registry.register("default", a_device("nobody")), redis_client)
    (reason,) = [reason for reason in judge(read("Nobody")).reasons if reason.word == "no_devices"]
    assert "nobody has 1 device: the ids differ in capitals only" in reason.next
