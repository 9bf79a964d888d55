"""Forgetting a person and exporting what is kept of one, by /v1 and by Stream's user.deleted."""

import json
import time
from datetime import UTC, datetime

import jwt
import pytest

from bellhop.clock import MICROS_PER_SECOND, as_datetime
from bellhop.domain.clock_offset import ClockOffset
from bellhop.store import clock_differences, registry
from bellhop.store.blocking_client import together
from bellhop.store.homes import ALONE
from bellhop.store.keys import ERASURES, FORGOTTEN, devices_key, user_key
from bellhop.store.redis_clock import read_time
from bellhop.store.steps import run_blocking
from tests.factories import a_device, web_settings
from webhook.app import create_app
from webhook.intake.receive import receive

SECRET = "a secret that is as long as pyjwt likes"
DEVICE = {"provider": "fcm", "app": "calls", "token": "t-1"}
SERVER = {"server": True}


@pytest.fixture
def app(redis_url):
    return create_app(web_settings(redis_url, stream_api_secret=[SECRET]))


@pytest.fixture
def ask(app):
    def ask(method, path, claims, **options):
        token = jwt.encode(claims, SECRET, "HS256")
        return app.test_client().open(f"/v1/users/{path}", method=method, headers={"Authorization": token}, **options)

    return ask


def test_a_user_is_forgotten_and_comes_back_with_a_new_token(ask, redis_client):
    old = {"user_id": "jane", "iat": int(time.time()) - 5}
    assert ask("POST", "me/devices", old, json=DEVICE).status_code == 200
    assert ask("PUT", "me/contact", old, json={"email": "jane@example.com"}).status_code == 200
    for _ in range(2):
        answer = ask("DELETE", "me", old)
        assert (answer.status_code, answer.json["status"]) == (202, "erasing")
    assert answer.json["pseudonym"].startswith("forgotten-")
    assert [key for key in redis_client.scan_iter() if b"jane" in key and b":writes:" not in key] == []
    assert ask("POST", "me/devices", old, json=DEVICE).json["type"].endswith("revoked-token")
    assert ask("GET", "me/devices", old).json == {"devices": []}
    new = {"user_id": "jane", "iat": int(time.time()) + 5}
    assert ask("POST", "me/devices", new, json=DEVICE).status_code == 200
    assert not redis_client.exists(FORGOTTEN, ERASURES)
    assert redis_client.hlen(devices_key("default", "jane")) == 1
    # A backend may bring a person back, too.
    assert ask("DELETE", "jane", SERVER).status_code == 202
    assert ask("POST", "jane/devices", SERVER, json=DEVICE).status_code == 200
    assert not redis_client.exists(FORGOTTEN)


def test_an_old_app_leaves_no_trace_of_a_forgotten_user(ask, redis_client):
    """It starts, registers and tests its phone as always, with the token that it has."""
    old = {"user_id": "jane", "iat": int(time.time()) - 5}
    assert ask("DELETE", "jane", SERVER).status_code == 202
    for path, body in (("me/devices", DEVICE), ("me/test-ring", {})):
        assert ask("POST", path, old, json=body).json["type"].endswith("revoked-token")
    assert [key for key in redis_client.scan_iter() if b"jane" in key] == []
    named = [key for key in redis_client.scan_iter("rq:job:*") if b"jane" in redis_client.hget(key, "data")]
    assert named == []


def test_nobody_forgets_or_reads_another_user(ask):
    for method, path in (("DELETE", "ben"), ("GET", "ben/export")):
        assert ask(method, path, {"user_id": "jane"}).json["type"].endswith("another-user")
        assert ask(method, "me", SERVER).status_code in (403, 405)


def test_an_export_has_what_is_kept_and_one_runs_at_a_time(ask, redis_client):
    me = {"user_id": "jane", "iat": int(time.time())}
    ask("POST", "me/devices", me, json=DEVICE)
    ask("PUT", "me/contact", me, json={"email": "jane@example.com"})
    document = ask("GET", "me/export", me).json
    kept = {key["key"]: key["entries"] for key in document["keys"]}
    assert document["user_id"] == "jane"
    (device,) = kept["bellhop:devices:default:jane"]
    assert device["value"]["token"] == "t-1"
    assert kept["bellhop:person:default:jane"][0]["value"]["email"] == "jane@example.com"
    redis_client.set("bellhop:export-runs", 1)
    answer = ask("GET", "me/export", me)
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "5")


def test_one_user_cannot_export_all_the_time(ask, redis_client):
    me = {"user_id": "jane", "iat": int(time.time())}
    assert [ask("GET", "me/export", me).status_code for _ in range(5)] == [200, 200, 200, 429, 429]
    refused = ask("GET", "me/export", me)
    assert refused.json["type"].endswith("too-many-writes")
    assert 0 < int(refused.headers["Retry-After"]) <= 3600
    for claims, path in (({"user_id": "ben"}, "me/export"), (SERVER, "jane/export")):
        assert ask("GET", path, claims).status_code == 200, "others do not wait"


def test_stream_deletes_a_user(app, ask, redis_client):
    intake, me = app.extensions["context"].intake, {"user_id": "jane", "iat": int(time.time())}
    ask("POST", "me/devices", me, json=DEVICE)
    (device,) = registry.decode(redis_client.hvals(devices_key("default", "jane")))
    # The web process estimates the time of Redis, and may have stamped the device a little ahead.
    while (now := read_time(redis_client.time())) < device.registered_at + 1_000:
        time.sleep(0.01)
    created_at = datetime.fromtimestamp(now / MICROS_PER_SECOND, UTC).isoformat()
    deleted = {"type": "user.deleted", "created_at": created_at, "user": {"id": "jane"}}

    def post():
        return receive(intake, "default", json.dumps(deleted).encode(), f"{time.time()}", now, 1)["status"]

    assert (post(), post()) == ("taken", "already")
    assert not redis_client.exists(devices_key("default", "jane"), user_key("default", "jane"))
    assert redis_client.zcard(ERASURES) == 1


@pytest.mark.parametrize("ahead_s", [0, 300])
def test_a_deleted_user_is_forgotten_if_redis_is_ahead(app, ask, redis_client, ahead_s):
    """The device was registered a minute before, by Redis's clock: later than the deletion, by Stream's clock."""
    context, ahead_us = app.extensions["context"], ahead_s * MICROS_PER_SECOND
    now = context.now()
    known = ClockOffset(ahead_us, fitted_at=now, least_us=ahead_us, least_since=now)
    together(redis_client, *clock_differences.write("default", known, ALONE[0]))
    device = a_device("jane", registered_at=now - 60 * MICROS_PER_SECOND)
    run_blocking(registry.register("default", device), redis_client)
    created_at = as_datetime(now - ahead_us).isoformat()
    deleted = json.dumps({"type": "user.deleted", "created_at": created_at, "user": {"id": "jane"}}).encode()
    assert receive(context.intake, "default", deleted, "w-1", now, 1)["status"] == "taken"
    assert not redis_client.exists(devices_key("default", "jane"), user_key("default", "jane"))
    assert redis_client.zcard(ERASURES) == 1
