"""The payloads of pushes: what Stream's SDKs read is byte for byte what they expect."""

import json
import uuid
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import to_json

from bellhop.domain import payloads
from bellhop.domain.device import Provider
from bellhop.domain.push import PushKind
from bellhop.domain.round import Recipient
from bellhop.i18n.texts import BUILT_IN
from tests.factories import a_round

NOW_MS, EXPIRES_MS = 1_800_000_000_000, 1_800_000_030_000
SARA_CALLS = a_round(
    cid="default:6f0b1c52-7a53-4a3e-9c59-0d1f6e0b9d11",
    caller_id="sara-lind",
    caller_name="Sara Lind",
    call_name="Design review",
    video=True,
)
SAMPLES = {
    "apns_voip.call.ring": (Provider.APNS, PushKind.RING),
    "apns_alert.call.missed": (Provider.APNS, PushKind.MISSED),
    "apns_alert.call.notification": (Provider.APNS, PushKind.NOTIFICATION),
    "fcm_data.call.ring": (Provider.FCM, PushKind.RING),
    "fcm_data.call.missed": (Provider.FCM, PushKind.MISSED),
    "fcm_data.call.notification": (Provider.FCM, PushKind.NOTIFICATION),
}


def build(provider, kind, round_=SARA_CALLS, user="ben-osei"):
    return payloads.payload(provider, kind, round_, Recipient(id=user), NOW_MS, EXPIRES_MS)


@pytest.mark.parametrize("name", SAMPLES)
def test_a_push_is_what_streams_own_looks_like(samples, name):
    provider, kind = SAMPLES[name]
    sample = json.loads((samples / "push" / f"{name}.json").read_bytes())
    expected, user = (sample["data"], sample["data"]) if provider is Provider.FCM else (sample, sample["stream"])
    built = build(provider, kind, user=user["receiver_id"])
    ours = {"call_uuid", "sent_at", "expires_at", "id", "bellhop"}
    if provider is Provider.FCM and kind is not PushKind.RING:  # Stream leaves the texts to the app
        alert = json.loads((samples / "push" / f"apns_alert.call.{kind}.json").read_bytes())["aps"]["alert"]
        expected |= alert
    assert {key: value for key, value in built.items() if key not in ours} == expected


BEFORE = json.loads((Path(__file__).parent / "payloads_of_version_0_1.json").read_text())
"""Payloads as Bellhop made them before a team could have pushes of its own."""


@pytest.mark.parametrize(("provider", "kind"), SAMPLES.values())
def test_without_a_setting_a_push_is_what_it_was(provider, kind):
    round_ = SARA_CALLS.model_copy(update={"cid": "default:6f0b", "caller_name": 'Sära "Lind"', "call_name": "x" * 255})
    round_ = round_.model_copy(update={"started_at": NOW_MS * 1000})
    receipt = "r" if kind is PushKind.RING else ""
    built = payloads.payload(provider, kind, round_, Recipient(id="ben-osei"), NOW_MS, EXPIRES_MS, receipt=receipt)
    if provider is Provider.FCM and kind is not PushKind.RING:
        built = {key: value for key, value in built.items() if key not in ("title", "body")}
    assert to_json(built).decode() == BEFORE[f"{provider} {kind}"]


@pytest.mark.parametrize("kind", [PushKind.MISSED, PushKind.NOTIFICATION])
def test_a_notice_for_android_is_in_the_receivers_language(kind):
    german = payloads.payload(
        Provider.FCM, kind, SARA_CALLS, Recipient(id="ben"), NOW_MS, EXPIRES_MS, BUILT_IN.wording("de")
    )
    english = build(Provider.FCM, kind)
    assert (german["title"], german["body"]) == payloads.words(kind, SARA_CALLS, BUILT_IN.wording("de"))
    assert german["body"] != english["body"]


@pytest.mark.parametrize("kind", PushKind)
def test_googles_message_to_an_iphone_has_what_ios_shows(kind):
    facts = payloads.PushFacts(kind, SARA_CALLS, Recipient(id="ben"), NOW_MS, EXPIRES_MS, iphone_at_google=True)
    built = payloads.build_payload(Provider.FCM, facts)
    assert built.payload == build(Provider.FCM, kind, user="ben")
    assert built.aps == (None if kind is PushKind.RING else build(Provider.APNS, kind, user="ben")["aps"])


