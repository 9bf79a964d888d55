"""docs/client-contract.md shows apps exactly what is sent."""

import json
import re
from pathlib import Path

from worker.contract import Recipient, Round
from worker.domain.device import Provider
from worker.domain.payloads import payload
from worker.domain.push import PushKind

PAGE = (Path(__file__).parents[2] / "docs" / "client-contract.md").read_text()
ROUND = Round(
    tenant="default",
    cid="default:8f3a",
    session_id="s",
    started_at=1,
    deadline=2,
    caller_id="sara",
    caller_name="Sara",
    video=True,
)


def sent(provider, kind):
    now, expires = 1_800_000_000_123, 1_800_000_030_000
    return payload(provider, kind, ROUND, Recipient(id="jane"), now, expires, receipt="…")


def test_the_ring_on_the_page_is_the_ring_that_is_sent():
    (shown,) = (json.loads(text) for text in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL))
    ring = sent(Provider.APNS, PushKind.RING)
    uuid = ring["bellhop"]["call_uuid"]
    assert shown | {"bellhop": shown["bellhop"] | {"call_uuid": uuid}} == ring


def test_android_has_the_keys_of_both_parts_side_by_side_and_nothing_else():
    ring = sent(Provider.APNS, PushKind.RING)
    assert sent(Provider.FCM, PushKind.RING).keys() == ring["stream"].keys() | ring["bellhop"].keys()


def test_every_key_that_the_page_explains_is_sent():
    explained = {
        name for row in re.findall(r"^\| (`\w+`.*?) \|", PAGE, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)
    }
    assert explained <= sent(Provider.FCM, PushKind.RING).keys()
    assert {"call_cid", "call_uuid", "expires_at", "receipt"} <= explained
