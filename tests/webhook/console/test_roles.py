"""What a login to the console may see and do: readers and operators, of all Stream apps or of some."""

import re
import time

import pytest
from structlog.testing import capture_logs

from bellhop.queue.names import NOTICE_JOB, NOTICES
from bellhop.settings import ConfigurationError, load
from bellhop.settings.console import ConsoleGroup, ConsoleRole
from bellhop.store.keys import calls_key, calls_of_user_key, trail_key
from bellhop.trail import WebhookReceived
from tests.factories import web_settings
from tests.trails import line
from tests.webhook.console.played_calls import PASSWORD, token
from tests.webhook.console.test_failed_jobs_page import fail  # noqa: F401 - a fixture
from tests.webhook.console.test_lists_and_pages import words
from webhook.app import create_app
from webhook.console.rights import LoginWay, new_login, proxy_name, rights_of_groups

APPS = [
    {"tenant": name, "api_keys": [f"key-{name}"], "api_secrets": [f"secret of {name}"]} for name in ("acme", "beta")
]
LOGINS = [
    {"name": "support", "password": "reads all of it, 123"},
    {"name": "beta-support", "password": "reads beta only, 456", "tenants": ["beta"]},
    {"name": "beta-team", "password": "operates beta, 789", "role": "operator", "tenants": ["beta"]},
]
GROUPS = [
    {"group": "staff"},
    {"group": "beta ops", "role": "operator", "tenants": ["beta"]},
]
PROXY = {"console_proxy_header": "X-User", "console_groups_header": "X-Groups", "console_groups": GROUPS}


@pytest.fixture
def client(redis_url):
    """Make a client of an installation with two Stream apps; with a name, logged in under it."""

    def client(name="", **settings):
        own = {"stream_api_key": [], "stream_api_secret": [], "stream_apps": APPS}
        logins = {"console_password": PASSWORD, "console_logins": LOGINS}
        client = create_app(web_settings(redis_url, **own, **(settings or logins))).test_client()
        if name:
            password = next((login["password"] for login in LOGINS if login["name"] == name), PASSWORD)
            client.post("/console/login", data={"token": token(client.get("/console/login")), "password": password})
        return client

    return client


@pytest.fixture
def calls(redis_client):
    """Have one call of jane in each Stream app."""
    at = int(time.time() * 1e6) - 60_000_000
    for app in ("acme", "beta"):
        ring = line(WebhookReceived, at, type="call.ring", stamp=at, round=at, users=["jane"], callers=["ann"])
        redis_client.rpush(trail_key(app, f"default:{app}"), ring)
        for key in (calls_key(app), calls_of_user_key(app, "jane")):
            redis_client.zadd(key, {f"default:{app}": at})


def forms(page):
    """Return the addresses of the page's forms that change something, without logging out."""
    found = re.findall(r'<form[^>]*method="post"[^>]*?(?: action="([^"]*)")?>', page)
    return set(found) - {"/console/logout"}


def test_the_higher_role_counts_for_each_stream_app():
    tenants = ["acme", "beta"]
    groups = [ConsoleGroup(**group) for group in GROUPS]
    for header, roles in (
        ("", {}),
        ("staff", {"acme": "reader", "beta": "reader"}),
        ("others, beta ops ,x", {"beta": "operator"}),
        ("beta ops,staff", {"acme": "reader", "beta": "operator"}),
        ("STAFF", {}),
    ):
        login = new_login("sara", LoginWay.PROXY, rights_of_groups(header, groups), tenants)
        assert login.roles == roles, header
        assert login.sees_all == (len(roles) == 2)
        assert not login.operates_all
        assert login.operates("beta") == (roles.get("beta") == ConsoleRole.OPERATOR)
    assert [proxy_name(name) for name in (" sara ", "a,b", "\x01")] == ["sara", "", ""]


def test_a_reader_sees_everything_but_no_buttons(client, calls, fail):  # noqa: F811
    fail(payload={"v": 1, "tenant": "acme", "cid": "default:acme"})
    reader, operator = client("support"), client("operator")
    for path in ("/console/", "/console/service", "/console/failed", "/console/call?id=default:acme"):
        page, full = reader.get(path), operator.get(path)
        assert page.status_code == full.status_code == 200
        assert forms(page.text) == set(), path
        assert forms(full.text), path
        assert "Signed in as support (reader)" in words(page.text)
        assert "Signed in" not in full.text
    form = {"token": token(reader.get("/console/")), "job": "job"}
    with capture_logs() as lines:
        for path in ("service/check", "logout-all", "failed", "call?id=default:acme"):
            answer = reader.post(f"/console/{path}", data=form)
            assert answer.status_code == 403, path
            assert "Your login may look at this, but not change it." in answer.text
    assert {entry["reason"] for entry in lines} == {"not_operator"}
    assert reader.post("/console/logout", data=form).status_code == 303
    assert reader.get("/console/").status_code == 302


