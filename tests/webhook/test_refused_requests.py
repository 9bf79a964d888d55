"""Every request that is refused because of its sender leaves a log line and is counted."""

import json
import time

import jwt
import pytest
from structlog.testing import capture_logs

from bellhop.telemetry import metrics
from bellhop.telemetry.metrics import Tally
from tests.factories import web_settings
from webhook.app import create_app

SECRET, OTHER_SECRET = "an api secret that is long enough", "another app's secret, long enough"
TOKEN = "a token of sixteen"


def bearer(secret=SECRET, **claims):
    return {"Authorization": f"Bearer {jwt.encode(claims, secret, 'HS256')}"}


ANN = bearer(user_id="ann")


@pytest.fixture
def client(redis_url):
    settings = web_settings(redis_url, stream_api_secret=[SECRET], metrics_token=TOKEN, api_writes_per_minute=1)
    return create_app(settings).test_client()


@pytest.mark.parametrize(
    ("method", "path", "headers", "part", "reason"),
    [
        ("GET", "/v1/users/me/devices", {}, "v1", "no-token"),
        ("GET", "/v1/users/me/devices", {"Authorization": "Bearer x.y.z"}, "v1", "bad-token"),
        ("GET", "/v1/users/me/devices", bearer(OTHER_SECRET, user_id="ann"), "v1", "bad-token"),
        ("GET", "/v1/users/me/devices", bearer(user_id="ann", exp=1), "v1", "expired-token"),
        ("GET", "/v1/users/me/devices", bearer(user_id="ann", nbf=time.time() + 9_999), "v1", "early-token"),
        ("GET", "/v1/users/me/devices", bearer(user_id="ann", call_cids=["a:1"]), "v1", "limited-token"),
        ("GET", "/v1/users/me/devices", ANN | {"X-Api-Key": "?"}, "v1", "unknown-app"),
        ("GET", "/v1/users/ben/devices", ANN, "v1", "another-user"),
        ("GET", "/v1/users/me/devices", bearer(server=True), "v1", "no-one"),
        ("GET", "/v1/calls/default:1", ANN, "v1", "server-only"),
        ("POST", "/v1/receipts", {}, "v1", "bad-receipt"),
        ("GET", "/metrics", {}, "metrics", "no_token"),
        ("GET", "/metrics", {"Authorization": "Bearer another"}, "metrics", "bad_token"),
    ],
)
def test_a_refusal_is_logged_and_counted(client, monkeypatch, method, path, headers, part, reason):
    monkeypatch.setattr(metrics, "TALLY", tally := Tally())
    with capture_logs() as lines:
        answer = client.open(path, method=method, headers=headers, json={"receipt": "x"} if method == "POST" else None)
    assert answer.status_code in (401, 403)
    line = {"event": "request_refused", "log_level": "warning", "part": part, "reason": reason}
    assert lines == [line | {"address": "127.0.0.1"}]
    sample = json.dumps(["bellhop_requests_refused_total", part, reason])
    assert sample in [json.dumps(json.loads(text)) for text in tally.flush().args if str(text).startswith("[")]


def test_a_user_who_changes_too_much_is_logged(client, one_minute):
    with capture_logs() as lines:
        statuses = [client.put("/v1/users/me/preferences", json={}, headers=ANN).status_code for _ in range(2)]
    assert statuses == [200, 429]
    assert [line["reason"] for line in lines] == ["too-many-writes"]
