"""A user's own list of calls: what it says, whom it obeys, and which missed calls were seen."""

import asyncio
import hashlib
import hmac
import json
import time

import jwt
import pytest

from bellhop.clock import Micros
from bellhop.sandbox.stream_webhooks import SampleCall
from bellhop.store.keys import calls_key, missed_calls_key, people_of_calls_key
from bellhop.store.missed_calls import MOST_UNSEEN, note_missed
from tests.factories import web_settings
from webhook.app import create_app
from worker.settle import settle_call

SECRET = "a secret that is as long as pyjwt likes"
BEN = {"user_id": "ben", "iat": int(time.time())}
SERVER = {"server": True}
GRACE_US = Micros(5_000_000)
KEPT_S = 3_600


class App:
    """A web process whose console is off."""

    def __init__(self, redis_url, **changes):
        settings = {"stream_api_secret": [SECRET], "user_calls": True} | changes
        self.client = create_app(web_settings(redis_url, **settings)).test_client()

    def post(self, event):
        body = json.dumps(event).encode()
        signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        headers = {"X-Signature": signature, "X-Webhook-Id": hashlib.sha256(body).hexdigest()}
        assert self.client.post("/webhooks/stream", data=body, headers=headers).json["status"] == "taken"

    def ask(self, path, claims=BEN, **options):
        method = "POST" if "json" in options else "GET"
        token = jwt.encode(claims, SECRET, "HS256")
        url = f"/v1/users/{path}"
        return self.client.open(url, method=method, headers={"Authorization": token}, **options)

    def list(self, query="", user="me", claims=BEN):
        return self.ask(f"{user}/calls{query}", claims).json


@pytest.fixture
def app(redis_url):
    return App(redis_url)


@pytest.fixture
def settle(store):
    async def settle(*calls):
        await asyncio.gather(
            *(settle_call(store, "default", call.cid, GRACE_US, missed_kept_s=KEPT_S) for call in calls)
        )

    return settle


def a_call(number, **changes):
    return SampleCall(
        **{"caller": "sara", "members": ("ben", "jane"), "id": f"call-{number}", "ring_ms": 5_000} | changes
    )


async def test_each_call_has_its_outcome_for_this_user_alone(app, settle, redis_client):
    calls, start = [a_call(number) for number in range(6)], time.time() - 60
    answered, declined, missed, made, ringing, removed = calls
    made.caller, made.members = "ben", ("jane",)
    ringing.ring_ms = 60_000
    for number, call in enumerate(calls):
        app.post(call.ring(at=time.time() - 1 if call is ringing else start + number))
    app.post(answered.accepted("ben", at=start + 2))
    app.post(answered.rejected("jane", at=start + 2))
    app.post(declined.rejected("ben", at=start + 2))
    app.post(missed.accepted("jane", at=start + 3))
    app.post(removed.member_removed("ben", at=start + 6))
    await settle(*calls)
    document = app.list()
    outcomes = {call["call_cid"]: (call["outcome"], call["seen"]) for call in document["calls"]}
    assert outcomes == {
        answered.cid: ("answered", True),
        declined.cid: ("declined", True),
        missed.cid: ("missed", False),
        made.cid: ("made", True),
        ringing.cid: ("ringing", True),
        removed.cid: ("removed", True),
    }
    assert (document["unseen"], document["next"]) == (1, None)
    assert {call["caller"]["id"] for call in document["calls"]} == {"sara", "ben"}
    assert document["calls"][0]["caller"]["name"] == "Sara"
    assert not {"jane", "accepted", "settled", "device"} & set(json.dumps(document).replace('"', " ").split())
    assert {call["outcome"] for call in app.list(user="jane", claims=SERVER)["calls"]} >= {"answered", "declined"}
    assert 0 < redis_client.ttl(missed_calls_key("default", "ben")) <= KEPT_S
    assert not redis_client.exists(calls_key("default"), people_of_calls_key("default")), "they are the console's"


async def test_a_missed_call_counts_before_its_notice_begins(app, settle, store, monkeypatch):
    call, unseen = a_call(1, ring_ms=5_000), {}

    async def script(name, *arguments, run=store.script):
        answer = await run(name, *arguments)
        unseen[name] = app.list()["unseen"]
        return answer

    monkeypatch.setattr(store, "script", script)
    app.post(call.ring(at=time.time() - 60))
    await settle(call)
    assert unseen["calls/settle_call"] == 1


