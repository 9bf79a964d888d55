"""Attacks that were tried by hand and held: other users' ids on every route, fields that nobody may set, two tenants.

Session fixation, forged forms and redirects are in tests/webhook/console/test_login.py and test_paths.py, token shapes
in test_auth.py, names in e-mails in tests/worker/email/test_message.py, terminals in tests/bellhop/cli.
"""

import json
import subprocess
import sys

import jwt
import pytest

from bellhop.settings import StreamApp
from bellhop.store import keys
from tests.factories import web_settings
from webhook.app import create_app

SECRETS = {name: f"the api secret of {name}, which is long" for name in ("ours", "theirs")}
APPS = [StreamApp(tenant=name, api_keys=[f"{name}-key"], api_secrets=[secret]) for name, secret in SECRETS.items()]
DEVICE = {"provider": "fcm", "app": "example-calls", "token": "abc:def"}
CONTACT, PREFERENCES = {"email": "ann@example.com"}, {"email": False}
BODIES = {"devices": DEVICE, "contact": CONTACT, "preferences": PREFERENCES}


@pytest.fixture
def app(redis_url):
    return create_app(web_settings(redis_url, stream_api_key=[], stream_api_secret=[], stream_apps=APPS))


def bearer(tenant="ours", key="", **claims):
    token = jwt.encode(claims, SECRETS[tenant], "HS256")
    return {"Authorization": f"Bearer {token}", "X-Api-Key": key or f"{tenant}-key"}


def routes(app):
    """Every route about a user: method, path and name."""
    for rule in app.url_map.iter_rules():
        if "<user_id>" in rule.rule:
            for method in sorted(rule.methods - {"HEAD", "OPTIONS"}):
                yield method, rule.rule.replace("<device_id>", "0" * 20)


def ask(app, method, path, user, headers):
    body = BODIES.get(path.split("/")[4]) if method in ("POST", "PUT") else None
    return app.test_client().open(path.replace("<user_id>", user), method=method, headers=headers, json=body)


def test_no_route_opens_another_users_data(app, redis_client):
    asked = list(routes(app))
    assert len(asked) >= 7
    for method, path in asked:
        for user in ("ben", "ANN", "ann ", "ann%00", "%61nn2"):
            answer = ask(app, method, path, user, bearer(user_id="ann"))
            assert answer.status_code in (403, 404), (method, path, user)
    assert not list(redis_client.scan_iter("bellhop:person:*"))
    assert not list(redis_client.scan_iter("bellhop:devices:*"))


def test_no_route_opens_another_tenants_data(app, redis_client):
    for method, path in routes(app):
        assert ask(app, method, path, "ann", bearer("ours", "theirs-key", server=True)).status_code == 401
        assert ask(app, method, path, "ann", bearer("ours", "theirs-key", user_id="ann")).status_code == 401
    assert ask(app, "PUT", "/v1/users/<user_id>/contact", "ann", bearer("ours", server=True)).status_code == 200
    other = ask(app, "GET", "/v1/users/<user_id>/contact", "ann", bearer("theirs", server=True))
    assert other.json["email"] is None
    assert [key.split(b":")[2] for key in redis_client.scan_iter("bellhop:person:*")] == [b"ours"]


@pytest.mark.parametrize(
    ("path", "field"),
    [
        *(("devices", field) for field in ("user_id", "registered_at", "tenant", "key", "owner", "__proto__")),
        *(("contact", field) for field in ("revoked", "deleted", "deactivated", "user_id")),
        *(("preferences", field) for field in ("contact", "revoked", "__class__", "email_verified")),
    ],
)
def test_no_body_sets_a_field_that_is_not_its_own(app, redis_client, path, field):
    client, url = app.test_client(), f"/v1/users/me/{path}"
    answer = client.open(
        url,
        method="POST" if path == "devices" else "PUT",
        json=BODIES[path] | {field: "x"},
        headers=bearer(user_id="ann"),
    )
    assert answer.status_code == 422
    assert {error["pointer"] for error in answer.json["errors"]} == {f"#/{field}"}
    assert not list(redis_client.scan_iter("bellhop:person:*"))


@pytest.mark.parametrize("user", ["a:b", "a*", "a b", "a\n", "../a", "{a}", "a'", "é", "a\x00"])
def test_no_users_id_makes_another_key(app, redis_client, user):
    answer = app.test_client().put("/v1/users/me/contact", json=CONTACT, headers=bearer(user_id=user))
    written = [key.decode() for key in redis_client.scan_iter("bellhop:person:*")]
    assert written == ([keys.user_key("ours", user)] if answer.status_code == 200 else [])
    assert all(key.startswith("bellhop:person:ours:") for key in written)


ASKS = """
import sys
from bellhop.telemetry import logs
from tests.factories import web_settings
from webhook.app import create_app

logs.configure("json", "info")
client = create_app(web_settings(sys.argv[1], console_password="open sesame, console")).test_client()
forged = "x\\x1b[2J"
headers = {"Authorization": f"Bearer {forged}", "X-Api-Key": forged}
client.get("/v1/users/me%0a%7b%22event%22:1%7d/devices", headers=headers)
client.get("/console/%0a%1b%5b2J", environ_base={"REMOTE_ADDR": forged})
client.get("/%0a//console/", environ_base={"REMOTE_ADDR": 'x","event":"y'})
client.post("/%0a%1b", headers={"X-Signature": "x"})
"""


def test_no_text_of_a_client_makes_a_line_of_the_log(redis_url):
    ran = subprocess.run([sys.executable, "-c", ASKS, redis_url], capture_output=True, text=True, check=True)
    lines = (ran.stdout + ran.stderr).splitlines()
    events = [json.loads(line)["event"] for line in lines]
    assert sorted(events) == ["request_refused"] * 2 + ["webhook_refused"]
    assert "\x1b" not in "".join(lines)
