"""docs/client-contract.md shows exactly what is sent, and its code reads only that."""

import json
import re
from pathlib import Path

from bellhop.domain.device import Provider
from bellhop.domain.payloads import payload
from bellhop.domain.push import PushKind
from bellhop.domain.round import Recipient
from tests.factories import a_round
from webhook.api.users import ApnsRegistration, FcmRegistration

PAGE = (Path(__file__).parents[3] / "docs" / "client-contract.md").read_text()
ARRIVES = PAGE.partition("## Five rules")[0]
ROUND = a_round(cid="default:8f3a", session_id="s", video=True)
DIFFERS = ("call_uuid", "sent_at", "expires_at")
"""What is another in each push."""


def sent(provider, kind):
    now, expires = 1_800_000_000_123, 1_800_000_030_000
    receipt = "…" if kind is PushKind.RING else ""
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
        "rings": {push for push in EVERY if push[1] == "ring"},
        "APNs, but no rings": {("apns", "notification"), ("apns", "missed")},
    }
    rows = re.findall(r"^\| (`[a-z_`, ]+`) \| (.+?) \|", ARRIVES, re.MULTILINE)
    explained = {key: means[where] for row, where in rows for key in re.findall(r"`(\w+)`", row)}
    every_key = {key for push in EVERY.values() for key in keys(push)}
    assert explained == {key: {name for name, push in EVERY.items() if key in keys(push)} for key in every_key}


def test_the_code_uses_only_keys_and_fields_that_exist():
    code = "".join(re.findall(r"```(?:swift|kotlin|dart|ts)\n(.*?)```", PAGE, re.DOTALL))
    read = set(re.findall(r"""(?<!/)\b(?:data|stream|bellhop)\??(?:\.|\[["'])([a-z_]+)""", code))
    assert {"type", "expires_at", "receiver_id", "call_uuid", "video"} <= read
    assert read <= {key for push in EVERY.values() for key in keys(push)}
    told = set(re.findall(r"""["'](\w+)["'](?::| to) """, code)) - {"Authorization"}
    assert {"provider", "token", "app", "kind", "environment", "hardware_id"} <= told
    assert told <= {*ApnsRegistration.model_fields, *FcmRegistration.model_fields}
