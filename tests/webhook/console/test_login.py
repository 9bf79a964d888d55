"""Who gets into the console, and what its cookie, forms and headers are worth to anybody else."""

import json
import re
import time

import pytest
from flask.sessions import SecureCookieSessionInterface
from structlog.testing import capture_logs

from bellhop.settings import ConfigurationError, load, soon_refused, warn_of_soon_refused
from bellhop.store.keys import CONSOLE_LOGINS, console_attempts_key
from bellhop.telemetry import metrics
from bellhop.telemetry.metrics import Tally
from tests.factories import web_settings
from webhook.app import create_app

PASSWORD = "open sesame, console"
HEADER = "X-Forwarded-User"
PAGES = ["/console/", "/console/call?id=default:1", "/console/person?id=ben", "/console/service", "/console/failed"]


@pytest.fixture
def make(redis_url):
    """Make an application as one of its web processes would."""

    def make(**settings):
        return create_app(web_settings(redis_url, **{"stream_api_secret": ["stream's secret"]} | settings))

    return make


@pytest.fixture
def browser(make):
    return make(console_password=PASSWORD).test_client()


def token(browser, page="/console/login"):
    return re.search(r'name="token" value="([^"]+)"', browser.get(page).text)[1]


def log_in(browser, password=PASSWORD, **options):
    form = {"token": token(browser), "password": password, "next": options.pop("next", "")}
    return browser.post("/console/login", data=form, **options)


@pytest.mark.parametrize("path", [*PAGES, "/console", "/console/login", "/console/static/console.css"])
def test_there_is_no_console_until_it_is_configured(make, path):
    assert make().test_client().get(path).status_code == 404


@pytest.mark.parametrize("page", PAGES)
def test_a_stranger_is_sent_to_the_login_and_back_again(browser, page):
    answer = browser.get(page)
    assert (answer.status_code, answer.location.split("?")[0]) == (302, "/console/login")
    target = re.search(r'name="next" value="([^"]+)"', browser.get(answer.location).text)[1]
    assert log_in(browser, next=target).location == page


def test_the_password_opens_every_page(browser):
    assert log_in(browser).status_code == 303
    assert [browser.get(page).status_code for page in PAGES] == [200, 404, 200, 200, 200]


@pytest.mark.parametrize(
    "password", ["", "open sesame", PASSWORD + " ", PASSWORD.upper(), "pâsswörd", "\udcff", "x" * 9999]
)
def test_another_password_does_not(browser, password):
    assert log_in(browser, password.encode("utf-8", "surrogateescape")).status_code == 401
    assert browser.get("/console/").status_code == 302


def test_only_the_client_that_guesses_has_to_wait(browser, make):
    assert [log_in(browser, "wrong").status_code for _ in range(11)] == [401] * 10 + [429]
    refused = log_in(browser)
    assert refused.status_code == 429
    assert 0 < int(refused.headers["Retry-After"]) <= 900
    elsewhere = {"environ_base": {"REMOTE_ADDR": "192.0.2.7"}}
    assert log_in(make(console_password=PASSWORD).test_client(), **elsewhere).status_code == 303


def test_a_count_of_attempts_always_expires(browser, redis_client):
    """It may expire right before it is counted up."""
    attempts = console_attempts_key("127.0.0.1")
    redis_client.set(attempts, 10)
    assert log_in(browser).status_code == 429
    assert 0 < redis_client.ttl(attempts) <= 900


def test_the_log_says_why_a_login_failed_but_no_password(browser):
    with capture_logs() as lines:
        for password in [*["a typo"] * 10, PASSWORD]:
            log_in(browser, password)
    client = {"address": "127.0.0.1"}
    failed = {"event": "console_login_failed", "log_level": "warning", "reason": "wrong_password", **client}
    refused = {"event": "console_login_refused", "log_level": "warning", "reason": "too_many_attempts", **client}
    assert lines == [*[failed] * 10, refused]


