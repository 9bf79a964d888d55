"""The list of a user's devices says which phones get no push."""

import time

import jwt

from bellhop.store import registry
from bellhop.store.blocking_client import run_script
from bellhop.store.disabled_phones import switch_phones
from bellhop.store.steps import run_blocking
from tests.factories import a_device, web_settings
from webhook.app import create_app

SECRET = "a secret that is as long as pyjwt likes"


def test_the_list_says_that_a_phone_is_disabled(redis_url, redis_client):
    pixel, other = (a_device("ben", token=token, hardware_id=token, registered_at=1) for token in ("pixel", "other"))
    for device in (pixel, other):
        run_blocking(registry.register("default", device), redis_client)
    run_script(redis_client, switch_phones("default", "ben", [pixel], disabled_at=1_700_000_000_000_000))
    client = create_app(web_settings(redis_url, stream_api_secret=[SECRET])).test_client()
    token = jwt.encode({"user_id": "ben", "iat": int(time.time())}, SECRET, "HS256")
    answer = client.get("/v1/users/me/devices", headers={"Authorization": token}).json
    assert {device["id"]: device.get("disabled_at") for device in answer["devices"]} == {
        pixel.key: "2023-11-14T22:13:20Z",
        other.key: None,
    }
