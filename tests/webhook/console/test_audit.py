"""What operators do to a user's phones in the console, and the audit of all looks and changes."""

import json
import re

import pytest
from structlog.testing import capture_logs

from bellhop.console_audit import MOST_KEPT, AuditEntry, keep, read_audit
from bellhop.privacy.forgetting_people import forget
from bellhop.queue.names import RINGS
from bellhop.store.blocking_client import together
from bellhop.store.disabled_phones import read_disabled
from bellhop.store.keys import console_audit_key, rq_queue_key, user_key
from bellhop.store.registry import register
from bellhop.store.steps import run_blocking
from tests.factories import a_device, an_iphone
from tests.webhook.console.played_calls import token
from tests.webhook.console.test_lists_and_pages import words
from tests.webhook.console.test_roles import calls, client  # noqa: F401 - fixtures

PAGE = "/console/person?id=jane&tenant=beta"
PHONE = an_iphone("jane", name="Jane's iPhone", hardware_id="iphone-1")
PIXEL = a_device("jane", name="Jane's Pixel")


@pytest.fixture
def phones(redis_client):
    for device in (PHONE, PIXEL):
        run_blocking(register("beta", device), redis_client)


def send(browser, path, **form):
    return browser.post(f"/console/{path}", data={"token": token(browser.get(PAGE)), **form})


def audit(redis_client, tenant="beta"):
    return [(entry.by, entry.action, entry.user) for entry in reversed(read_audit(redis_client, tenant, 99))]


def test_an_operator_disables_a_phone_and_enables_it(client, phones, redis_client):  # noqa: F811
    operator, reader = client("beta-team"), client("beta-support")
    assert "Enable" not in operator.get(PAGE).text
    answer = send(operator, "person/phone?id=jane&tenant=beta", device=PHONE.key, switch="disable")
    assert (answer.status_code, answer.location) == (303, "/console/person?id=jane")
    run_blocking(register("beta", PHONE.model_copy(update={"registered_at": 2})), redis_client)
    text = words(reader.get(PAGE).text)
    assert "Disabled by an operator at" in text
    assert "Jane's iPhone: This phone was disabled by an operator at 20" in text
    assert set(read_disabled(redis_client.hget(user_key("beta", "jane"), "disabled"))) == {PHONE.key, "iphone-1"}
    assert send(operator, "person/phone?id=jane&tenant=beta", device="x", switch="enable").status_code == 404
    assert send(operator, "person/phone?id=ann&tenant=beta", device=PHONE.key).status_code == 404
    assert send(operator, "person/phone?id=jane&tenant=beta", device=PHONE.key, switch="enable").status_code == 303
    assert "Disabled by" not in reader.get(PAGE).text
    assert not redis_client.hexists(user_key("beta", "jane"), "disabled")
    changes = [entry for entry in audit(redis_client) if entry[1] in ("disable", "enable")]
    assert changes == [("beta-team", "disable", "jane"), ("beta-team", "enable", "jane")]


def test_an_operator_rings_the_phones_as_a_test(client, phones, redis_client, one_minute):  # noqa: F811
    operator = client("beta-team")
    answer = send(operator, "person/test-ring?id=jane&tenant=beta")
    assert answer.status_code == 303
    assert "jane: test of the phones" in words(operator.get("/console/").text)
    assert "test" in words(operator.get(answer.location).text)
    assert redis_client.llen(rq_queue_key(RINGS)) == 1
    assert [send(operator, "person/test-ring?id=jane&tenant=beta").status_code for _ in range(5)] == [303] * 4 + [429]
    assert send(operator, "person/test-ring?id=ann&tenant=beta").status_code == 404


def test_a_reader_changes_no_phone(client, phones, redis_client):  # noqa: F811
    reader = client("beta-support")
    page = words(reader.get(PAGE).text)
    assert "Jane's Pixel" in page
    for word in ("Ring these phones", "Disable", "Who looked"):
        assert word not in page
    for path in ("person/phone", "person/test-ring"):
        assert send(reader, f"{path}?id=jane&tenant=beta", device=PIXEL.key, switch="disable").status_code == 403
    assert not redis_client.hexists(user_key("beta", "jane"), "disabled")
    assert redis_client.llen(rq_queue_key(RINGS)) == 0
    assert reader.get("/console/audit").status_code == 403