def test_the_right_password_makes_up_for_wrong_ones(browser):
    for _ in range(3):
        assert [log_in(browser, "wrong").status_code for _ in range(5)] == [401] * 5
        assert log_in(browser).status_code == 303
        browser.post("/console/logout", data={"token": token(browser, "/console/")})


def test_a_head_request_for_the_login_page_counts_as_no_attempt(browser):
    assert [browser.head("/console/login").status_code for _ in range(11)] == [200] * 11
    assert log_in(browser).status_code == 303


def test_an_address_cannot_be_forged_to_guess_on(make):
    client = make(console_password=PASSWORD).test_client()
    far = {"environ_base": {"REMOTE_ADDR": "192.0.2.7"}}
    statuses = [
        log_in(client, "wrong", headers={"X-Forwarded-For": f"198.51.100.{number}"}, **far).status_code
        for number in range(11)
    ]
    assert statuses[-1] == 429


def test_behind_trusted_proxies_each_client_has_its_own_attempts(make):
    client = make(console_password=PASSWORD, web_trusted_hops=1).test_client()
    statuses = [
        log_in(client, "wrong", headers={"X-Forwarded-For": f"198.51.100.{number}"}).status_code for number in range(11)
    ]
    assert statuses == [401] * 11


def test_a_client_cannot_claim_the_address_of_the_proxy(make):
    client = make(console_proxy_header=HEADER, web_trusted_hops=1).test_client()
    forged = {HEADER: "admin", "X-Forwarded-For": "127.0.0.1"}
    assert client.get("/console/", headers=forged, environ_base={"REMOTE_ADDR": "192.0.2.7"}).status_code == 403
    real = {HEADER: "sara", "X-Forwarded-For": "198.51.100.1"}
    assert client.get("/console/", headers=real).status_code == 200


@pytest.mark.parametrize("target", ["/console/x\n", "/console/x\r\nSet-Cookie: a=b", "/console/\\evil.example"])
def test_a_page_that_no_header_can_hold_is_not_gone_to(make, target):
    client = make(console_password=PASSWORD).test_client()
    assert log_in(client, next=target).location == "/console/"
    answer = client.get("/console/login", query_string={"next": target})
    assert (answer.status_code, answer.location) == (303, "/console/")


def test_the_addresses_of_one_ipv6_network_are_one_guesser(make):
    client = make(console_password=PASSWORD).test_client()
    statuses = [
        log_in(client, "wrong", environ_base={"REMOTE_ADDR": f"2001:db8::{number:x}"}).status_code
        for number in range(11)
    ]
    assert statuses[-1] == 429


@pytest.mark.parametrize("form", ["::ffff:{}", "{}:41234"])
def test_all_spellings_of_an_ipv4_address_are_one_client(make, form):
    client = make(console_password=PASSWORD).test_client()
    guesser = {"environ_base": {"REMOTE_ADDR": form.format("192.0.2.66")}}
    assert [log_in(client, "wrong", **guesser).status_code for _ in range(11)][-1] == 429
    assert log_in(client, environ_base={"REMOTE_ADDR": "192.0.2.66"}).status_code == 429
    assert log_in(client, environ_base={"REMOTE_ADDR": form.format("192.0.2.77")}).status_code == 303


HTTPS = {"X-Forwarded-Proto": "https"}


def test_with_https_the_cookies_name_says_so(make):
    client = make(console_password=PASSWORD).test_client()
    assert client.get("/console/login", headers=HTTPS).headers["Set-Cookie"].startswith("__Secure-bellhop_console=")
    assert client.get("/console/login").headers["Set-Cookie"].startswith("bellhop_console=")


def test_with_https_a_login_is_one_too(make):
    client = make(console_password=PASSWORD).test_client()
    page = client.get("/console/login", headers=HTTPS, base_url="https://localhost").text
    form = {"token": re.search(r'name="token" value="([^"]+)"', page)[1], "password": PASSWORD}
    assert client.post("/console/login", data=form, base_url="https://localhost").status_code == 303
    assert client.get("/console/", base_url="https://localhost").status_code == 200
    assert client.get("/console/").status_code == 302, "without https the browser sends no such cookie"


