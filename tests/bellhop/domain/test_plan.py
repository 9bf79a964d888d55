"""The plan: which devices get a push, and why the others get none."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from bellhop.domain.device import Device, Kind, Platform, Provider, RingsBy
from bellhop.domain.outcomes import Outcome
from bellhop.domain.own_pushes import PushScope, PushTemplate, PushTemplates
from bellhop.domain.plan import Skip, plan
from bellhop.domain.push import PushKind
from bellhop.domain.text_template import TextTemplate
from bellhop.domain.user import Preferences, User
from tests.factories import a_browser, a_device, a_round

S = 1_000_000
NOW = 1_800_000_000 * S
ROUND = a_round("ben", "jane", started_at=NOW, for_s=30)


def device(provider: Provider, kind: Kind, number: int = 1, **more) -> Device:
    return a_device(provider=provider, kind=kind, token=f"{number:064x}", **more)


VOIP, ALERT = device(Provider.APNS, Kind.VOIP), device(Provider.APNS, Kind.ALERT, 2)
TO_PHONES = [kind for kind in PushKind if kind not in {PushKind.RING_OVER, PushKind.ALERT_RING}]
FCM, FLUTTER = device(Provider.FCM, Kind.ALERT, 3), device(Provider.FCM, Kind.VOIP, 4)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (PushKind.RING, {VOIP, FCM, FLUTTER}),
        (PushKind.NOTIFICATION, {ALERT, FCM, FLUTTER}),
        (PushKind.MISSED, {ALERT, FCM, FLUTTER}),
    ],
)
def test_a_voip_token_gets_only_rings_android_gets_all(kind, expected):
    planned = plan(kind, ROUND, {"ben": [VOIP, ALERT, FCM, FLUTTER]}, NOW)
    assert {push.device for push in planned.pushes} == expected
    assert {push.kind for push in planned.pushes} == {kind}
    assert planned.skips == [Skip("jane", Outcome.NO_DEVICES, facts="0 devices")]


def test_a_disabled_phone_gets_no_push_but_the_end_of_a_ring():
    iphone = device(Provider.APNS, Kind.VOIP, 5, hardware_id="phone-1")
    browser = a_browser("ben")
    user = User(disabled_phones={"phone-1": NOW - S, FCM.key: NOW, browser.key: NOW})
    devices = {"ben": [iphone, ALERT, FCM, FLUTTER, browser], "jane": [FLUTTER]}
    for kind in TO_PHONES:
        planned = plan(kind, ROUND, devices, NOW, {"ben": user})
        assert not {push.device for push in planned.pushes} & {iphone, FCM, browser}
        skips = {(skip.device, skip.facts) for skip in planned.skips if skip.reason is Outcome.DISABLED}
        assert {(FCM, "2027-01-15T08:00:00+00:00"), (browser, "2027-01-15T08:00:00+00:00")} <= skips
        assert (iphone in {skip_device for skip_device, _ in skips}) == (kind is PushKind.RING)
    assert browser in {push.device for push in plan(PushKind.RING_OVER, ROUND, devices, NOW, {"ben": user}).pushes}


def test_a_user_with_only_devices_of_the_wrong_kind_is_skipped():
    planned = plan(PushKind.MISSED, ROUND, {"ben": [VOIP]}, NOW)
    assert planned.pushes == []
    assert planned.skips == [
        Skip("ben", Outcome.NO_DEVICES, facts="1 device"),
        Skip("jane", Outcome.NO_DEVICES, facts="0 devices"),
    ]


def test_a_phone_gets_one_push_to_its_newest_token_apns_first():
    old = device(Provider.APNS, Kind.VOIP, 5, hardware_id="phone-1", registered_at=1)
    new = device(Provider.APNS, Kind.VOIP, 6, hardware_id="phone-1", registered_at=2)
    google = device(Provider.FCM, Kind.ALERT, 7, hardware_id="phone-1", registered_at=3)
    other = device(Provider.APNS, Kind.VOIP, 8, hardware_id="phone-2")
    planned = plan(PushKind.RING, ROUND, {"ben": [google, new, other, old]}, NOW)
    assert {push.device for push in planned.pushes} == {new, other}
    assert {skip.device for skip in planned.skips if skip.reason is Outcome.SAME_PHONE} == {old, google}


def test_phones_whose_ids_are_hidden_are_several_phones():
    phones = [device(Provider.APNS, Kind.VOIP, n, hardware_id="00000000-0000-0000-0000-000000000000") for n in (5, 6)]
    assert {push.device for push in plan(PushKind.RING, ROUND, {"ben": phones}, NOW).pushes} == {*phones}


def test_an_iphone_at_google_shows_a_missed_call_at_once():
    iphone = device(Provider.FCM, Kind.ALERT, 7, platform=Platform.IOS)
    planned = plan(PushKind.MISSED, ROUND, {"ben": [iphone, FCM]}, NOW, still_rings=True)
    assert [(push.device, bool(push.aps)) for push in planned.pushes] == [(iphone, True)]
    assert [skip.device for skip in planned.skips if skip.reason is Outcome.STILL_RINGS] == [FCM]
    assert iphone.label == f"iPhone {iphone.key[:6]}"


def test_googles_messages_are_urgent_but_for_quiet_pushes():
    devices = {"ben": [VOIP, ALERT, FCM]}
    pushes = [push for kind in PushKind for push in plan(kind, ROUND, devices, NOW).pushes]
    quiet = {(push.device.provider, push.kind) for push in pushes if not push.options.urgent}
    assert quiet == {
        (Provider.FCM, kind) for kind in (PushKind.NOTIFICATION, PushKind.LIVE_STARTED, PushKind.SESSION_STARTED)
    }


def test_a_push_keeps_everything_when_its_deadline_is_known():
    (push,) = plan(PushKind.NOTIFICATION, ROUND, {"ben": [FCM]}, NOW, queued_at=5).pushes
    assert replace(push, instead=push).ending(7.0) == replace(push, instead=push, ends_s=7.0)
    assert push.ending(7.0).ends_s == 7.0


def test_pushes_but_a_missed_notice_end_with_their_round():
    deadlines = {kind: plan(kind, ROUND, {"ben": [FCM]}, NOW + 5 * S).pushes[0].deadline for kind in TO_PHONES}
    assert deadlines == {
        PushKind.RING: NOW + 30 * S,
        **dict.fromkeys((PushKind.NOTIFICATION, PushKind.LIVE_STARTED, PushKind.SESSION_STARTED), NOW + 30 * S),
        PushKind.SECOND_RING: NOW + 30 * S,
        PushKind.MISSED: NOW + (5 + 24 * 3600) * S,
    }


def test_a_push_planned_again_has_its_id_and_no_other_push_has():
    devices = {"ben": [FCM, FLUTTER], "jane": [device(Provider.FCM, Kind.ALERT, 9, user="jane")]}
    again = ROUND.model_copy(update={"started_at": ROUND.started_at + 1})
    ids = [
        push.id for kind in PushKind for round_ in (ROUND, again) for push in plan(kind, round_, devices, NOW).pushes
    ]
    assert len(set(ids)) == len(ids) == 36
    assert [push.id for push in plan(PushKind.RING, ROUND, devices, NOW + 9 * S).pushes] == ids[:3]


@pytest.mark.parametrize("cid", ["default:call-1", "default:" + "x" * 90, "default:" + "\U0001f4de" * 20])
def test_a_later_notice_of_a_call_replaces_the_earlier_one(cid):
    round_ = ROUND.model_copy(update={"cid": cid})
    ids = {kind: plan(kind, round_, {"ben": [ALERT, VOIP]}, NOW).pushes[0].collapse_id for kind in TO_PHONES}
    assert ids[PushKind.RING] is None
    assert ids[PushKind.SECOND_RING] == ids[PushKind.MISSED] != ids[PushKind.NOTIFICATION]
    assert all(0 < len((ids[kind] or "").encode()) <= 64 for kind in (PushKind.MISSED, PushKind.NOTIFICATION))


@pytest.mark.parametrize("kind", [PushKind.MISSED, PushKind.NOTIFICATION])
def test_a_call_id_unfit_for_a_header_stays_out_of_it(kind):
    round_ = ROUND.model_copy(update={"cid": "default:a\r\nb"})
    (push,) = plan(kind, round_, {"ben": [ALERT]}, NOW).pushes
    assert (push.collapse_id or "").isprintable()


@pytest.mark.parametrize("kind", TO_PHONES)
def test_a_user_who_muted_calls_gets_no_push_but_others_do(kind):
    until = datetime.fromtimestamp(NOW / S + 1, UTC)
    devices = {
        user: [device(Provider.FCM, Kind.ALERT, number, user=user)] for number, user in enumerate(("ben", "jane"))
    }
    planned = plan(kind, ROUND, devices, NOW, {"ben": User(preferences=Preferences(mute_until=until))})
    assert [push.device.user_id for push in planned.pushes] == ["jane"]
    assert planned.skips == [Skip("ben", Outcome.MUTED, facts=until.isoformat())]


@pytest.mark.parametrize(("secret", "kinds"), [(b"", set()), (b"secret", {PushKind.RING, PushKind.SECOND_RING})])
def test_only_a_ring_carries_a_receipt_and_only_with_a_secret(secret, kinds):
    devices = {"ben": [FCM, VOIP, ALERT]}
    pushes = [push for kind in PushKind for push in plan(kind, ROUND, devices, NOW, ticket_secret=secret).pushes]
    asking = [push for push in pushes if push.payload.get("receipt") or push.payload.get("bellhop", {}).get("receipt")]
    assert {push.kind for push in asking} == kinds
    assert len(asking) == 2 * len(kinds)


def test_a_phone_that_rings_by_alerts_gets_no_voip_push():
    phone = {"hardware_id": "phone"}
    voip, google = VOIP.model_copy(update=phone), FCM.model_copy(update=phone)
    alert = ALERT.model_copy(update=phone | {"rings": RingsBy.ALERT})
    devices = {"ben": [voip, google, alert, FLUTTER]}
    planned = plan(PushKind.RING, ROUND, devices, NOW, recipients=ROUND.recipients[:1])
    assert [push.device for push in planned.pushes] == [FLUTTER, alert]
    assert planned.skips == [Skip("ben", Outcome.SAME_PHONE, device) for device in (voip, google)]
    ring = planned.pushes[1]
    assert ring.instead is None
    for kind in (PushKind.MISSED, PushKind.RING_OVER):
        (push,) = plan(kind, ROUND, {"ben": [voip, alert]}, NOW).pushes
        assert (push.device, push.collapse_id) == (alert, ring.collapse_id)
        assert push.deadline > ROUND.deadline
    waiting = plan(PushKind.MISSED, ROUND, devices, NOW, still_rings=True, recipients=ROUND.recipients[:1])
    assert Skip("ben", Outcome.STILL_RINGS, alert) in waiting.skips, "the notice would take the ring away"


@pytest.mark.parametrize(
    ("own", "sound"),
    [
        ({}, "default"),
        ({PushKind.RING: {"ringtone": "ring.caf"}}, "ring.caf"),
        ({PushKind.RING: {"ringtone": "long.caf"}, PushKind.ALERT_RING: {"sound": "short.caf"}}, "short.caf"),
    ],
)
def test_an_alert_that_rings_has_the_teams_ringtone(own, sound):
    tables = {
        PushScope(kind, Provider.APNS): PushTemplate(
            {name: {"": TextTemplate(text, [])} for name, text in fields.items()}
        )
        for kind, fields in own.items()
    }
    alert = ALERT.model_copy(update={"hardware_id": "phone", "rings": RingsBy.ALERT})
    (push,) = plan(PushKind.RING, ROUND, {"ben": [alert]}, NOW, templates=PushTemplates(tables)).pushes
    assert push.payload["aps"]["sound"] == sound
    assert push.payload["aps"]["interruption-level"] == "time-sensitive"
    assert push.payload["stream"]["type"] == "call.ring"
