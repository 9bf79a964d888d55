"""What reads Redis outside the queue, on a real cluster: pages, the HTTP API, commands, and the walks for privacy."""

import asyncio
import hashlib
import hmac
import json
import time

import jwt
import pytest
from click.testing import CliRunner

from bellhop.cli import main
from bellhop.clock import Seconds
from bellhop.privacy.unused_data import count_unused
from bellhop.sandbox.stream_webhooks import SampleCall
from bellhop.store import registry
from bellhop.store.async_client import Store
from bellhop.store.blocking_client import blocking, partitions_of
from bellhop.store.homes import partition_with, slot_of
from bellhop.store.keys import call_key, missed_seen_key
from bellhop.store.registered_devices import devices_by_user, in_other_capitals
from bellhop.store.steps import run_blocking
from tests.factories import a_device, web_settings
from tests.webhook.console.played_calls import PASSWORD, token
from webhook.app import create_app
from worker.derived_notices import DerivedNotices
from worker.settle import settle_call

SECRET = "a secret that is as long as pyjwt likes"
METRICS = "a token of sixteen"
USERS = [f"user-{number}" for number in range(12)]
BEN, ANN = USERS[:2]


class Web:
    """A web process on the cluster."""

    def __init__(self, url):
        settings = {"stream_api_secret": [SECRET], "user_calls": True, "metrics_token": METRICS}
        self.client = create_app(web_settings(url, console_password=PASSWORD, **settings)).test_client()

    def post(self, event):
        body = json.dumps(event).encode()
        signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        headers = {"X-Signature": signature, "X-Webhook-Id": hashlib.sha256(body).hexdigest()}
        return self.client.post("/webhooks/stream", data=body, headers=headers).json["status"]

    def ask(self, path, method="GET", user=None, **options):
        claims = {"user_id": user, "iat": int(time.time())} if user else {"server": True}
        headers = {"Authorization": jwt.encode(claims, SECRET, "HS256")}
        return self.client.open(f"/v1/{path}", method=method, headers=headers, **options)

    def log_in(self):
        form = self.client.get("/console/login")
        return self.client.post("/console/login", data={"token": token(form), "password": PASSWORD})


@pytest.fixture(scope="module")
def url(cluster):
    return cluster.url


@pytest.fixture(scope="module")
def redis(url):
    with blocking(url, timeout_s=Seconds(5.0)) as client:
        for user in USERS:
            run_blocking(registry.register("default", a_device(user, token=f"{user}-token")), client)
        yield client


@pytest.fixture(scope="module")
def web(url, redis):
    return Web(url)


@pytest.fixture(scope="module")
def calls(web):
    """Calls of all users, the latest last."""
    made = [SampleCall("sara", (BEN, user)) for user in USERS[1:7]]
    for call in made:
        assert [web.post(call.ring()), web.post(call.accepted(BEN)), web.post(call.ended())] == ["taken"] * 3
    return made


@pytest.fixture
def configured(url, monkeypatch):
    """The settings of commands."""
    for name, value in {"REDIS_URL": url, "STREAM_API_KEY": "key", "STREAM_API_SECRET": SECRET}.items():
        monkeypatch.setenv(f"BELLHOP_{name}", value)


def test_calls_of_all_partitions_are_shown(web, calls):
    assert web.log_in().status_code == 303
    latest = [call.cid for call in reversed(calls)]
    for page in ("/console/", f"/console/?text={BEN}", "/console/?text=sara"):
        text = web.client.get(page).text
        assert sorted(latest, key=text.index) == latest
    assert [call["call_cid"] for call in web.ask("users/me/calls", user=BEN).json["calls"]] == latest
    assert f"sara (Sara) called {BEN}" in web.client.get(f"/console/call?id={latest[0]}").text
    assert web.ask(f"calls/{latest[0]}").json["found"]
    for page in (f"/console/person?id={BEN}", "/console/service", "/console/failed", "/console/audit"):
        assert web.client.get(page).status_code == 200
    assert "bellhop_jobs" in web.client.get("/metrics", headers={"Authorization": f"Bearer {METRICS}"}).text
    assert "No live worker" in web.client.get("/readyz").text


async def test_a_user_has_a_test_ring_and_missed_calls(web, calls, url):
    store = Store.from_url(url)
    for call in calls:
        await settle_call(store, "default", call.cid, 0, missed_kept_s=60)
    await store.close()
    assert web.ask("users/me/calls/seen", "POST", ANN, json={"call_cids": []}).json == {"unseen": 1}
    begun = web.ask("users/me/test-ring", "POST", BEN, json={}).json
    assert web.ask(f"users/me/test-ring/{begun['id']}", user=BEN).json["over"] is False
    kept = {"email": "ben@example.com"}
    assert web.ask(f"users/{BEN}/contact", "PUT", json=kept).json["email"] == kept["email"]


async def test_the_end_of_a_call_waits_for_no_other_node(web, cluster, url):
    store = Store.from_url(url)

    def node_of(key):
        return cluster.node_of(slot_of(partition_with(key, store.partitions).tag))

    node = node_of(missed_seen_key("default"))
    calls = (SampleCall("sara", (BEN,)) for _ in range(99))
    call = next(call for call in calls if node_of(call_key("default", call.cid)) is not node)
    assert [web.post(call.ring()), web.post(call.rejected("sara"))] == ["taken"] * 2
    cluster.pause(node)
    try:
        async with asyncio.timeout(30):
            await settle_call(store, "default", call.cid, 0, DerivedNotices(store, None))
    finally:
        cluster.go_on(node)
        await store.close()
        await asyncio.to_thread(cluster.wait, cluster.is_whole)


def test_commands_read_all_partitions(calls, configured):
    outputs = {
        ("calls", "--user", BEN): calls[-1].cid,
        ("explain", calls[0].cid): "sara (Sara) called",
        ("devices", "list", BEN): "Android phone",
        ("reachability", BEN): "No worker is alive",
        ("replay", "--failed"): "No job has failed",
        ("events", "dead"): "",
    }
    for args, text in outputs.items():
        result = CliRunner().invoke(main, args)
        assert result.exception is None or isinstance(result.exception, SystemExit), (args, result.exc_info)
        assert text in result.output, result.output


def test_walks_find_the_users_of_all_partitions(redis):
    assert {*devices_by_user(redis, "default", Seconds(60.0))} >= {*USERS}
    assert in_other_capitals(redis, "default", BEN.upper()) == {BEN: 1}
    counts = run_blocking(count_unused(1, partitions_of(redis)), redis)
    device = a_device()
    assert counts["default", device.provider, device.app].devices >= len(USERS)


def test_a_person_is_exported_and_forgotten(web, calls, configured):
    kinds = {key["about"] for key in web.ask(f"users/{ANN}/export").json["keys"]}
    assert {
        "devices and their push tokens",
        "the audit trail of calls",
        "people of calls, for the console's search",
    } <= kinds
    assert CliRunner().invoke(main, ["forget", ANN, "--yes"]).exit_code == 0
    assert web.ask(f"users/{ANN}/export").json["keys"] == []
    assert web.ask(f"users/{BEN}/export").json["keys"]