async def test_a_call_that_is_answered_meanwhile_is_not_missed(app, settle, store, monkeypatch):
    call, start, scripts_run = a_call(1, ring_ms=5_000), time.time() - 60, []

    async def script(name, *arguments, run=store.script):
        if name == "calls/settle_call" and name not in scripts_run:
            app.post(call.accepted("ben", at=start + 1))
        scripts_run.append(name)
        return await run(name, *arguments)

    monkeypatch.setattr(store, "script", script)
    app.post(call.ring(at=start))
    await settle(call)
    assert scripts_run.count("calls/settle_call") == 2
    assert app.list()["unseen"] == 0


async def test_pages_times_and_missed_calls_select(app, settle):
    calls, start = [a_call(number) for number in range(30)], time.time() - 100
    for number, call in enumerate(calls):
        app.post(call.ring(at=start + number))
        if number % 2:
            app.post(call.accepted("ben", at=start + number + 1))
    await settle(*calls)
    first = app.list()
    second = app.list(f"?cursor={first['next']}")
    cids = [call["call_cid"] for call in first["calls"] + second["calls"]]
    assert (len(first["calls"]), second["next"], cids) == (25, None, [call.cid for call in reversed(calls)])
    missed = app.list("?missed=true")
    assert {call["outcome"] for call in missed["calls"]} == {"missed"}
    assert len(missed["calls"]) == missed["unseen"] == 15
    assert app.list("?since=2100-01-01T00:00:00Z")["calls"] == []
    assert len(app.list("?since=2020-01-01T00:00:00%2B02:00&missed=false")["calls"]) == 25
    for query in (
        "cursor=-1",
        "cursor=x",
        "since=yesterday",
        "since=",
        "cursor=",
        "since=0.5",
        "since=2020-01-01",
        "missed=1",
    ):
        assert app.ask(f"me/calls?{query}").json["type"].endswith("bad-query"), query


async def test_a_missed_call_is_seen_once_until_it_rings_again(app, settle):
    calls, start = [a_call(number) for number in range(4)], time.time() - 60
    for number, call in enumerate(calls):
        app.post(call.ring(at=start + number))
    await settle(*calls)
    latest = app.list()["calls"]
    assert [call["seen"] for call in latest] == [False] * 4
    until = latest[2]["started_at"]
    in_milliseconds = f"{until[:23]}Z"  # as JavaScript writes a time that it has read
    for _ in range(2):
        assert app.ask("me/calls/seen", json={"until": in_milliseconds}).json == {"unseen": 2}
    assert [call["seen"] for call in app.list()["calls"]] == [False, False, True, True]
    assert app.ask("ben/calls/seen", SERVER, json={"call_cids": [calls[3].cid, "default:none"]}).json == {"unseen": 1}
    app.post(calls[0].again().ring(at=start + 30))
    await settle(calls[0])
    assert {call["call_cid"] for call in app.list()["calls"] if not call["seen"]} == {calls[0].cid, calls[2].cid}
    assert app.ask("me/calls/seen", json={}).json == {"unseen": 2}
    for wrong in ({"until": "soon"}, {"until": 0}, {"call_cids": ["x"] * 51}, {"all": True}):
        assert app.ask("me/calls/seen", json=wrong).json["type"].endswith("invalid")


async def test_a_quiet_end_and_a_notification_leave_nothing_unseen(app, settle):
    quiet, invited, start = a_call(1), a_call(2), time.time() - 60
    app.post(quiet.ring(at=start))
    app.post(quiet.missed("ben", notify_user=False, at=start + 5))
    app.post(invited.notification(at=start))
    await settle(quiet, invited)
    document = app.list()
    assert [(call["call_cid"], call["outcome"], call["seen"]) for call in document["calls"]] == [
        (quiet.cid, "missed", True)
    ]
    assert document["unseen"] == 0


def test_only_the_latest_missed_calls_are_kept(redis_client):
    for number in range(MOST_UNSEEN + 5):
        for command in note_missed("default", "ben", f"default:{number}", Micros(number), KEPT_S):
            redis_client.execute_command(*command)
    kept = redis_client.zrange(missed_calls_key("default", "ben"), 0, -1)
    assert (len(kept), kept[0]) == (MOST_UNSEEN, b"default:5")


def test_nobody_reads_the_calls_of_another_or_with_lists_off(app, redis_url):
    assert app.list(user="jane")["type"].endswith("another-user")
    assert app.ask("jane/calls/seen", json={}).json["type"].endswith("another-user")
    off = App(redis_url, user_calls=False)
    off.post(a_call(1).ring())
    assert off.list()["type"].endswith("calls-off")
    assert off.ask("me/calls/seen", json={}).status_code == 501
    assert app.list()["calls"] == []
