"""What Redis's user may do on the channels of live streams."""

import pytest

from bellhop.cli.check import redis as check_of_redis
from bellhop.cli.check.finding import Level
from bellhop.store.async_client import Store
from bellhop.store.live_rights import missing_live_rights
from tests.factories import web_settings

ALL = ["publish", "subscribe"]


@pytest.mark.parametrize(
    ("rights", "missing"),
    [
        ("&bellhop:live:*", []),
        ("&rq:*", ALL),
        ("&bellhop:live:* -publish", ["publish"]),
        ("&bellhop:live:* -subscribe", ["subscribe"]),
    ],
)
async def test_missing_rights_are_found(redis_server, redis_client, rights, missing):
    redis_client.execute_command(
        "ACL", "SETUSER", "bell", "on", ">pass", "~*", "+@all", "resetchannels", *rights.split()
    )
    url = f"redis://bell:pass@127.0.0.1:{redis_server.port}/0"
    store = Store.from_url(url)
    try:
        assert await missing_live_rights(store) == missing
        found = [finding async for finding in check_of_redis.findings(store, web_settings(url, live=True))]
        problems = [finding.sentence for finding in found if finding.level is Level.PROBLEM]
        named = f"may not {' and not '.join(missing)} on the channels bellhop:live:*"
        assert [named in problem for problem in problems] == [True] * bool(missing)
    finally:
        await store.close()
        redis_client.execute_command("ACL", "DELUSER", "bell")


async def test_a_redis_that_is_away_is_not_reported_twice():
    store = Store.from_url("redis://127.0.0.1:1/0")
    assert await missing_live_rights(store) == []
    await store.close()
