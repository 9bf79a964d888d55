"""An app registers an iPhone that an alert rings."""

import time

import jwt
import pytest

from bellhop.domain.device import RingsBy
from bellhop.store import registry
from bellhop.store.keys import devices_key
from tests.factories import web_settings
from webhook.app import create_app

SECRET = "a secret that is as long as pyjwt likes"
ALERT = {
    **{"provider": "apns", "kind": "alert", "token": "cd" * 32, "app": "com.example.calls"},
    **{"hardware_id": "phone-1", "rings": "alert"},
}


@pytest.fixture
def register(redis_url):
    client = create_app(web_settings(redis_url, stream_api_secret=[SECRET])).test_client()
    token = jwt.encode({"user_id": "ben", "iat": int(time.time())}, SECRET, "HS256")

    def post(body):
        return client.post("/v1/users/me/devices", json=body, headers={"Authorization": token})

    return post


def test_a_phone_registers_that_an_alert_rings_it(register, redis_client):
    assert register(ALERT).json["rings"] == "alert"
    (device,) = registry.decode(redis_client.hvals(devices_key("default", "ben")))
    assert device.rings is RingsBy.ALERT
    assert "rings" not in register(ALERT | {"rings": "voip"}).json
    assert b"rings" not in redis_client.hvals(devices_key("default", "ben"))[0], "as older versions write it"


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "voip"},
        {"hardware_id": ""},
        {"hardware_id": " "},
        {"hardware_id": "0-0"},
        {"rings": "bell"},
        {"rings": None},
    ],
    ids=str,
)
def test_a_phone_that_cannot_ring_by_alerts_is_refused(register, redis_client, changes):
    answer = register(ALERT | changes)
    assert (answer.status_code, [error["pointer"] for error in answer.json["errors"]]) == (422, ["#/rings"])
    assert not redis_client.exists(devices_key("default", "ben"))


def test_a_token_of_google_cannot_ring_by_alerts(register):
    body = {"provider": "fcm", "token": "token", "app": "calls", "rings": "alert"}
    assert register(body).status_code == 422