def test_the_form_asks_whether_a_user_can_be_rung(client, phones, redis_client):  # noqa: F811
    reader = client("support")
    assert "Can this user be rung?" in reader.get("/console/person?tenant=beta").text
    redis_client.hset(user_key("beta", "jane"), "preferences", json.dumps({"never_from": ["tom"]}))
    text = words(reader.get(f"{PAGE}&caller=tom").text)
    assert "jane has blocked this caller." in text
    assert "This is about calls by tom." in text
    assert "blocked this caller" not in reader.get(f"{PAGE}&caller=ann").text


def test_each_look_at_a_person_and_each_change_is_noted(client, calls, phones, redis_client):  # noqa: F811
    reader, operator = client("support"), client("operator")
    with capture_logs() as lines:
        reader.get(PAGE)
        reader.get("/console/call?id=default:beta&tenant=beta&user=jane")
        reader.get("/console/?q=jane&tenant=beta")
        for refresh in ({"Sec-Fetch-Dest": "empty"}, {"X-Bellhop-Refresh": "1"}):  # it refreshes itself
            reader.get("/console/?q=jane&tenant=beta", headers=refresh)
        reader.get("/console/?tenant=beta")
        operator.get("/console/audit?tenant=beta&user=jane")
    looks = [entry for entry in lines if entry["event"] == "console_audit"]
    assert [(entry["by"], entry["action"], entry.get("call")) for entry in looks] == [
        ("support", "person", None),
        ("support", "call", "default:beta"),
        ("support", "search", None),
        ("console-password", "audit", None),
    ]
    assert {entry["tenant"] for entry in looks} == {"beta"}
    assert "jane" not in str(lines), "a log line has a hash in the place of the id"
    page = operator.get("/console/audit?tenant=beta&user=jane").text
    assert looks[0]["person"] == looks[1]["person"] == re.search(r"person=(\w+)", page)[1]
    assert "support looked at a user jane" in words(page)
    assert "searched for calls" not in page, "a search is not about a known person"
    assert "searched for calls" in operator.get("/console/audit?tenant=beta").text
    assert audit(redis_client, "acme") == []


def test_nothing_of_other_apps_or_of_the_installation_is_shown(client, redis_client):  # noqa: F811
    operator, beta = client("operator"), client("beta-team")
    send(operator, "logout-all")
    operator, beta = client("operator"), client("beta-team")
    operator.get("/console/person?id=secret-user&tenant=acme")
    assert "secret-user" in operator.get("/console/audit?tenant=acme").text
    assert "logged everybody out" in operator.get("/console/audit").text
    page = beta.get("/console/audit").text
    assert "secret-user" not in page
    assert "logged everybody out" not in page
    assert beta.get("/console/audit?tenant=acme").status_code == 404


def test_the_audit_is_bounded_and_forgets_people(client, redis_client):  # noqa: F811
    operator = client("operator")
    operator.get(PAGE)
    context = operator.application.extensions["context"]
    person = forget(lambda *commands: together(redis_client, *commands), context.run, "beta", "jane")
    context.intake.forgotten.read(redis_client)
    operator.get(PAGE)  # somebody looks again: this must not bring the id back
    assert audit(redis_client)[-1] == ("console-password", "person", person.pseudonym)
    old = AuditEntry(1, "a", "password", "person", user="old")
    now = AuditEntry(context.now(), "a", "password", "person", user="new")
    together(redis_client, *keep("beta", old), *keep("beta", now))
    assert {entry.user for entry in read_audit(redis_client, "beta", 99)} == {"jane", person.pseudonym, "new"}
    redis_client.zadd(console_audit_key("beta"), {f"unreadable {number}": now.at for number in range(MOST_KEPT)})
    together(redis_client, *keep("beta", now))
    assert redis_client.zcard(console_audit_key("beta")) == MOST_KEPT
    assert operator.get("/console/audit?tenant=beta").status_code == 200