def test_a_login_that_nobody_uses_ends(make, redis_client):
    client = make(console_password=PASSWORD, console_idle_s=600).test_client()
    log_in(client)
    (login,) = redis_client.scan_iter("bellhop:console:login:*")
    redis_client.expire(login, 100)
    for refresh in ({"Sec-Fetch-Dest": "empty"}, {"X-Bellhop-Refresh": "1"}):  # the list refreshes itself
        client.get("/console/", headers=refresh)
        assert redis_client.ttl(login) <= 100
    client.get("/console/service")
    assert 590 < redis_client.ttl(login) <= 600
    redis_client.delete(login)
    assert client.get("/console/").status_code == 302


def test_a_login_ends_after_half_a_day_however_it_is_used(make, redis_client):
    client = make(console_password=PASSWORD).test_client()
    log_in(client)
    (login,) = redis_client.scan_iter("bellhop:console:login:*")
    redis_client.set(login, int(time.time()) + 50)
    assert client.get("/console/").status_code == 200
    assert redis_client.ttl(login) <= 50
    redis_client.set(login, int(time.time()) - 1)
    assert client.get("/console/").status_code == 302


def test_a_login_of_the_older_version_is_valid_for_its_time(make, redis_client):
    client = make(console_password=PASSWORD).test_client()
    log_in(client)
    (login,) = redis_client.scan_iter("bellhop:console:login:*")
    redis_client.set(login, 1, ex=9_000)
    assert client.get("/console/").status_code == 200
    assert redis_client.ttl(login) > 8_900


def test_everybody_can_be_logged_out_at_once(make, redis_client):
    first, second, third = (make(console_password=PASSWORD).test_client() for _ in range(3))
    for client in (first, second, third):
        log_in(client)
    third.post("/console/logout", data={"token": token(third, "/console/")})
    page = first.get("/console/service").text
    assert "2 logins with the password are valid." in page
    assert first.post("/console/logout-all").status_code == 403, "the form needs its token"
    with capture_logs() as lines:
        answer = first.post("/console/logout-all", data={"token": token(first, "/console/service")})
    assert (answer.status_code, answer.location) == (303, "/console/login")
    assert [client.get("/console/").status_code for client in (first, second)] == [302, 302]
    assert lines[0]["event"] == "console_logout_all"
    assert list(redis_client.scan_iter("bellhop:console:login*")) == []


def test_a_new_login_ends_the_one_before(browser, make, redis_client):
    log_in(browser)
    copy = make(console_password=PASSWORD).test_client()
    copy.set_cookie("bellhop_console", browser.get_cookie("bellhop_console", path="/console").value, path="/console")
    assert copy.get("/console/").status_code == 200
    browser.post("/console/login", data={"token": token(browser, "/console/"), "password": PASSWORD})
    assert (browser.get("/console/").status_code, copy.get("/console/").status_code) == (200, 302)
    assert redis_client.zcard(CONSOLE_LOGINS) == 1


def test_logins_that_have_ended_leave_the_list(make, redis_client):
    client = make(console_password=PASSWORD).test_client()
    redis_client.zadd(CONSOLE_LOGINS, {"ended": int(time.time()) - 1, "valid": int(time.time()) + 60})
    log_in(client)
    listed = redis_client.zrange(CONSOLE_LOGINS, 0, -1)
    assert (len(listed), b"ended" in listed, b"valid" in listed) == (2, False, True)


@pytest.mark.parametrize("path", ["/console/logout", "/console/logout-all"])
def test_after_a_logout_the_browser_forgets_the_pages(browser, path):
    log_in(browser)
    answer = browser.post(path, data={"token": token(browser, "/console/")})
    assert answer.headers["Clear-Site-Data"] == '"cache"'


