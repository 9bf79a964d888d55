"""docs/client-contract.md shows exactly what is sent, and the code for apps reads only that."""

import json
import re
from pathlib import Path

import pytest

from bellhop.domain.device import Provider
from bellhop.domain.payloads import payload
from bellhop.domain.phone import PhoneHealth
from bellhop.domain.phone_report import NOT_SHOWN_BECAUSE
from bellhop.domain.push import RINGING, PushKind
from bellhop.domain.round import Recipient
from clients.show_in_docs import with_files
from tests.factories import a_round
from webhook.api.receipts import Receipt
from webhook.api.users import ApnsRegistration, FcmRegistration

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "client-contract.md").read_text()
CODE = (ROOT / "docs" / "client-code.md").read_text()
LANGUAGES = {"swift": "swift", "kt": "kotlin", "dart": "dart", "ts": "ts"}
"""By the ending of a file."""
ARRIVES = PAGE.partition("## Tell Bellhop the token")[0]
ROUND = a_round(cid="default:8f3a", session_id="s", video=True)
DIFFERS = ("call_uuid", "sent_at", "expires_at")
"""What is another in each push."""


def sent(provider, kind):
    now, expires = 1_800_000_000_123, 1_800_000_030_000
    receipt = "…" if kind in RINGING else ""
    return payload(provider, kind, ROUND, Recipient(id="jane"), now, expires, receipt=receipt)


EVERY = {(provider, kind): sent(provider, kind) for provider in Provider for kind in PushKind}


def keys(push):
    """What Stream's SDKs and apps read, without what is iOS's own."""
    return (push["stream"] | push["bellhop"] if "stream" in push else push).keys()


def likened(push):
    """The push with only the type of what is another in each."""
    return {
        key: likened(value) if isinstance(value, dict) else type(value) if key in DIFFERS else value
        for key, value in push.items()
    }


def test_the_pushes_on_the_page_are_those_that_are_sent():
    shown = [json.loads(text) for text in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)]
    pushes = [("apns", "ring"), ("apns", "missed"), ("fcm", "ring")]
    assert [likened(push) for push in shown] == [likened(EVERY[push]) for push in pushes]


def test_android_gets_the_keys_of_both_parts_and_no_others():
    assert EVERY["fcm", "ring"].keys() == keys(EVERY["apns", "ring"])
    assert all(isinstance(value, str) for value in EVERY["fcm", "ring"].values())


def test_the_table_has_every_key_of_every_push_and_no_other():
    means = {
        "all": set(EVERY),
        "rings": {push for push in EVERY if push[1] in RINGING},
        "no rings": {push for push in EVERY if push[1] not in RINGING},
        "no rings; browsers: all": {push for push in EVERY if push[1] not in RINGING or push[0] == "webpush"},
        "FCM and browsers, but no rings": {push for push in EVERY if push[0] != "apns" and push[1] not in RINGING},
        "rings in browsers": {("webpush", kind) for kind in RINGING},
    }
    rows = re.findall(r"^\| (`[a-z_`, ]+`) \| (.+?) \|", ARRIVES, re.MULTILINE)
    explained = {key: means[where] for row, where in rows for key in re.findall(r"`(\w+)`", row)}
    every_key = {key for push in EVERY.values() for key in keys(push)}
    assert explained == {key: {name for name, push in EVERY.items() if key in keys(push)} for key in every_key}


def test_the_page_shows_each_file_of_code_as_it_is():
    assert with_files(CODE) == CODE, "run `make docs`"
    files = {
        str(path.relative_to(ROOT)): LANGUAGES[path.suffix[1:]] for path in (ROOT / "clients" / "snippets").rglob("*.*")
    }
    assert len(files) >= 10
    shown = re.findall(r"^\[(\S+)\]\(\.\./\1\):\n\n```(\w+)$", CODE, re.MULTILINE)
    assert dict(shown) == files
    assert len(shown) == len(re.findall(r"^```\w+$", CODE, re.MULTILINE)), "a block of code without a file"


