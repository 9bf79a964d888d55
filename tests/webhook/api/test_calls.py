"""GET /v1/calls/<cid>: the same explanation for a short and a long trail, but a long one costs another process."""

import json

import jwt
import pytest

from bellhop.clock import Micros
from bellhop.explain.explanation import explain
from bellhop.store.keys import trail_key
from bellhop.store.stored_trail import StoredTrail
from bellhop.trail import encode, read_trail
from tests.factories import web_settings
from tests.long_trails import answered_one_by_one, rung_again_and_again
from webhook.api import explaining_process
from webhook.api.explaining_process import explained_json
from webhook.app import create_app

SECRET = "an api secret that is long enough"
SERVER = {"Authorization": jwt.encode({"server": True}, SECRET, "HS256")}


@pytest.fixture
def client(redis_url):
    def client(most_lines):
        settings = web_settings(redis_url, stream_api_secret=[SECRET], web_explain_lines=most_lines)
        return create_app(settings).test_client()

    return client


@pytest.fixture
def trail(redis_client):
    def trail(cid, milestones):
        redis_client.rpush(trail_key("default", cid), *map(encode, milestones))

    return trail


@pytest.mark.parametrize("query", ["", "?user=jane", "?user=nobody", "?user=é%0a"])
def test_a_long_trail_is_explained_in_another_process(client, trail, monkeypatch, query):
    trail("default:1", rung_again_and_again(100))
    here = client(10_000).get(f"/v1/calls/default:1{query}", headers=SERVER)
    monkeypatch.setattr(explaining_process, "explain", None)
    apart = client(399).get(f"/v1/calls/default:1{query}", headers=SERVER)
    assert (apart.status_code, apart.data) == (here.status_code, here.data)
    assert apart.status_code == (200 if query in ("", "?user=jane") else 404)
    assert apart.content_type == "application/json"


def test_few_lines_that_name_many_users_are_long_too(client, trail, monkeypatch):
    trail("default:1", answered_one_by_one(700)[:1] * 12)
    monkeypatch.setattr(explaining_process, "explain", None)
    assert client(400).get("/v1/calls/default:1", headers=SERVER).status_code == 200


def test_one_long_call_is_explained_at_a_time(client, trail):
    trail("default:1", rung_again_and_again(20))
    trail("default:2", rung_again_and_again(2))
    with explaining_process._running:
        busy = client(50).get("/v1/calls/default:1", headers=SERVER)
        assert (busy.status_code, busy.headers["Retry-After"]) == (503, "1")
        assert busy.json["type"] == "urn:bellhop:problem:busy"
        assert client(50).get("/v1/calls/default:2", headers=SERVER).status_code == 200
    assert client(50).get("/v1/calls/default:1", headers=SERVER).status_code == 200


@pytest.mark.parametrize("name", ["jane", "ja\ud800ne", "jané\n"])
def test_the_document_is_the_json_of_the_explanation(name):
    lines = [encode(milestone).encode() for milestone in rung_again_and_again(3, name)]
    read = explain("default:1", read_trail(lines)).as_json()
    document = explained_json("default:1", "", StoredTrail(lines, Micros(0), ())).document
    assert json.loads(document) == json.loads(json.dumps(read))
