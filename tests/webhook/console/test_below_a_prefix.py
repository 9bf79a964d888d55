"""The console of a Bellhop that is mounted below a prefix: in another application, or by a proxy."""

import re

import pytest
from flask import Flask
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.test import Client

from tests.factories import web_settings
from webhook.app import create_app

PASSWORD = "a-password-for-support"
MOUNTED = {"path": "/calls", "headers": {}}
BEHIND_A_PROXY = {"path": "", "headers": {"X-Forwarded-Prefix": "/calls"}}


@pytest.fixture(params=[MOUNTED, BEHIND_A_PROXY], ids=["mounted", "behind a proxy"])
def browser(request, redis_url):
    """A browser of somebody who opens https://…/calls/console: `get` and `post` take the path after /calls."""
    hops = 0 if request.param is MOUNTED else 1
    app = create_app(web_settings(redis_url, console_password=PASSWORD, web_trusted_hops=hops))
    whole = DispatcherMiddleware(Flask("another application"), {"/calls": app}) if request.param is MOUNTED else app
    client, cookies = Client(whole, use_cookies=False), {}

    def send(path, **options):
        """Send a request as a browser does, through the proxy, which removes the prefix."""
        sent = {"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())}
        answer = client.open(request.param["path"] + path, headers=request.param["headers"] | sent, **options)
        for cookie in answer.headers.getlist("Set-Cookie"):
            name, _, value = cookie.partition(";")[0].partition("=")
            cookies[name] = value
        return answer

    return send


def test_one_can_log_in_and_comes_back_to_the_page(browser):
    to_login = browser("/console/service?x=1")
    assert (to_login.status_code, to_login.headers["Location"]) == (
        302,
        "/calls/console/login?next=/calls/console/service?x%3D1",
    )
    page = browser("/console/login?next=/calls/console/service")
    assert "Path=/calls/console" in page.headers["Set-Cookie"]
    token = re.search(r'name="token" value="([^"]+)"', page.text)[1]
    form = {"token": token, "password": PASSWORD, "next": "/calls/console/service"}
    logged_in = browser("/console/login", method="POST", data=form)
    assert (logged_in.status_code, logged_in.headers["Location"]) == (303, "/calls/console/service")
    assert "Path=/calls/console" in logged_in.headers["Set-Cookie"]
    service = browser("/console/service")
    assert service.status_code == 200
    assert 'href="/calls/console/' in service.text


@pytest.mark.parametrize("target", ["/console/service", "//evil.example/console/", "/calls//evil.example/", "/calls/x"])
def test_it_leads_to_no_page_outside_the_prefix(browser, target):
    page = browser("/console/login", query_string={"next": target})
    assert target not in page.text


@pytest.mark.parametrize("path", ["/calls//console/", "/calls/%63onsole/", "/c%61lls/console/", "/calls/console//x"])
def test_another_form_of_the_path_is_unknown(redis_url, path):
    app = create_app(web_settings(redis_url, console_proxy_header="X-Forwarded-User"))
    client = Client(DispatcherMiddleware(Flask("another application"), {"/calls": app}))
    sent = client.open(path, headers={"X-Forwarded-User": "admin"}, environ_overrides={"REQUEST_URI": path})
    assert sent.status_code == 404


def test_a_forged_prefix_makes_no_form_canonical(redis_url):
    app = create_app(web_settings(redis_url, console_proxy_header="X-Forwarded-User", web_trusted_hops=1))
    forged = {"X-Forwarded-User": "admin", "X-Forwarded-Prefix": "/con%73ole"}
    sent = Client(app).open("/con%73ole/", headers=forged, environ_overrides={"REQUEST_URI": "/con%73ole/"})
    assert sent.status_code == 404