def test_another_stream_app_is_nowhere_to_be_seen(client, calls, fail, redis_client):  # noqa: F811
    for app in ("acme", "beta"):
        fail(f"job-{app}", payload={"v": 1, "tenant": app, "cid": f"default:{app}", "started_at": 1})
    fail("job-unreadable", name="nothing of ours")
    beta = client("beta-support")
    paths = ("/", "/?q=jane", "/?show=failed", "/person?id=jane", "/service", "/failed")
    for path in paths:
        page = beta.get(f"/console{path}")
        assert page.status_code == 200
        assert "acme" not in page.text, path
        assert "badge bad" not in page.text or path == "/failed"
    assert "Nothing found for “default:acme”" in words(beta.get("/console/?q=default:acme").text)
    assert "default:beta" in beta.get("/console/").text
    assert "job-beta" in beta.get("/console/failed").text
    for path in ("/", "/person?id=jane", "/call?id=default:acme"):
        hidden, unknown = (
            beta.get(f"/console{path}{'&' if '?' in path else '?'}tenant={name}") for name in ("acme", "x")
        )
        assert hidden.status_code == unknown.status_code == 404
        assert hidden.text.replace("acme", "x") == unknown.text.replace("acme", "x")
    assert beta.get("/console/call?id=default:acme").status_code == 404


def test_an_operator_of_one_stream_app_changes_only_it(client, calls, fail, redis_client):  # noqa: F811
    for app in ("acme", "beta"):
        fail(f"job-{app}", name=NOTICE_JOB, payload={"v": 1, "tenant": app, "cid": f"default:{app}", "started_at": 1})
    beta = client("beta-team")
    assert "Signed in as beta-team (operator)" in words(beta.get("/console/failed").text)
    form = {"token": token(beta.get("/console/failed"))}
    assert beta.post("/console/failed", data={**form, "job": "job-acme"}).status_code == 404
    page = beta.post("/console/failed", data={**form, "job": "all"}).text
    assert page.count("Not run again: too old") == 1, "the job of beta alone was tried"
    assert redis_client.zcard(f"rq:failed:{NOTICES}") == 2
    assert beta.post("/console/call?id=default:acme&tenant=acme", data=form).status_code == 404
    for path in ("service/check", "logout-all"):
        assert beta.post(f"/console/{path}", data=form).status_code == 403


def test_the_proxys_groups_give_rights(client):
    proxied = client(**PROXY)
    for groups, status in (("staff", 200), ("beta ops", 200), ("", 403), ("guests", 403)):
        answer = proxied.get("/console/", headers={"X-User": "sara", "X-Groups": groups})
        assert answer.status_code == status, groups
    assert "None of your groups may use Bellhop" in answer.text
    both = proxied.get("/console/", headers={"X-User": "sara", "X-Groups": "staff,beta ops"}).text
    assert "Signed in as sara (operator of some apps)" in words(both)
    assert proxied.get("/console/", headers={"X-Groups": "staff"}).status_code == 403


def test_the_proxys_names_are_utf_8(client):
    proxied = client(**PROXY | {"console_groups": [{"group": "Équipe"}]})
    headers = {"X-User": "Łukasz", "X-Groups": "Équipe"}
    answer = proxied.get("/console/", headers={name: text.encode().decode("latin-1") for name, text in headers.items()})
    assert answer.status_code == 200
    assert "Signed in as Łukasz" in words(answer.text)
    assert proxied.get("/console/", headers=headers | {"X-User": "Zo\xeb"}).status_code == 200, "Latin-1, too"


def test_a_login_that_is_no_longer_set_has_ended(client):
    used = client("support")
    cookie = used.get_cookie("bellhop_console", path="/console").value
    for kept, status in ((LOGINS, 200), (LOGINS[1:], 302), ([], 302)):
        other = client(console_password=PASSWORD, console_logins=kept)
        other.set_cookie("bellhop_console", cookie, path="/console")
        assert other.get("/console/").status_code == status


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"LOGINS": '[{"name": "a", "password": "short"}]'}, "too short"),
        ({"LOGINS": '[{"name": "a", "password": "long enough, one", "role": "admin"}]'}, "role"),
        ({"LOGINS": '[{"name": "a", "password": "long enough, one", "tenants": ["x"]}]'}, "names the Stream app x"),
        (
            {"LOGINS": '[{"name": "a", "password": "long enough, one"}]', "PASSWORD": "long enough, one"},
            "has the password",
        ),
        ({"GROUPS": '[{"group": "a"}]'}, "need each other"),
        ({"GROUPS": '[{"group": "a"}]', "GROUPS_HEADER": "X-Groups"}, "needs BELLHOP_CONSOLE_PROXY_HEADER"),
    ],
)
def test_rights_that_contradict_a_setting_are_refused(monkeypatch, settings, said):
    for name, value in {"STREAM_API_KEY": "key", "STREAM_API_SECRET": "secret"}.items():
        monkeypatch.setenv(f"BELLHOP_{name}", value)
    for name, value in settings.items():
        monkeypatch.setenv(f"BELLHOP_CONSOLE_{name}", value)
    with pytest.raises(ConfigurationError, match=said):
        load("web")