@pytest.mark.parametrize(("provider", "kind"), SAMPLES.values())
def test_every_value_the_sdks_read_is_a_string(provider, kind):
    built = build(provider, kind)
    stream = built if provider is Provider.FCM else built["stream"]
    assert all(isinstance(value, str) for value in stream.values())


@pytest.mark.parametrize("provider", Provider)
@pytest.mark.parametrize("video", [True, False])
def test_only_a_ring_says_whether_it_is_video(provider, video):
    round_ = SARA_CALLS.model_copy(update={"video": video})
    built = {kind: build(provider, kind, round_) for kind in PushKind}
    streams = {kind: one["stream"] if provider is Provider.APNS else one for kind, one in built.items()}
    assert streams[PushKind.RING]["video"] == ("true" if video else "false")
    assert "video" not in streams[PushKind.MISSED] | streams[PushKind.NOTIFICATION]


def test_an_app_can_tell_the_call_and_how_old_the_push_is():
    extra = build(Provider.APNS, PushKind.RING)["bellhop"]
    assert extra == {"call_uuid": str(uuid.UUID(extra["call_uuid"])), "sent_at": NOW_MS, "expires_at": EXPIRES_MS}
    data = build(Provider.FCM, PushKind.RING)
    assert (data["call_uuid"], data["sent_at"], data["expires_at"]) == (
        extra["call_uuid"],
        str(NOW_MS),
        str(EXPIRES_MS),
    )


@pytest.mark.parametrize("kind", [PushKind.MISSED, PushKind.NOTIFICATION])
def test_a_notice_for_android_has_one_id_a_round_and_user(kind):
    another_ring = SARA_CALLS.model_copy(update={"started_at": 9})
    ids = [build(Provider.FCM, kind)["id"] for _ in range(2)]
    others = [build(Provider.FCM, kind, another_ring)["id"], build(Provider.FCM, kind, user="jane")["id"]]
    assert (len(set(ids)), len({*ids, *others})) == (1, 3)
    assert "id" not in build(Provider.FCM, PushKind.RING)


def test_the_call_has_one_uuid_a_session():
    again = SARA_CALLS.model_copy(update={"started_at": 9})
    other = SARA_CALLS.model_copy(update={"session_id": "s-2"})
    assert payloads.call_uuid(again) == payloads.call_uuid(SARA_CALLS) != payloads.call_uuid(other)


names = st.text(st.characters(exclude_categories=["Cs"]), max_size=255)


@given(
    place=st.sampled_from([*SAMPLES.values(), *((Provider.WEB_PUSH, kind) for kind in PushKind)]),
    caller=names | st.just("\U0001f4de" * 255),
    call=names | st.just('"\\' * 127) | st.just("\x00" * 255),
    ids=st.text("aé\U0001f4de", min_size=255, max_size=255),
)
def test_a_push_fits_the_providers_limit_with_any_names(place, caller, call, ids):
    provider, kind = place
    iphone = provider is Provider.FCM and len(caller) % 2 == 0
    long = {"caller_name": caller, "call_name": call, "cid": f"default:{'x' * 247}", "caller_id": ids[:64]}
    round_ = SARA_CALLS.model_copy(update=long)
    facts = payloads.PushFacts(kind, round_, Recipient(id="u" * 255), NOW_MS, EXPIRES_MS, iphone_at_google=iphone)
    built, aps, _ = payloads.build_payload(provider, facts)
    assert iphone or built == build(provider, kind, round_, user="u" * 255)
    limit = 5_120 if (provider, kind) == (Provider.APNS, PushKind.RING) else 4_096
    limit = 3_993 if provider is Provider.WEB_PUSH else limit
    if provider is Provider.FCM:
        size = sum(len(key.encode()) + len(value.encode()) for key, value in built.items())
        size += len(json.dumps(aps, separators=(",", ":"), ensure_ascii=False).encode()) if aps else 0
    else:
        size = len(json.dumps(built, separators=(",", ":"), ensure_ascii=False).encode())
    assert size <= limit
    stream = built["stream"] if provider is Provider.APNS else built
    assert (stream["call_cid"], stream["receiver_id"], stream["created_by_id"]) == (long["cid"], "u" * 255, ids[:64])


def test_a_text_is_cut_between_characters_with_an_ellipsis():
    long = SARA_CALLS.model_copy(update={"caller_name": "\U0001f4de" * 255, "call_name": "\x00" * 255})
    name = build(Provider.APNS, PushKind.MISSED, long)["stream"]["created_by_display_name"]
    assert name.endswith("…")
    assert set(name[:-1]) == {"\U0001f4de"}
