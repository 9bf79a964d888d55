"""Settings of the endpoints for events: each mistake is one sentence, before anything starts."""

import base64
import json
import os

import pytest

from bellhop.settings import PREFIX, ConfigurationError, load

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
BACKEND = {"name": "backend", "url": "https://api.example.com/bellhop"}
NAME = 'BELLHOP_EVENT_ENDPOINTS: "backend"'


@pytest.fixture(autouse=True)
def only_events(monkeypatch):
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("BELLHOP_STREAM_API_KEY", "key")
    monkeypatch.setenv("BELLHOP_STREAM_API_SECRET", "secret")


@pytest.fixture
def problems(monkeypatch):
    def read(role="web", *, endpoints=(BACKEND,), secrets=None, networks=""):
        monkeypatch.setenv("BELLHOP_EVENT_ENDPOINTS", json.dumps(endpoints))
        monkeypatch.setenv("BELLHOP_EVENT_SECRETS", json.dumps(secrets or {}))
        monkeypatch.setenv("BELLHOP_EVENT_ALLOWED_NETWORKS", networks)
        try:
            load(role)
        except ConfigurationError as error:
            return [problem for problem in error.problems if "push provider" not in problem]
        return []

    return read


def test_a_web_process_needs_no_secret_and_a_worker_does(problems):
    assert problems() == []
    assert problems("worker") == ['BELLHOP_EVENT_SECRETS: has no secret for the endpoint "backend"']
    assert problems("worker", secrets={"backend": [SECRET, SECRET]}) == []


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"name": "Back End"}, "[0].name: must be 1 to 32 lower-case letters, digits and -, such as backend"),
        ({"name": "stream"}, "[0].name: must not be stream: Bellhop uses this name for what it sends to Stream"),
        ({"url": "api.example.com"}, "[0].url: must be a URL, such as https://api.example.com/bellhop"),
        ({"url": "https://h:99999/"}, "[0].url: must be a URL, such as https://api.example.com/bellhop"),
        ({"url": "https://api..example.com/"}, "[0].url: must be a URL, such as https://api.example.com/bellhop"),
        ({"url": "ftp://h/"}, "[0].url: must be a URL, such as https://api.example.com/bellhop"),
        ({"url": "https://[::1/"}, "[0].url: must be a URL, such as https://api.example.com/bellhop"),
        ({"url": "https://h/ü"}, "[0].url: must be printable ASCII without spaces, at most 2000 characters"),
        (
            {"url": "https://me:word@h/"},
            "[0].url: must not contain a user or a password: the signature proves who sends",
        ),
        ({"types": []}, "[0].types: must not be empty"),
        ({"tenants": []}, "[0].tenants: must not be empty"),
        ({"secret": SECRET}, "[0].secret: is not a setting"),
    ],
)
def test_a_wrong_endpoint_is_one_sentence(problems, change, problem):
    assert problems(endpoints=[BACKEND | change]) == [f"BELLHOP_EVENT_ENDPOINTS{problem}"]


def test_an_unknown_type_of_event_lists_the_known_ones(problems):
    (problem,) = problems(endpoints=[BACKEND | {"types": ["ring.began"]}])
    assert problem.startswith("BELLHOP_EVENT_ENDPOINTS[0].types[0]: must be 'ring.reached', ")


@pytest.mark.parametrize("host", ["10.1.2.3", "127.0.0.1:4443", "[::1]", "[::ffff:10.1.2.3]", "169.254.169.254"])
def test_a_private_address_must_be_allowed(problems, host):
    (problem,) = problems(endpoints=[BACKEND | {"url": f"https://{host}/"}])
    assert problem.startswith(f"{NAME} has the address ")
    assert problem.endswith(", which is not public: add it to BELLHOP_EVENT_ALLOWED_NETWORKS")
    allowed = "10.0.0.0/8,127.0.0.0/8,::1,169.254.0.0/16"
    assert problems(endpoints=[BACKEND | {"url": f"http://{host}/"}], networks=allowed) == []


def test_without_allowed_networks_https_is_needed(problems):
    needed = "must have an https:// URL, or be in one of the allowed networks (BELLHOP_EVENT_ALLOWED_NETWORKS)"
    assert problems(endpoints=[BACKEND | {"url": "http://api.example.com/"}]) == [f"{NAME} {needed}"]


def test_endpoints_and_their_secrets_belong_together(problems):
    assert problems(endpoints=[BACKEND, BACKEND]) == [
        'BELLHOP_EVENT_ENDPOINTS: two endpoints have the name "backend": give each its own'
    ]
    assert problems(secrets={"backend": [SECRET], "other": [SECRET]}) == [
        'BELLHOP_EVENT_SECRETS: names the endpoint "other", which is not in the list of endpoints'
    ]
    assert problems(endpoints=[BACKEND | {"tenants": ["live"]}]) == [
        f"{NAME} names the Stream app live, which is not configured"
    ]


@pytest.mark.parametrize("secret", ["", "short", "whsec_", "whsec_c2hvcnQ=", "whsec_not base64", SECRET[6:]])
def test_a_wrong_secret_is_refused_and_not_shown(problems, secret):
    (problem,) = problems("worker", secrets={"backend": [secret]})
    assert problem.startswith("BELLHOP_EVENT_SECRETS.backend[0]: must be whsec_ and 24 to 64 random bytes in base64")
    assert len(secret) < 7 or secret not in problem


def test_secrets_are_not_shown_by_the_settings(problems):
    problems(secrets={"backend": [SECRET]})
    assert SECRET not in repr(load("web"))