@pytest.mark.parametrize(
    "password",
    [
        *("passwordpassword", "Password123456", "P@ssw0rd!2024", "bellhop-console-2026", "admin administrator"),
        *("aaaaaaaaaaaa", "abababababab", "123456789012", "abcdefghijkl", "qwertyuiop123", "1q2w3e4r5t6y"),
        *("changeme2025!", "letmein letmein", "my-company-secret", "Passwort12345", "987654321098"),
    ],
)
def test_a_password_that_is_easily_guessed_is_warned_of(monkeypatch, password):
    monkeypatch.setenv("BELLHOP_CONSOLE_PASSWORD", password)
    (sentence,) = soon_refused(load())
    assert "BELLHOP_CONSOLE_PASSWORD is easily guessed" in sentence
    assert password not in sentence


@pytest.mark.parametrize(
    "password",
    [
        *(
            "open sesame, console",
            "kX3v9-Qm2tLw7z",
            "correct horse battery staple",
            "839201748392",
            "Zürich im Regen 7",
        ),
        *("dGhpcyBpcyBub3QgcmFuZG9t", "a-password-of-no-real-console", "🦊🐢🦉🐙🦀🐝🐞🦋🐌🐚🐡🐬"),
    ],
)
def test_another_password_is_not_warned_of(monkeypatch, password):
    monkeypatch.setenv("BELLHOP_CONSOLE_PASSWORD", password)
    assert list(soon_refused(load())) == []


def test_a_cookie_is_worth_nothing_after_logging_out(browser):
    log_in(browser)
    kept = browser.get_cookie("bellhop_console", path="/console").value
    assert browser.post("/console/logout", data={"token": token(browser, "/console/")}).status_code == 303
    browser.set_cookie("bellhop_console", kept, path="/console")
    assert browser.get("/console/").status_code == 302


def test_a_login_is_valid_in_every_web_process_for_half_a_day(browser, make, redis_client):
    log_in(browser)
    other = make(console_password=PASSWORD).test_client()
    other.set_cookie("bellhop_console", browser.get_cookie("bellhop_console", path="/console").value, path="/console")
    assert other.get("/console/").status_code == 200
    (login,) = redis_client.scan_iter("bellhop:console:login:*")
    assert 0 < redis_client.ttl(login) <= 12 * 3600
    redis_client.delete(login)
    assert other.get("/console/").status_code == 302


def test_a_new_password_ends_every_login(browser, make):
    log_in(browser)
    cookie = browser.get_cookie("bellhop_console", path="/console").value
    changed = make(console_password="another password").test_client()
    changed.set_cookie("bellhop_console", cookie, path="/console")
    assert changed.get("/console/").status_code == 302


def test_a_cookie_does_not_let_anybody_try_passwords_at_home(browser, make):
    browser.get("/console/login")
    cookie = browser.get_cookie("bellhop_console", path="/console").value
    own = make(console_password=PASSWORD, stream_api_secret=["a secret of somebody else"])
    serializer = SecureCookieSessionInterface().get_signing_serializer(own)
    assert serializer.loads_unsafe(cookie)[0] is False


def test_a_cookie_from_before_the_login_is_worthless_after_it(browser):
    before = token(browser)
    log_in(browser)
    assert browser.post("/console/logout", data={"token": before}).status_code == 403


def test_the_cookie_is_kept_from_scripts_and_other_sites(browser, make):
    plain = log_in(browser).headers["Set-Cookie"]
    assert {"HttpOnly", "Path=/console", "SameSite=Strict"} <= set(plain.split("; "))
    assert "Secure" not in plain
    assert (
        "Secure"
        in make(console_password=PASSWORD)
        .test_client()
        .get("/console/login", base_url="https://localhost")
        .headers["Set-Cookie"]
    )


def test_the_cookie_is_secure_behind_a_proxy_that_speaks_https(make):
    client = make(console_password=PASSWORD).test_client()
    assert "Secure" in client.get("/console/login", headers={"X-Forwarded-Proto": "https"}).headers["Set-Cookie"]


