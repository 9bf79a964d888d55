"""Every answer of the web process, whatever it is, carries the headers that tie a browser's hands."""

import pytest

from tests.factories import web_settings
from webhook.app import create_app
from webhook.security_headers import HEADERS


@pytest.fixture(scope="module")
def app():
    """With everything switched on, and a Redis that is away."""
    return create_app(
        web_settings(
            "redis://127.0.0.1:1/0",
            metrics_token="a-token-of-no-real-app",
            mail_secret=["a-secret-of-no-real-app"],
            public_url="http://localhost",
            console_password="a-password-of-no-real-console",
        )
    )


def addresses(app):
    return sorted({rule.rule for rule in app.url_map.iter_rules() if "<" not in rule.rule})


def assert_hardened(answer):
    for name in HEADERS:
        assert len(answer.headers.get_all(name)) == 1, f"{answer.request.path} ({answer.status_code}): {name}"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    policy = answer.headers["Content-Security-Policy"].split("; ")
    assert {"default-src 'none'", "base-uri 'none'", "frame-ancestors 'none'"} <= set(policy)
    assert "sandbox" in policy or answer.mimetype not in ("application/json", "application/problem+json")
    assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_every_address_hardens_its_answers_and_its_refusals(app, method):
    client = app.test_client()
    answers = [client.open(address, method=method) for address in [*addresses(app), "/nowhere", "/v1/nowhere"]]
    assert len({answer.status_code for answer in answers}) > 2
    for answer in answers:
        assert_hardened(answer)


def test_every_text_says_its_encoding(app):
    for name in ("bell.svg", "console.css", "console.js"):
        with app.test_client().get(f"/console/static/{name}") as answer:  # this closes the file
            assert answer.content_type.endswith("; charset=utf-8")
    for address in addresses(app):
        answer = app.test_client().get(address)
        assert answer.mimetype.startswith("application/") or answer.content_type.endswith("; charset=utf-8"), address


@pytest.mark.parametrize("address", ["/healthz", "/console/login", "/v1/users/me", "/webhooks/stream"])
def test_no_address_answers_trace(app, address):
    assert app.test_client().open(address, method="TRACE").status_code in (404, 405)


def test_an_error_of_our_own_is_hardened_too(app):
    answer = app.test_client().get("/readyz")
    assert answer.status_code == 503
    assert_hardened(answer)


def test_what_is_about_somebody_is_never_kept_by_anybody(app):
    client = app.test_client()
    for address in ("/v1/calls/default:a", "/v1/users/me", "/unsubscribe/t", "/console", "/metrics", "/readyz"):
        assert client.get(address).headers["Cache-Control"] == "no-store", address


@pytest.mark.parametrize(
    ("headers", "strict"),
    [({}, False), ({"X-Forwarded-Proto": "http"}, False)]
    + [({"X-Forwarded-Proto": said}, True) for said in ("https", "HTTPS", "https, http")],
)
def test_with_https_browsers_use_nothing_else(app, headers, strict):
    for address in ("/healthz", "/nowhere", "/v1/nowhere", "/console/login"):
        said = app.test_client().get(address, headers=headers).headers.get("Strict-Transport-Security", "")
        assert said == ("max-age=31536000; includeSubDomains" if strict else "")
