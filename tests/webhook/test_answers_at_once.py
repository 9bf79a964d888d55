"""Who must hear at once that a user has answered: then the web process queues a job for each answer."""

import pytest

from tests.factories import web_settings
from webhook.context import WebContext

ENDPOINT = {"name": "backend", "url": "https://backend.example.com/events"}


@pytest.mark.parametrize(
    ("settings", "at_once"),
    [({}, False), ({"alert_ring_every": 5}, True), ({"live": True}, True), ({"event_endpoints": [ENDPOINT]}, True)],
)
def test_an_answer_is_settled_at_once_if_somebody_waits(settings, at_once):
    rules = WebContext(web_settings("redis://127.0.0.1:1", **settings)).intake.rules
    assert rules["default"].ends_rings is at_once