@pytest.mark.parametrize("path", ["/console/login", "/console/logout", "/console/failed"])
@pytest.mark.parametrize("form", [{}, {"token": ""}, {"token": "guessed"}, {"token": "é"}])
def test_no_form_is_taken_that_the_console_did_not_show(browser, path, form):
    log_in(browser)
    assert browser.post(path, data={"password": PASSWORD, "job": "x", **form}).status_code == 403


def test_a_form_of_another_browser_is_not_taken(browser, make):
    log_in(browser)
    other = make(console_password=PASSWORD).test_client()
    log_in(other)
    assert browser.post("/console/logout", data={"token": token(other, "/console/")}).status_code == 403


@pytest.mark.parametrize(
    "target",
    ["https://evil.example", "//evil.example", "/console/\\evil", "/v1/users", "/console/login", "javascript:x"],
)
def test_the_login_leads_nowhere_but_into_the_console(browser, target):
    assert log_in(browser, next=target).location == "/console/"


def test_a_link_from_another_site_finds_the_login_again(browser):
    # The cookie is not sent along with it: the page looks again by itself, as a page of this site.
    assert 'http-equiv="refresh"' in browser.get("/console/login", headers={"Sec-Fetch-Site": "cross-site"}).text
    assert 'http-equiv="refresh"' not in browser.get("/console/login", headers={"Sec-Fetch-Site": "same-origin"}).text


@pytest.mark.parametrize("page", ["/console/login", "/console/", "/console/static/console.js", "/console/call?id=x"])
def test_every_page_keeps_other_sites_out(browser, page):
    log_in(browser)
    headers = browser.get(page, buffered=True).headers
    policy = dict(part.split(" ", 1) for part in headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["form-action"] == "'self'"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert page.startswith("/console/static") or headers["Cache-Control"] == "no-store"


def test_whom_the_proxy_has_logged_in_needs_no_password(make):
    client = make(console_proxy_header=HEADER).test_client()
    answer = client.get("/console/", headers={HEADER: "sara@example.com"})
    assert answer.status_code == 200
    assert "Signed in as <bdi>sara@example.com</bdi>" in answer.text
    assert "Log out" not in answer.text


@pytest.mark.parametrize("name", ["", " ", "\x01", "admin,sara"])
def test_a_proxy_that_names_nobody_lets_nobody_in(make, name):
    assert make(console_proxy_header=HEADER).test_client().get("/console/", headers={HEADER: name}).status_code == 403


@pytest.mark.parametrize("address", ["192.0.2.7", "10.0.0.1", "::ffff:192.0.2.7", "2001:db8::1", "", "unix:"])
def test_the_proxys_header_is_believed_from_the_proxy_alone(make, address):
    client = make(console_proxy_header=HEADER).test_client()
    forged = {HEADER: "admin", "X-Forwarded-For": "127.0.0.1", "Forwarded": "for=127.0.0.1"}
    assert client.get("/console/", headers=forged, environ_base={"REMOTE_ADDR": address}).status_code == 403


@pytest.mark.parametrize("address", ["10.1.2.3", "::ffff:10.1.2.3", "192.0.2.1"])
def test_proxies_elsewhere_may_be_trusted_too(make, address):
    client = make(console_proxy_header=HEADER, console_trusted_proxies=["10.0.0.0/8", "192.0.2.1"]).test_client()
    answer = client.get("/console/", headers={HEADER: "sara"}, environ_base={"REMOTE_ADDR": address})
    assert answer.status_code == 200


SECRET = "only the proxy knows this"


@pytest.mark.parametrize("given", ["", SECRET[:-1], SECRET.upper(), "pâsswörd", f"x,{SECRET}"])
def test_with_a_secret_the_proxy_must_send_it(make, given):
    client = make(console_proxy_header=HEADER, console_proxy_secret=SECRET).test_client()
    forged = {HEADER: "admin"} | ({"X-Bellhop-Proxy-Secret": given} if given else {})
    assert client.get("/console/", headers=forged).status_code == 403
    far = {"environ_base": {"REMOTE_ADDR": "192.0.2.7"}}
    told = {HEADER: "sara", "X-Bellhop-Proxy-Secret": SECRET}
    assert client.get("/console/", headers=told, **far).status_code == 200


def test_with_a_secret_and_a_named_proxy_both_are_needed(make):
    named = {"console_proxy_secret": SECRET, "console_trusted_proxies": ["10.0.0.1"]}
    client = make(console_proxy_header=HEADER, **named).test_client()
    told = {HEADER: "sara", "X-Bellhop-Proxy-Secret": SECRET}
    assert client.get("/console/", headers=told).status_code == 403
    assert client.get("/console/", headers=told, environ_base={"REMOTE_ADDR": "10.0.0.1"}).status_code == 200


@pytest.mark.parametrize(
    ("named", "warned"),
    [({}, True), ({"CONSOLE_PROXY_SECRET": SECRET}, False), ({"CONSOLE_TRUSTED_PROXIES": "::1"}, False)],
)
def test_a_proxy_that_nobody_named_is_warned_of(monkeypatch, named, warned):
    for name, value in {"CONSOLE_PROXY_HEADER": HEADER, **named}.items():
        monkeypatch.setenv(f"BELLHOP_{name}", value)
    settings = load()
    with capture_logs() as lines:
        warn_of_soon_refused(soon_refused(settings))
    assert [line["event"] for line in lines] == ["setting_soon_refused"] * warned
    assert all("BELLHOP_CONSOLE_PROXY_SECRET" in sentence for sentence in soon_refused(settings))


def test_with_a_proxy_forms_are_guarded_as_well(make):
    client = make(console_proxy_header=HEADER).test_client()
    assert client.post("/console/failed", data={"job": "x"}, headers={HEADER: "sara"}).status_code == 403


def test_without_the_proxy_the_password_still_opens(make):
    client = make(console_proxy_header=HEADER, console_password=PASSWORD).test_client()
    assert client.get("/console/").status_code == 302
    assert log_in(client).status_code == 303


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("CONSOLE_PASSWORD", "short"),
        ("CONSOLE_PROXY_HEADER", "User-Agent"),
        ("CONSOLE_PROXY_HEADER", "X Forwarded User"),
        ("CONSOLE_TRUSTED_PROXIES", "example.com"),
    ],
)
def test_settings_that_would_let_anybody_in_are_refused_by_name(monkeypatch, variable, value):
    monkeypatch.setenv("BELLHOP_" + variable, value)
    with pytest.raises(ConfigurationError, match=variable) as refused:
        load()
    assert variable != "CONSOLE_PASSWORD" or value not in str(refused.value).replace("too short", "")


