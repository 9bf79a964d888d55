"""What `bellhop check` says about devices, and what Redis keeps of it for the console."""

from collections import Counter

import pytest

from bellhop.cli.check import devices, faults_of, webhooks
from bellhop.cli.check.webhooks import LatestWebhooks
from bellhop.clock import Micros
from bellhop.domain.device import Kind
from bellhop.store import registry
from bellhop.store.keys import calls_of_user_key
from bellhop.store.steps import run_blocking
from bellhop.telemetry.turned_away import TurnedAway
from tests.factories import an_iphone, web_settings

DEVICES = {
    "ann": [{"kind": Kind.ALERT}],
    "ben": [{"kind": Kind.ALERT, "rings": "alert", "hardware_id": "phone"}, {"token": "cd" * 32}],
    "Eva": [{"token": "ef" * 32}],
}


@pytest.fixture
def found(redis_url, redis_client):
    for number, (user, of_user) in enumerate(DEVICES.items()):
        for changes in of_user:
            device = an_iphone(user, **{"token": f"{number:02}" * 32} | changes)
            run_blocking(registry.register("default", device), redis_client)
    redis_client.zadd(calls_of_user_key("default", "eva"), {"default:1": 1})

    async def findings():
        return [finding async for finding in devices.findings(web_settings(redis_url))]

    return findings


async def test_redis_keeps_no_ids_of_users(found):
    """Otherwise a forgotten person would stay named there for a week."""
    findings = await found()
    said = " ".join(finding.sentence for finding in findings)
    assert all(user in said for user in ("ann has 1 device", "(ben)", "eva has no devices, but Eva"))
    sentences = [sentence for _, _, sentence in faults_of(findings)]
    assert [sentence.partition(".")[0] for sentence in sentences] == [
        "1 user has devices for notices and none for calls",
        "a user has no devices, but a user whose id differs in capitals only has some",
        "1 user has both an iPhone that rings by alerts and a VoIP token without hardware_id",
    ]
    assert all(sentence.endswith(". `bellhop check` says who") for sentence in sentences)
    assert not [user for user in ("ann", "ben", "eva") if user in " ".join(sentences).lower().split()]


def test_redis_keeps_no_addresses_of_clients(redis_url):
    turned_away = Counter({TurnedAway("strange_address", "", f"192.0.2.{number}"): number for number in (1, 2)})
    arrivals = LatestWebhooks(Micros(0), {}, turned_away, has_ring=True)
    found = [each for each in webhooks.findings(web_settings(redis_url), arrivals) if each.subject == "webhooks"]
    refused = "3 webhooks refused in the last hour: the address is not in BELLHOP_WEBHOOK_NETWORKS"
    assert [each.sentence for each in found] == [f"{refused} (from 192.0.2.2 and 1 more)"]
    assert ("warning", "webhooks", refused) in faults_of(found)
