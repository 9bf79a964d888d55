"""How many rings of one app may wait."""

import pytest

from tests.factories import web_settings
from webhook.context import WebContext

TWO_APPS = [{"tenant": name, "api_keys": [name], "api_secrets": ["secret"]} for name in ("acme", "globex")]


@pytest.mark.parametrize(
    ("url", "most"), [("redis://127.0.0.1:1", 100), ("redis+cluster://127.0.0.1:1?partitions=16", 7)]
)
def test_each_partition_has_an_equal_part_of_the_bound(url, most):
    apps = {"stream_api_key": [], "stream_api_secret": [], "stream_apps": TWO_APPS}
    assert WebContext(web_settings(url, rings_waiting_per_app=100, **apps)).intake.most_waiting == most