def test_logins_and_refusals_are_counted(browser, monkeypatch):
    monkeypatch.setattr(metrics, "TALLY", tally := Tally())
    for page in ("/console/login", "/console/logout"):
        browser.post(page, data={"password": PASSWORD})
    log_in(browser, "wrong")
    log_in(browser)
    with capture_logs() as lines:
        browser.post("/console/logout", data={"token": token(browser, "/console/")})
    assert lines == [{"event": "console_logout", "log_level": "info", "address": "127.0.0.1"}]
    args = tally.flush().args
    counted = {tuple(json.loads(sample)): int(amount) for sample, amount in zip(args[-8::2], args[-7::2], strict=True)}
    assert counted == {
        ("bellhop_requests_refused_total", "console", "bad_form"): 2,
        **{("bellhop_console_logins_total", event): 1 for event in ("wrong_password", "login", "logout")},
    }


def test_no_form_is_read_that_is_longer_than_the_consoles(browser):
    fields = "&".join(f"a{number}=b" for number in range(60_000))
    answer = browser.post("/console/login", data=fields, content_type="application/x-www-form-urlencoded")
    assert answer.status_code == 413


def test_a_page_reports_that_redis_does_not_answer(redis_url):
    app = create_app(web_settings("redis://127.0.0.1:1/0", console_proxy_header=HEADER))
    answer = app.test_client().get("/console/", headers={HEADER: "sara"})
    assert answer.status_code == 503
    assert "Redis does not answer" in answer.text
