"""A browser registers its subscription by /v1, and reads the key that it subscribes with."""

import time

import jwt
import pytest

from bellhop.store import registry
from bellhop.store.keys import devices_key
from tests.factories import PUBLIC_KEY_OF_1, web_settings
from webhook.app import create_app

SUBSCRIPTION = {
    "endpoint": "https://updates.push.services.mozilla.com/wpush/v2/abc",
    "expirationTime": 1_900_000_000_000,
    "keys": {"p256dh": PUBLIC_KEY_OF_1, "auth": "A" * 22},
}
SECRET = "a secret that is as long as pyjwt likes"
APPS = [
    {"app": "app.example.com", "public_key": PUBLIC_KEY_OF_1},
    {"app": "beta.example.com", "public_key": PUBLIC_KEY_OF_1},
]


@pytest.fixture
def client(redis_url):
    settings = {"stream_api_secret": [SECRET], "web_push_apps": APPS, "web_push_hosts": ["push.example.org"]}
    return create_app(web_settings(redis_url, **settings)).test_client()


@pytest.fixture
def register(client):
    token = jwt.encode({"user_id": "ben", "iat": int(time.time())}, SECRET, "HS256")

    def post(**changes):
        body = {"provider": "webpush", "app": "app.example.com"} | SUBSCRIPTION | changes
        return client.post("/v1/users/me/devices", json=body, headers={"Authorization": token})

    return post


def test_a_browser_registers_what_its_subscription_gives(register, redis_client):
    answer = register(name="Ben's Firefox").json
    (device,) = registry.decode(redis_client.hvals(devices_key("default", "ben")))
    assert (device.token, device.p256dh, device.auth) == (SUBSCRIPTION["endpoint"], PUBLIC_KEY_OF_1, "A" * 22)
    assert (device.key, device.expires_at) == (answer["id"], 1_900_000_000_000_000)
    assert answer["expires_at"] == "2030-03-17T17:46:40Z"
    assert not {"token", "endpoint", "keys", "p256dh", "auth"} & answer.keys(), "they are secrets"


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"endpoint": "https://evil.example/x"}, "#/endpoint"),
        ({"endpoint": "http://updates.push.services.mozilla.com/x"}, "#/endpoint"),
        ({"endpoint": "https://updates.push.services.mozilla.com\\@127.0.0.1/x"}, "#/endpoint"),
        ({"endpoint": "https://169.254.169.254/latest"}, "#/endpoint"),
        ({"endpoint": "https://a..notify.windows.com/x"}, "#/endpoint"),
        ({"endpoint": "https://updates.push.services.mozilla.com/" + "x" * 4_096}, "#/endpoint"),
        ({"keys": {"p256dh": "A" * 87, "auth": "A" * 22}}, "#/keys/p256dh"),
        ({"keys": {"p256dh": PUBLIC_KEY_OF_1, "auth": "A" * 21}}, "#/keys/auth"),
        ({"keys": {"p256dh": PUBLIC_KEY_OF_1}}, "#/keys/auth"),
        ({"expirationTime": -1}, "#/expirationTime"),
        ({"app": "other.example.com"}, None),
    ],
)
def test_a_subscription_that_is_wrong_is_told_where(register, redis_client, changes, pointer):
    answer = register(**changes)
    if pointer is None:  # no worker runs, so the app may be one of theirs
        assert answer.status_code == 200
    else:
        assert (answer.status_code, [error["pointer"] for error in answer.json["errors"]]) == (422, [pointer])
        assert not redis_client.exists(devices_key("default", "ben"))


def test_a_setting_adds_a_push_service(register):
    assert register(endpoint="https://push.example.org/UP?id=1").status_code == 200


def test_the_public_key_is_served_without_a_token(client, redis_url):
    first = client.get("/v1/web-push/key")
    assert first.json == {"app": "app.example.com", "public_key": PUBLIC_KEY_OF_1}
    assert client.get("/v1/web-push/key?app=beta.example.com").json["app"] == "beta.example.com"
    assert client.get("/v1/web-push/key?app=none").status_code == 404
    assert create_app(web_settings(redis_url)).test_client().get("/v1/web-push/key").status_code == 404