def test_the_code_uses_only_keys_and_fields_that_exist():
    code = re.sub(r"^import .*", "", "".join(code_of(language) for language in LANGUAGES.values()), flags=re.MULTILINE)
    key = r"""\b(?:(?:data|push|event\.(?:stream|bellhop))\??\.|(?:data|stream|bellhop)\??\[["'])([a-z_]+)(?![\w(])"""
    read = set(re.findall(key, code))
    assert {"type", "expires_at", "receiver_id", "call_uuid", "video"} <= read
    assert read <= {key for push in EVERY.values() for key in keys(push)}
    told = set(re.findall(r"""(?<!case )["'](\w+)["'](?::| to) """, code)) - {"Authorization"}
    assert {"provider", "token", "app", "kind", "environment", "hardware_id", "receipt"} <= told
    report = {*Receipt.model_fields, "event", "at", "reason", "health", *PhoneHealth.model_fields}
    assert told <= {*ApnsRegistration.model_fields, *FcmRegistration.model_fields, *report}
    health = set(re.findall(r"""\b(?:health|put|putOpt)[\[(]"(\w+)\"""", code)) - report
    assert not health, "a phone's health has no such field"


def test_the_code_gives_only_reasons_that_are_explained():
    code = "".join(code_of(language) for language in LANGUAGES.values())
    words = set(re.findall(r"""["']([a-z]+_[a-z_]+)["']""", code))
    given = {"notifications_off", "channel_off", "callkit_error", "do_not_disturb", "already_over", "other_user"}
    assert given | {"not_ringing_at_stream"} <= words & NOT_SHOWN_BECAUSE.keys()
    reasons = re.findall(r"""(?:reason: |"not_shown", |return )["']([a-z_]+)["']""", code)
    assert set(reasons) <= NOT_SHOWN_BECAUSE.keys()
    assert len(reasons) >= 4


def rows(heading):
    """The rows of the table below a heading, as cells; the first is the head."""
    table = re.findall(r"(?:^\|.*\n)+", PAGE.partition(f"## {heading}\n")[2], re.MULTILINE)[0]
    lines = [re.split(r"(?<!\\)\|", line)[1:-1] for line in table.splitlines()]
    return [[cell.strip() for cell in line] for line in lines if not line[0].startswith(" ---")]


def test_react_natives_versions_are_those_that_are_run():
    head, versions, *_ = rows("What Stream's SDKs do")
    pinned = json.loads((ROOT / "tests" / "sdk_contract" / "package.json").read_text())["dependencies"]
    run = [pin.rpartition("@")[2] for name, pin in pinned.items() if name.startswith("react-native-sdk")]
    assert len(run) == 2
    assert re.findall(r"\d+\.\d+\.\d+", versions[head.index("React Native")]) == sorted(run)
    assert all(re.search(r"\d+\.\d+", cell) for cell in versions[1:5])


def test_each_statement_on_the_sdks_says_how_it_was_learned():
    head, _, *statements = rows("What Stream's SDKs do")
    assert head[-1] == "known from"
    known = r"(source|React Native run|Swift: release notes)"
    assert [row[0] for row in statements if not re.fullmatch(rf"{known}(; {known})*", row[-1])] == []
    assert len(statements) >= 10


def code_of(language):
    return "".join(re.findall(rf"```{language}\n(.*?)```", CODE, re.DOTALL))


@pytest.mark.parametrize(
    ("language", "names"),
    [
        (
            "swift",
            [
                "reportNewIncomingCall",
                "call_uuid",
                "isOver(expiresAt)",
                "receiver_id",
                "storedUserId()",
                "stopRinging",
                "web-push/key",
            ],
        ),
        ("kotlin", ["onNewToken", "handleRemoteMessage", "isOver(expiresAt)", "web-push/key", "signed_out"]),
        (
            "dart",
            [
                "FirebaseMessaging.onBackgroundMessage(",
                "Firebase.initializeApp(",
                "observeCoreRingingEventsForBackground(",
                "disposeAfterResolvingRinging(",
                "TelecomPushConfiguration(",
                "StreamVideo.isInitialized()",
                "isOver(data['expires_at'])",
                "web-push/key",
                "onTokenRefresh",
            ],
        ),
        ("ts", ["firebaseDataHandler(", "pushProviderName", "onTokenRefresh", "registerVoipToken"]),
    ],
)
def test_the_code_has_what_the_sdk_cannot_do_without(language, names):
    assert [name for name in names if name not in code_of(language)] == []


def test_no_code_drops_a_ring_by_the_phones_clock_alone():
    now = r"DateTime\.now|Date\(\)\.timeInterval|currentTimeMillis|Date\.now"
    lines = [line for language in LANGUAGES.values() for line in code_of(language).splitlines() if re.search(now, line)]
    compares = [line.strip() for line in lines if re.search(r" [<>]=? ", line)]
    assert [line for line in compares if not re.search(r"return false", line)] == [], "it must ask Bellhop"


def test_react_native_has_one_background_handler():
    # Firebase keeps the last one alone: with two, rings would not end, or notices would not be shown.
    assert code_of("ts").count("setBackgroundMessageHandler(") == 1
