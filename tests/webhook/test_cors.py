"""Web pages of allowed origins may register devices, send receipts and read the key; no other page may."""

import pytest

from tests.factories import PUBLIC_KEY_OF_1, web_settings
from webhook.app import create_app

PAGE = "https://app.example.com"
ROUTES = ["/v1/receipts", "/v1/web-push/key", "/v1/users/me/devices", "/v1/users/me/devices/0123456789abcdef0123"]


@pytest.fixture
def client(redis_url):
    def with_origins(*origins):
        settings = {"web_push_app": "web", "web_push_public_key": PUBLIC_KEY_OF_1, "web_origins": list(origins)}
        return create_app(web_settings(redis_url, **settings)).test_client()

    return with_origins


def preflight(client, route, origin=PAGE):
    asks = {"Origin": origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    return client.options(route, headers=asks)


def cors_headers(response):
    return {name for name, _ in response.headers if name.startswith("Access-Control")}


@pytest.mark.parametrize("route", ROUTES)
def test_a_preflight_of_an_allowed_page_is_answered_and_kept(client, route):
    response = preflight(client("https://other.example.com", PAGE), route)
    assert (response.status_code, response.data) == (204, b"")
    assert response.headers["Access-Control-Allow-Origin"] == PAGE
    assert response.headers["Access-Control-Allow-Methods"] == "GET, POST, DELETE"
    assert response.headers["Access-Control-Allow-Headers"] == "Authorization, Content-Type, X-Api-Key"
    assert response.headers["Access-Control-Max-Age"] == "7200"
    assert response.headers["Vary"] == "Origin"
    assert "Access-Control-Allow-Credentials" not in response.headers
    assert response.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(
    "origin", ["https://evil.example.com", "https://app.example.com.evil.example", "http://app.example.com", "null", ""]
)
def test_another_page_gets_no_header(client, route, origin):
    assert not cors_headers(preflight(client(PAGE), route, origin))
    assert not cors_headers(client(PAGE).get(route, headers={"Origin": origin}))


@pytest.mark.parametrize(
    "route", ["/healthz", "/v1/calls/default:1", "/v1/users/me/contact", "/webhooks/stream", "/metrics"]
)
def test_no_other_route_is_open_to_pages(client, route):
    assert not cors_headers(preflight(client(PAGE), route))
    assert not cors_headers(client(PAGE).get(route, headers={"Origin": PAGE}))


def test_by_default_no_page_may_call(client):
    assert not cors_headers(preflight(client(), "/v1/receipts"))


def test_a_page_can_read_the_answer_and_the_error(client):
    page = {"Origin": PAGE}
    key = client(PAGE).get("/v1/web-push/key", headers=page)
    assert (key.status_code, key.headers["Access-Control-Allow-Origin"]) == (200, PAGE)
    error = client(PAGE).post("/v1/users/me/devices", json={}, headers=page)
    assert (error.status_code, error.headers["Access-Control-Allow-Origin"]) == (401, PAGE)
    assert error.headers["Access-Control-Expose-Headers"] == "Retry-After, Date"
